"""What leaves the workshop: the page that classifies pictures in a browser."""
