"""Distillation: one method a file."""

from galenic.compress.distill.soft_target import SoftTarget as SoftTarget

METHODS = (SoftTarget,)
