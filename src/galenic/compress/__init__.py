"""What makes a model smaller or faster: one method a file, pure function first, typed config second."""
