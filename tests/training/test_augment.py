"""Views are the same every time, and each augmentation does what its numbers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from galenic.record.preprocessing import Modality
from galenic.record.training import Flips
from galenic.training.augment import (
    PARAMETERS,
    WARP_POINTS,
    Spread,
    Views,
    displacements,
    image_view,
    signal_view,
    table_view,
)

NEUTRAL = torch.tensor([[0.0, 0.0, 0.5, 0.5, 0.5, 0.5]])


def image() -> torch.Tensor:
    return torch.arange(12.0).reshape(1, 1, 3, 4)


def test_neutral_numbers_leave_an_image_as_it_is() -> None:
    assert torch.allclose(image_view(image(), NEUTRAL), image(), atol=1e-5)


@pytest.mark.parametrize(("column", "axis"), [(0, 3), (1, 2)])
def test_flips_are_exact(column: int, axis: int) -> None:
    parameters = NEUTRAL.clone()
    parameters[0, column] = 0.9
    assert torch.allclose(image_view(image(), parameters), image().flip(axis), atol=1e-5)


def test_gain_and_circular_shift_of_a_signal_by_hand() -> None:
    signal = torch.tensor([[[1.0, 2.0, 3.0, 4.0] * 25]])
    parameters = torch.tensor([[1.0, 1.0, 0.3, 0, 0, 0]])  # gain 1.10, shift by 6 of 100 samples
    changed = signal_view(signal, parameters)
    noise = changed - 1.1 * signal.roll(6, dims=2)
    assert 0.03 < noise.std() < 0.07
    assert noise.abs().max() < 0.3


def test_a_signal_is_shifted_as_far_as_it_is_asked_to() -> None:
    signal = torch.arange(100.0).expand(1, 1, 100)
    parameters = torch.tensor([[0.5, 0.0, 0.3, 0, 0, 0]])  # no gain; all of the shift, backwards: 25 of 100 samples
    moved = signal_view(signal, parameters, Spread(shift=0.25))
    assert torch.allclose(moved.round(), signal.roll(-25, dims=2), atol=1)
    still = signal_view(signal, parameters, Spread(shift=0))
    assert torch.allclose(still.round(), signal, atol=1)


def test_noise_is_the_same_for_the_same_numbers_and_differs_otherwise() -> None:
    rows = torch.zeros(2, 50)
    parameters = torch.tensor([[0.2, 0, 0, 0, 0, 0], [0.7, 0, 0, 0, 0, 0]])
    first, second = table_view(rows, parameters)
    assert torch.equal(table_view(rows, parameters)[0], first)
    assert not torch.equal(first, second)


def test_views_cycle_and_are_reproducible() -> None:
    views = Views(Modality.IMAGE, 5, seed=1, count=3, augment=True, flips=Flips.BOTH)
    assert [views.of_epoch(epoch) for epoch in range(5)] == [0, 1, 2, 0, 1]
    assert views.parameters(1).shape == (5, PARAMETERS)
    np.testing.assert_array_equal(views.parameters(1), views.parameters(1))
    assert not np.array_equal(views.parameters(0), views.parameters(1))


def test_a_number_for_the_warp_is_drawn_only_where_there_is_one() -> None:
    views = Views(Modality.IMAGE, 5, 1, None, True, Flips.BOTH, Spread(warp=0.03))
    assert views.parameters(0).shape == (5, PARAMETERS + 1)


def test_a_view_that_is_not_flipped_has_zeros_there() -> None:
    parameters = Views(Modality.IMAGE, 64, 0, None, True, Flips.HORIZONTAL).parameters(0)
    assert parameters[:, 0].max() > 0.5
    assert not parameters[:, 1].any()
    assert not Views(Modality.IMAGE, 64, 0, None, True, Flips.NONE).parameters(0)[:, :2].any()


def test_without_augmentation_there_is_one_view() -> None:
    views = Views(Modality.TABLE, 2, 0, None, False, Flips.NONE)
    rows = torch.ones(2, 3)
    assert views.of_epoch(7) == 0
    assert torch.equal(views.apply(rows, torch.from_numpy(views.parameters(0))), rows)


def test_shifts_without_turning_and_scaling_are_of_whole_pixels() -> None:
    """0.5 is no shift; 1 moves the window right by 2 of 28 pixels, so what was at column 12 is then at column 10."""
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 5, 12] = 1.0
    jitter = Spread(rotation_degrees=0, zoom=0, shift=2 / 28)
    expected = torch.zeros(28, 28)
    expected[5, 10] = 1.0
    moved = image_view(image, torch.tensor([[0, 0, 0.9, 0.9, 1.0, 0.5]]), jitter)
    assert torch.allclose(moved[0, 0], expected, atol=1e-4)
    almost = image_view(image, torch.tensor([[0, 0, 0.1, 0.1, 0.95, 0.5]]), jitter)
    assert torch.allclose(almost, moved, atol=1e-4), "1.8 pixels are rounded to 2"


def test_a_warp_moves_each_point_of_a_ramp_by_its_displacement() -> None:
    """A ramp of 1 a pixel, read d sides away, has 20 d more there; far from the edges, where values are held."""
    ramp = torch.arange(20.0).expand(1, 1, 20, 20)
    offset = torch.tensor([0.3])
    parameters = torch.cat([NEUTRAL, offset[:, None]], dim=1)
    warped = image_view(ramp, parameters, Spread(rotation_degrees=0, zoom=0, shift=0, warp=0.02))
    moved = 20 * 0.02 * displacements(offset, 20, 20)[0, :, :, 0]
    assert moved.abs().max() > 0.2
    assert torch.allclose((warped - ramp)[0, 0, :, 2:-2], moved[:, 2:-2], atol=1e-4)


def test_displacements_are_standard_normal_at_their_points_and_differ_between_rows() -> None:
    fields = displacements(torch.linspace(0, 0.9, 200), WARP_POINTS, WARP_POINTS)
    assert fields.shape == (200, WARP_POINTS, WARP_POINTS, 2)
    assert abs(float(fields.std()) - 1) < 0.05
    assert not torch.equal(fields[0], fields[1])
