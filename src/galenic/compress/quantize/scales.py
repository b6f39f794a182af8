"""Weight scales for few bits: not the largest weight decides, but the error of all of them.

    scale = argmin over s of sum (w - s clip(round(w / s), -q, q))^2        q = 2^(bits - 1) - 1
per channel or group, among s = a max|w| / q with a from 1 down to ``NARROWEST_SHARE`` (Banner et al., NeurIPS 2019,
arXiv:1810.05723, who solve it for Laplace and normal weights; here it is searched). With 4 bits a step is a seventh of the
largest weight, and a lonely large one is better clipped. Since a <= 1, some weight always reaches +-q: who takes the largest
of the rounded weights for the scale finds the same one again.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from galenic.compress.quantize.grid import NARROWEST, grouped, weight_scales

NARROWEST_SHARE = 0.15
SHARES = 69


def least_error_scales(
    weight: Float[Tensor, "out ..."], bits: int, per_channel: bool = True, group_size: int = 0
) -> Float[Tensor, "channels groups"]:
    """The symmetric scales with the least squared error of rounding to the nearest integer."""
    limit = 2 ** (bits - 1) - 1
    rows = (grouped(weight, group_size) if per_channel else weight.reshape(1, 1, -1)).detach()
    widest = weight_scales(weight, bits, per_channel, group_size)
    best, least = widest.clone(), torch.full_like(widest, torch.inf)
    for share in torch.linspace(1.0, NARROWEST_SHARE, SHARES).tolist():
        scales = widest * share
        ratio = rows / scales[:, :, None]
        error = (ratio.round().clamp_(-limit, limit) - ratio).square().sum(dim=2) * scales.square()
        better = error < least
        best, least = torch.where(better, scales, best), torch.where(better, error, least)
    dead = rows.abs().amax(dim=2) < NARROWEST
    return torch.where(dead, widest, best)
