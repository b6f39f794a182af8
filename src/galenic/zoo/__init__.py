"""The zoo: models by name, the adapters for outside ones, their weights, and their multiply-accumulates."""
