import numpy as np

from galenic.record.preprocessing import Modality
from galenic.tasks import load_task


def test_digits():
    task = load_task("digits")
    sides = [len(split) for split in (task.train, task.validation, task.test)]
    assert sum(sides) == 1797
    assert abs(sides[1] - 0.15 * 1797) < 6
    assert abs(sides[2] - 0.25 * 1797) < 6
    assert task.preprocessing.raw_shape == (8, 8, 1)
    assert task.train.inputs.max() == 16
    assert task.preprocessing.scale == 1 / 16
    assert task.positive == ()
    assert set(task.test.labels) == set(range(10))
    assert not task.synthetic


def test_wisconsin():
    task = load_task("wisconsin")
    sides = (task.train, task.validation, task.test)
    assert sum(len(split) for split in sides) == 569
    assert sum(int((split.labels == 0).sum()) for split in sides) == 212  # malignant, as published
    assert task.classes[task.positive[0]] == "malignant"
    assert task.preprocessing.modality is Modality.TABLE
    assert task.preprocessing.raw_shape == (30,)
    assert task.preprocessing.scale == 1.0
    assert task.train.inputs.dtype == np.float32


def test_the_split_is_fixed_by_its_seed():
    assert load_task("wisconsin").content_hash == load_task("wisconsin").content_hash
    assert load_task("wisconsin", seed=1).content_hash != load_task("wisconsin").content_hash
