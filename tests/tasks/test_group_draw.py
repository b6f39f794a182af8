import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.record.errors import DataError
from galenic.tasks.group_draw import draw_groups


def test_groups_are_drawn_so_that_classes_keep_their_shares():
    # the rare class lies in groups 0 and 1 alone: one of them is held out, the other is not
    counts = np.array([[10, 5], [10, 5], *[[10, 0]] * 6])
    held = draw_groups(counts, 0.25, 0)
    assert held.sum() == 2
    assert held[:2].sum() == 1
    with pytest.raises(DataError, match="1 group"):
        draw_groups(counts[:1], 0.5, 0)


@settings(deadline=None, max_examples=15)
@given(groups=st.integers(2, 12), share=st.floats(0.01, 0.6), seed=st.integers(0, 99))
def test_some_groups_are_held_out_and_some_are_not(groups, share, seed):
    counts = np.random.default_rng(seed).integers(0, 20, (groups, 3))
    held = draw_groups(counts, share, seed)
    assert held.sum() == min(max(1, round(share * groups)), groups - 1)
    assert np.array_equal(held, draw_groups(counts, share, seed))
