"""galenic."""
