"""``gx.methods``: the configs of all methods, by class name."""

from galenic.compress.distill import SoftTarget as SoftTarget
from galenic.compress.quantize import StaticInt8 as StaticInt8
from galenic.compress.supervised import Supervised as Supervised
