"""Whether a map of a net's attention lies on the lesion: pointing game and overlap of the most attended area.

    pointing game   hit = the map's largest value lies in the mask          (Zhang et al., ECCV 2016, arXiv:1608.00507)
    overlap         |T and M| / |M|,  T = the ``share`` of all pixels with the largest values, M = the mask
The first has no tolerance: a maximum one pixel beside the mask is a miss. The second is how much of the lesion lies in the most
attended part of the image, as Judd et al. (ICCV 2009) count fixations in the most salient 20 %: a map that knows nothing
reaches ``share`` on average, a perfect one 1, or share / (the mask's own share of the image) where the lesion is larger.
Maps are first brought to the masks' size by bilinear interpolation between the centres of their cells, edge values outside.
Of equal values the first in reading order counts as the larger, so a constant map points at the upper left corner.
"""

from __future__ import annotations

import numpy as np

from galenic.record.errors import DataError

TOP_SHARE = 0.2


def pointing_game(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether each map's largest value lies inside its mask: maps (n, h, w), masks (n, height, width) -> (n,) bool."""
    large = _checked(maps, masks)
    rows = np.arange(len(maps))
    hits: np.ndarray = (masks.reshape(len(masks), -1) != 0)[rows, large.argmax(axis=1)]
    return hits


def top_area_overlap(maps: np.ndarray, masks: np.ndarray, share: float = TOP_SHARE) -> np.ndarray:
    """The part of each mask that lies in the ``share`` of the image with its map's largest values: (n,) in [0, 1].

    Maps are (n, h, w), masks (n, height, width), nonzero inside. The area has round(share * pixels) pixels, at least one.
    """
    if not 0 < share <= 1:
        raise DataError(f"a share of {share:g}", "a share of the image in (0, 1]", "give for instance 0.2")
    large = _checked(maps, masks)
    count = max(1, round(share * large.shape[1]))
    top = np.argsort(-large, axis=1, kind="stable")[:, :count]
    inside = masks.reshape(len(masks), -1) != 0
    overlap: np.ndarray = np.take_along_axis(inside, top, axis=1).sum(axis=1) / inside.sum(axis=1)
    return overlap


def enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (n, h, w) as (n, *size), between the centres of cells, edge values outside (torch's ``align_corners=False``)."""
    maps = np.asarray(maps, dtype=np.float64)
    for axis, length in ((1, size[0]), (2, size[1])):
        cells = maps.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1)
        before = np.floor(place).astype(int)
        after = np.minimum(before + 1, cells - 1)
        shape = [1, 1, 1]
        shape[axis] = length
        part = (place - before).reshape(shape)
        maps = maps.take(before, axis=axis) * (1 - part) + maps.take(after, axis=axis) * part
    return maps


def _checked(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The maps in the masks' size, flat: (n, pixels)."""
    if maps.ndim != 3 or masks.ndim != 3 or len(maps) != len(masks) or 0 in maps.shape or 0 in masks.shape:
        raise DataError(
            f"maps of shape {maps.shape} and masks of shape {masks.shape}",
            "(n, height, width) each, one map for each mask",
            "give the same cases in the same order",
        )
    finite = np.isfinite(maps).all(axis=(1, 2))
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise DataError(f"the map of row {row} holds NaN or infinity", "finite maps", "look at the model on that case")
    filled = masks.any(axis=(1, 2))
    if not filled.all():
        row, count = int(np.flatnonzero(~filled)[0]), int((~filled).sum())
        raise DataError(
            f"the mask of row {row} is empty ({count} such rows)",
            "masks with something to point at",
            "leave out the cases without a lesion",
        )
    return enlarged(maps, (masks.shape[1], masks.shape[2])).reshape(len(maps), -1)
