"""Training that is sparse from its first step: one method a file."""

from galenic.compress.sparsify.dst import DST as DST
from galenic.compress.sparsify.rigl import RigL as RigL
from galenic.compress.sparsify.set import SET as SET
from galenic.compress.sparsify.static_random import StaticRandom as StaticRandom

METHODS = (
    StaticRandom,
    SET,
    RigL,
    DST,
)
