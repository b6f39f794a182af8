"""Observers: from a histogram of a tensor's calibration values to the range that its integers cover.

    counts (bins,) over equal bins of [low, high], which are the smallest and the largest value seen

min-max     all that was seen.
moving      the ends of each batch, averaged: end <- end + MOMENTUM (end of this batch - end), from the first batch's.
mse         among ranges shrunk towards zero the one with the least mean of (value - its rounded value)^2, the values taken
            as the middles of their bins (Choukroun et al. 2019, arXiv:1902.06822)
percentile  cut at most a tail share of the values on each side (Wu et al. 2020, arXiv:2004.09602).
entropy     among [max(low, -t), min(high, t)] take the one whose quantized histogram Q is nearest to the clipped P:
            KL(P || Q) = sum P log(P / Q)       (Migacz, GTC 2017, 8-bit inference with TensorRT)
            P has what lies outside moved to its end bins; Q is P before that, averaged per level over its non-empty
            bins. Zero is exact on every grid, so its bin (half of what a ReLU gives) counts no more than the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from galenic.record.quant import Observer

BINS = 2048
LEVELS = 256
PERCENTILE = 99.99  # of the values are kept
ENTROPY_STEP = 16  # bins by which the candidate ranges differ
FLOOR = 1e-7  # of Q where it is empty and P is not
MOMENTUM = 0.1
SHRINKS = 71  # candidates from the whole range down to 30 % of it

Range = tuple[float, float]


class Seen(NamedTuple):
    """What calibration saw of one tensor; ``counts`` (BINS,) over equal bins of [low, high]."""

    low: float
    high: float
    moving_low: float
    moving_high: float
    counts: np.ndarray


def observed_range(observer: Observer, seen: Seen, bits: int = 8) -> Range:
    """The range that an observer takes for integers of so many bits."""
    return OBSERVERS[observer](seen, 2**bits)


def percentile_range(counts: np.ndarray, low: float, high: float, percentile: float = PERCENTILE) -> Range:
    """The shortest range of whole bins that leaves out at most (100 - percentile) / 2 % of the values on each side."""
    tail = counts.sum() * (100.0 - percentile) / 200.0
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])
    first = int(np.searchsorted(below, tail, side="right"))
    last = len(counts) - 1 - int(np.searchsorted(above, tail, side="right"))
    width = (high - low) / len(counts)
    return low + first * width, low + (last + 1) * width


def mse_range(counts: np.ndarray, low: float, high: float, levels: int = LEVELS) -> Range:
    """The range [a min(low, 0), a max(high, 0)], a from 1 down to 0.3, with the least mean squared error of rounding."""
    width = (high - low) / len(counts)
    if width <= 0:
        return low, high
    filled = np.flatnonzero(counts)
    middles, weights = low + (filled + 0.5) * width, counts[filled].astype(np.float64)
    low, high = min(low, 0.0), max(high, 0.0)
    best, least = (low, high), np.inf
    for shrink in np.linspace(1.0, 0.3, SHRINKS):
        scale = shrink * (high - low) / (levels - 1)
        zero_point = np.round(-shrink * low / scale)
        rounded = (np.clip(np.round(middles / scale) + zero_point, 0, levels - 1) - zero_point) * scale
        error = float(weights @ (middles - rounded) ** 2)
        if error < least:
            best, least = (shrink * low, shrink * high), error
    return best


def entropy_range(counts: np.ndarray, low: float, high: float, levels: int = LEVELS) -> Range:
    """The range [max(low, -t), min(high, t)] of at least ``levels`` bins with the least KL(P || Q)."""
    width = (high - low) / len(counts)
    if width <= 0:
        return low, high
    counts = without_zeros(counts, low, width)
    best, least = (0, len(counts)), np.inf
    for step in range(len(counts) // ENTROPY_STEP):
        t = max(-low, high) - step * ENTROPY_STEP * width
        first = max(round((-t - low) / width), 0)
        last = min(round((t - low) / width), len(counts))
        if last - first < levels:
            break
        divergence = clipped_divergence(counts, first, last, levels)
        if divergence < least:
            best, least = (first, last), divergence
    return low + best[0] * width, low + best[1] * width


def without_zeros(counts: np.ndarray, low: float, width: float) -> np.ndarray:
    """The counts with that of the bin around 0 brought down to the larger of its neighbours."""
    zero = int(-low / width)
    if not 0 <= zero < len(counts):
        return counts
    evened = counts.copy()
    neighbours = np.concatenate([counts[max(zero - 1, 0) : zero], counts[zero + 1 : zero + 2]])
    evened[zero] = min(counts[zero], neighbours.max())
    return evened


def clipped_divergence(counts: np.ndarray, first: int, last: int, levels: int) -> float:
    """KL(P || Q) in nats where the bins [first, last) are kept and given ``levels`` integers."""
    inside = counts[first:last].astype(np.float64)
    clipped = inside.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last:].sum()
    starts = np.arange(levels) * len(inside) // levels
    filled = inside > 0
    occupied = np.add.reduceat(filled.astype(np.float64), starts)
    means = np.add.reduceat(inside, starts) / np.maximum(occupied, 1.0)
    level_of_bin = np.searchsorted(starts, np.arange(len(inside)), side="right") - 1
    quantized = np.where(filled, means[level_of_bin], 0.0)
    if quantized.sum() == 0:
        return float("inf")
    p = clipped / clipped.sum()
    q = np.maximum(quantized / quantized.sum(), FLOOR)
    seen = p > 0
    return float(np.sum(p[seen] * np.log(p[seen] / q[seen])))


OBSERVERS: Mapping[Observer, Callable[[Seen, int], Range]] = {
    Observer.MIN_MAX: lambda seen, _: (seen.low, seen.high),
    Observer.MOVING: lambda seen, _: (seen.moving_low, seen.moving_high),
    Observer.PERCENTILE: lambda seen, _: percentile_range(seen.counts, seen.low, seen.high),
    Observer.MSE: lambda seen, levels: mse_range(seen.counts, seen.low, seen.high, levels),
    Observer.ENTROPY: lambda seen, levels: entropy_range(seen.counts, seen.low, seen.high, levels),
}
