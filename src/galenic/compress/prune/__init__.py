"""Pruning: one method a file."""

from galenic.compress.prune.channels import ChannelPruning as ChannelPruning
from galenic.compress.prune.gradual import GradualMagnitude as GradualMagnitude
from galenic.compress.prune.layers import LayerPruning as LayerPruning
from galenic.compress.prune.magnitude import MagnitudePruning as MagnitudePruning
from galenic.compress.prune.n_of_m import NOfM as NOfM

METHODS = (
    ChannelPruning,
    LayerPruning,
    MagnitudePruning,
    GradualMagnitude,
    NOfM,
)
