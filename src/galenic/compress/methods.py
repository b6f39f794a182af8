"""All methods, in the order in which people meet them. Recipes, the CLI and the docs derive from this list."""

from galenic.compress import distill, prune, quantize, sparsify
from galenic.compress.method import Method
from galenic.compress.supervised import Supervised

METHODS: tuple[type[Method], ...] = (Supervised, *distill.METHODS, *prune.METHODS, *sparsify.METHODS, *quantize.METHODS)
