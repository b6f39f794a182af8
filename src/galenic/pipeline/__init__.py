"""The only room that joins the stages: recipe -> plan -> stages -> report."""
