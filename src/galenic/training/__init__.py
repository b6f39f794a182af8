"""One short training loop, extended by an objective and callbacks."""
