"""Pointing game and overlap by hand, and the enlargement against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from galenic.measuring.localisation import enlarged, pointing_game, top_area_overlap
from galenic.record.errors import DataError


def mask(*inside: tuple[int, int], side: int = 4) -> np.ndarray:
    found = np.zeros((1, side, side), np.uint8)
    for row, column in inside:
        found[0, row, column] = 1
    return found


def test_the_largest_value_has_to_lie_in_the_mask_without_tolerance():
    attention = np.zeros((1, 4, 4))
    attention[0, 1, 2] = 5
    assert pointing_game(attention, mask((1, 2))).tolist() == [True]
    assert pointing_game(attention, mask((1, 1))).tolist() == [False], "one pixel beside it is a miss"


def test_a_coarse_map_points_at_the_middle_of_its_cell():
    # 2 x 2 cells of 4 x 4 pixels; along an axis the cells' centres lie at 1.5 and 5.5, so pixels 6 and 7 are the largest
    attention = np.array([[[0.0, 0.0], [0.0, 1.0]]])
    assert pointing_game(attention, mask((6, 6), side=8)).tolist() == [True]
    assert pointing_game(attention, mask((5, 5), side=8)).tolist() == [False]


def test_the_overlap_is_the_part_of_the_mask_in_the_top_area():
    # 20 % of 25 pixels are 5: the values 20 to 24, the last row
    attention = np.arange(25.0).reshape(1, 5, 5)
    assert top_area_overlap(attention, mask((4, 0), (4, 4), side=5)).tolist() == [1.0]
    assert top_area_overlap(attention, mask((3, 4), (4, 4), side=5)).tolist() == [0.5]
    assert top_area_overlap(attention, mask((0, 0), side=5)).tolist() == [0.0]
    # a mask of all 25 pixels: 5 of them at best
    assert top_area_overlap(attention, np.ones((1, 5, 5), bool)).tolist() == [0.2]
    # 40 % are 10 pixels, two rows
    assert top_area_overlap(attention, mask((3, 4), (4, 4), side=5), share=0.4).tolist() == [1.0]


def test_equal_values_count_in_reading_order():
    flat = np.ones((1, 5, 5))
    assert pointing_game(flat, mask((0, 0), side=5)).tolist() == [True]
    assert top_area_overlap(flat, mask((0, 0), (4, 4), side=5)).tolist() == [0.5]


def test_cases_are_judged_one_by_one():
    attention = np.zeros((2, 4, 4))
    attention[0, 0, 0] = attention[1, 3, 3] = 1
    both = np.concatenate([mask((0, 0)), mask((0, 0))])
    assert pointing_game(attention, both).tolist() == [True, False]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_maps_are_enlarged_as_torch_does(height, width, new_height, new_width, seed):
    maps = np.random.default_rng(seed).normal(size=(2, height, width))
    expected = F.interpolate(
        torch.from_numpy(maps)[:, None], (new_height, new_width), mode="bilinear", align_corners=False
    )[:, 0]
    np.testing.assert_allclose(enlarged(maps, (new_height, new_width)), expected.numpy(), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999))
def test_only_the_order_of_a_map_in_the_masks_size_matters(seed):
    rng = np.random.default_rng(seed)
    maps, masks = rng.random((3, 6, 6)), rng.random((3, 6, 6)) < 0.5
    masks[:, 0, 0] = True
    np.testing.assert_array_equal(pointing_game(maps, masks), pointing_game(np.exp(3 * maps), masks))
    np.testing.assert_array_equal(top_area_overlap(maps, masks), top_area_overlap(np.exp(3 * maps), masks))


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.ones((1, 2, 2)), np.zeros((1, 4, 4)), "mask of row 0 is empty"),
        (np.full((1, 2, 2), np.nan), mask((0, 0)), "map of row 0 holds NaN"),
        (np.ones((2, 2, 2)), mask((0, 0)), "one map for each mask"),
        (np.ones((1, 1, 2, 2)), mask((0, 0)), "one map for each mask"),
    ],
)
def test_what_cannot_be_judged_is_refused(maps, masks, message):
    with pytest.raises(DataError, match=message):
        pointing_game(maps, masks)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(DataError, match="a share of 0"):
        top_area_overlap(np.ones((1, 2, 2)), mask((0, 0)), share=0)
