"""Predictions, margins, floors and budgets in; metrics, a verdict and a budget's result out. No model is seen here."""
