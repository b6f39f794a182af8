import numpy as np
import pytest

from galenic.measuring.parity import compare
from galenic.record.errors import ModelError
from galenic.record.task import TaskKind

OURS = np.array([[1.0, 2.0], [3.0, 1.0], [0.5, 0.0], [-1.0, -2.0]], np.float32)
THEIRS = np.array([[1.0, 2.5], [1.0, 1.5], [0.5, 0.0], [-1.0, -2.0]], np.float32)


def test_difference_and_agreement_by_hand():
    # the largest difference is 3 - 1 = 2; row 1 changes its class
    found = compare(OURS, THEIRS, TaskKind.SINGLE_LABEL)
    assert (found.max_difference, found.agreement, found.n) == (2.0, 0.75, 4)


def test_relative_differences_are_shares_of_the_largest_logit_of_the_reference():
    # differences 0.5, 2 and 0.5 of eight; the largest |logit| of OURS is 3
    found = compare(OURS, THEIRS, TaskKind.SINGLE_LABEL)
    assert found.relative_difference == pytest.approx(2 / 3)
    assert found.mean_difference == pytest.approx(3 / 8 / 3)
    turned = compare(-OURS, -THEIRS, TaskKind.SINGLE_LABEL)
    assert (turned.relative_difference, turned.mean_difference) == (found.relative_difference, found.mean_difference)


def test_a_reference_of_zeros_gives_absolute_differences():
    found = compare(np.zeros((2, 2), np.float32), np.full((2, 2), 0.25, np.float32), TaskKind.SINGLE_LABEL)
    assert (found.relative_difference, found.mean_difference) == (0.25, 0.25)


def test_multi_label_decisions_are_counted_one_by_one():
    others = OURS.copy()
    others[3, 0] = 0.25  # one of eight decisions changes
    found = compare(OURS, others, TaskKind.MULTI_LABEL)
    assert (found.max_difference, found.agreement) == (1.25, 7 / 8)


@pytest.mark.parametrize("others", [THEIRS[:2], THEIRS[:, :1], np.full_like(THEIRS, np.nan)])
def test_what_cannot_be_compared_is_refused(others):
    with pytest.raises(ModelError):
        compare(OURS, others, TaskKind.SINGLE_LABEL)


def test_nothing_cannot_be_compared():
    with pytest.raises(ModelError):
        compare(OURS[:0], THEIRS[:0], TaskKind.SINGLE_LABEL)
