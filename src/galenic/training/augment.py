"""Views of training rows. A view is a row of numbers, so equal (row, view) pairs are the same input every time.

    images    horizontal and vertical flip, then one affine map (rotation, scale, shift), bilinear, edge values outside;
              where asked, a smooth elastic warp with it (Simard et al., ICDAR 2003)
    signals   gain, circular shift in time, and added noise from a fixed bank at a drawn offset
    tables    noise of 0.05 standard deviations from the same bank
    texts     none: the one view of a row is the row itself
Distillation caches the teacher's logits per (row, view), which is only right because of this (FKD, arXiv:2112.01528).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from galenic.record.preprocessing import Modality
from galenic.record.training import Flips

VERSION = 2

PARAMETERS = 6
"""Uniform numbers in [0, 1) drawn for each (row, view); one more where images are warped."""

WARP_POINTS = 6
"""The displacements of an elastic warp are drawn at this many points along each side, and bicubic between them."""

SIGNAL_GAIN, SIGNAL_NOISE = 0.10, 0.05
TABLE_NOISE = 0.05
BANK_SIZE = 1 << 20


@lru_cache(maxsize=4)
def view_parameters(seed: int, view: int, rows: int, columns: int = PARAMETERS) -> Float[np.ndarray, "rows columns"]:
    """The numbers of one view of every row, float32 in [0, 1); read-only, since it is kept."""
    numbers = np.random.default_rng([seed, view]).random((rows, columns), dtype=np.float32)
    numbers.flags.writeable = False
    return numbers


@dataclass(frozen=True)
class Spread:
    """How far views go: degrees, and shares of one; ``warp`` is a standard deviation, the others are limits.

    Of a signal only ``shift`` counts.
    """

    rotation_degrees: float = 12.0
    zoom: float = 0.10
    shift: float = 0.06
    warp: float = 0.0


DEFAULT_SPREAD = Spread()


def image_view(
    images: Float[Tensor, "b c h w"], parameters: Float[Tensor, "b columns"], spread: Spread = DEFAULT_SPREAD
) -> Float[Tensor, "b c h w"]:
    """Flip, rotate, scale, shift and warp each image by its own parameters; shifts alone are of whole pixels."""
    flip_x, flip_y, turn, zoom, right, down = parameters[:, :PARAMETERS].unbind(1)
    angle = (turn * 2 - 1) * math.radians(spread.rotation_degrees)
    scale = 1 + (zoom * 2 - 1) * spread.zoom
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    sign_x, sign_y = (flip_x < 0.5).float() * 2 - 1, (flip_y < 0.5).float() * 2 - 1
    shift_x, shift_y = (right * 2 - 1) * 2 * spread.shift, (down * 2 - 1) * 2 * spread.shift
    if spread.rotation_degrees == spread.zoom == spread.warp == 0:
        half_height, half_width = images.shape[2] / 2, images.shape[3] / 2
        shift_x, shift_y = (shift_x * half_width).round() / half_width, (shift_y * half_height).round() / half_height
    first = torch.stack([cos * sign_x, -sin * sign_y, shift_x], dim=1)
    second = torch.stack([sin * sign_x, cos * sign_y, shift_y], dim=1)
    grid = F.affine_grid(torch.stack([first, second], dim=1), list(images.shape), align_corners=False)
    if spread.warp:
        grid = grid + 2 * spread.warp * displacements(parameters[:, PARAMETERS], images.shape[2], images.shape[3])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def displacements(offsets: Float[Tensor, " b"], height: int, width: int) -> Float[Tensor, "b height width 2"]:
    """Smooth random fields: standard normal at WARP_POINTS x WARP_POINTS points, bicubic between them."""
    drawn = _noise(offsets, 2 * WARP_POINTS**2).view(-1, 2, WARP_POINTS, WARP_POINTS)
    fields = F.interpolate(drawn, size=(height, width), mode="bicubic", align_corners=True)
    return fields.permute(0, 2, 3, 1)


def signal_view(
    signals: Float[Tensor, "b c t"], parameters: Float[Tensor, "b 6"], spread: Spread = DEFAULT_SPREAD
) -> Float[Tensor, "b c t"]:
    """Scale, shift in time (by up to ``spread.shift`` of the length) and add noise to each signal by its own parameters."""
    batch, channels, time = signals.shape
    gain = 1 + (parameters[:, 0] * 2 - 1) * SIGNAL_GAIN
    shift = ((parameters[:, 1] * 2 - 1) * spread.shift * time).round().long()
    index = (torch.arange(time) - shift[:, None]) % time
    moved = signals.gather(2, index[:, None, :].expand(batch, channels, time))
    return moved * gain[:, None, None] + SIGNAL_NOISE * _noise(parameters[:, 2], channels * time).view_as(signals)


def table_view(
    rows: Float[Tensor, "b f"], parameters: Float[Tensor, "b 6"], _spread: Spread = DEFAULT_SPREAD
) -> Float[Tensor, "b f"]:
    """Add a little noise to each feature (features are standardised)."""
    return rows + TABLE_NOISE * _noise(parameters[:, 0], rows.shape[1])


AUGMENTATIONS: Mapping[Modality, Callable[[Tensor, Tensor, Spread], Tensor]] = {
    Modality.IMAGE: image_view,
    Modality.SIGNAL: signal_view,
    Modality.TABLE: table_view,
}


NOT_FLIPPED: Mapping[Flips, list[int]] = {Flips.BOTH: [], Flips.HORIZONTAL: [1], Flips.NONE: [0, 1]}
"""Which of the two flip columns are set to zero (no flip)."""


@dataclass(frozen=True)
class Views:
    """All views of a training split: ``count`` different ones that are cycled through, or a new one every epoch (None).

    ``augment=False`` makes every view the row itself; ``flips`` are for images.
    """

    modality: Modality
    rows: int
    seed: int
    count: int | None
    augment: bool
    flips: Flips
    spread: Spread = DEFAULT_SPREAD

    def of_epoch(self, epoch: int) -> int:
        """The view that an epoch uses."""
        if not self.augment:
            return 0
        return epoch if self.count is None else epoch % self.count

    def parameters(self, view: int) -> Float[np.ndarray, "rows columns"]:
        """The numbers of this view for every row."""
        columns = PARAMETERS + 1 if self.spread.warp else PARAMETERS
        parameters = view_parameters(self.seed, view, self.rows, columns).copy()
        if self.modality is Modality.IMAGE:
            parameters[:, NOT_FLIPPED[self.flips]] = 0.0
        return parameters

    def apply(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """The batch ``inputs`` as its ``parameters`` say."""
        return AUGMENTATIONS[self.modality](inputs, parameters, self.spread) if self.augment else inputs


@cache
def _noise_bank() -> Float[Tensor, " bank"]:
    return torch.randn(BANK_SIZE, generator=torch.Generator().manual_seed(0))


def _noise(offsets: Float[Tensor, " b"], length: int) -> Float[Tensor, "b length"]:
    """Standard normal numbers from a fixed bank, read from each row's own offset on."""
    start = (offsets * (BANK_SIZE - length)).long()
    return _noise_bank()[start[:, None] + torch.arange(length)]
