import numpy as np
import pytest

from galenic.runtimes.batches import in_batches


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_row_is_answered_once_in_its_place(rows, size):
    asked = []

    def answer(batch: np.ndarray) -> np.ndarray:
        asked.append(batch.shape)
        return batch.sum(axis=1, keepdims=True)

    inputs = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    np.testing.assert_array_equal(in_batches(answer, inputs, size)[:, 0], [4 * row + 1 for row in range(rows)])
    assert asked == [(size, 2)] * -(-rows // size)


def test_the_last_rows_are_filled_up_with_zeros_of_the_same_type():
    seen = []
    in_batches(lambda batch: seen.append(batch) or batch, np.ones((3, 2), np.int64), 2)
    np.testing.assert_array_equal(seen[1], [[1, 1], [0, 0]])
    assert seen[1].dtype == np.int64
