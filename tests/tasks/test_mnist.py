import numpy as np
import pytest

from galenic.record.errors import DataError
from galenic.tasks import load_task


@pytest.fixture
def digits():
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (200, 28, 28)).astype(np.uint8),
        "y_train": (np.arange(200) % 10).astype(np.uint8),
        "x_test": random.integers(0, 256, (30, 28, 28)).astype(np.uint8),
        "y_test": (np.arange(30) % 10).astype(np.uint8),
    }


def test_layout(digits, write):
    task = load_task("mnist", path=write(digits), validation=50)
    assert [len(split) for split in task.splits.values()] == [150, 15, 50, 30]
    assert np.bincount(task.validation.labels).tolist() == [5] * 10
    assert not set(task.train.ids) & set(task.validation.ids)
    row = int(task.train.ids[7].removeprefix("train-"))
    assert (task.train.inputs[7, ..., 0] == digits["x_train"][row]).all()
    assert task.train.labels[7] == digits["y_train"][row]


def test_identical_training_images_stay_on_one_side(digits, write):
    digits["x_train"][:100] = digits["x_train"][np.arange(100) % 10]
    assert load_task("mnist", path=write(digits), validation=50).overlap.total == 0


def test_missing_keys(digits, write):
    del digits["y_test"]
    with pytest.raises(DataError, match="no y_test; the file has x_train, y_train, x_test"):
        load_task("mnist", path=write(digits))


def test_label_ten(digits, write):
    digits["y_test"][3] = 10
    with pytest.raises(DataError, match="split test, row 3: label 10"):
        load_task("mnist", path=write(digits))


def test_the_real_one(shared):
    task = load_task("mnist", path=shared("mnist/mnist.npz"))
    assert len(task.test) == 10000
    assert len(task.train) + len(task.validation) == 60000
    assert abs(len(task.validation) - 5000) < 10
    assert np.bincount(task.test.labels)[:3].tolist() == [980, 1135, 1032]
    assert task.overlap.total == 0
