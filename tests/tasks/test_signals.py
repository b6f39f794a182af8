import numpy as np
import pytest

from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality
from galenic.tasks import load_task


@pytest.fixture
def windows():
    random = np.random.default_rng(0)
    made = {"hz": np.float32(50)}
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        made[f"{split}_x"] = random.integers(-500, 500, (count, 16, 3)).astype(np.int16)
        made[f"{split}_y"] = (np.arange(count) % 2).astype(np.uint8)
        made[f"{split}_subject"] = np.array([f"{split}{row // 3}" for row in range(count)])
        made[f"{split}_activity"] = np.array([f"A{row % 2}" for row in range(count)])
    return made


def test_layout(windows, write):
    task = load_task(f"signals:{write(windows)}")
    spec = task.preprocessing
    assert (spec.modality, spec.raw_shape, spec.scale) == (Modality.SIGNAL, (16, 3), 1.0)
    assert spec.mean == pytest.approx(windows["train_x"].reshape(-1, 3).mean(axis=0), rel=1e-5)
    assert (task.test.inputs == windows["test_x"]).all()
    assert task.test.inputs.dtype == np.int16
    assert task.test.clusters.tolist() == ["test0"] * 3 + ["test1"] * 3
    assert task.test.groups["subject"].tolist() == task.test.clusters.tolist()
    assert task.positive == (1,)


def test_options(windows, write):
    task = load_task(
        f"signals:{write(windows)}", classes="daily,fall", positive="fall", group_keys=["activity"], scale=0.004
    )
    assert set(task.test.groups) == {"activity"}
    assert task.classes == ("daily", "fall")
    assert task.preprocessing.scale == 0.004
    assert task.preprocessing.std == pytest.approx(windows["train_x"].reshape(-1, 3).std(axis=0) * 0.004, rel=1e-5)


def test_without_subjects(windows, write):
    for split in ("train", "val", "test"):
        del windows[f"{split}_subject"]
    task = load_task(f"signals:{write(windows)}")
    assert task.test.clusters is None
    assert dict(task.test.groups) == {}


def test_a_subject_on_two_sides(windows, write):
    windows["train_subject"][:2] = "test1"
    path = write(windows)
    with pytest.raises(DataError, match=r"identical rows or the same subject\): 3 of test"):
        load_task(f"signals:{path}")
    task = load_task(f"signals:{path}", overlap="drop-train")
    assert (len(task.train), task.overlap.train_test, task.overlap.dropped) == (10, 3, 2)


def test_float_windows_with_nan(windows, write):
    for split in ("train", "val", "test"):
        windows[f"{split}_x"] = windows[f"{split}_x"].astype(np.float32)
    windows["test_x"][4, 2, 1] = np.nan
    with pytest.raises(DataError, match="split test, row 4"):
        load_task(f"signals:{write(windows)}")


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("train_x", np.zeros((12, 16)), "train_x of shape (12, 16)"),
        ("val_y", np.zeros(5, dtype=int), "split validation: val_x has 6, val_y has 5 rows"),
        ("test_y", np.array([0, 1, 0, 5, 0, 1]), "split test, row 3"),
        ("test_subject", np.array(["t0"] * 5), "subject has 5"),
    ],
)
def test_bad_arrays(windows, write, key, value, part):
    windows[key] = value
    with pytest.raises(DataError) as caught:
        load_task(f"signals:{write(windows)}")
    assert part in caught.value.given


def test_missing_keys(windows, write):
    del windows["val_y"]
    with pytest.raises(DataError, match="no val_y; the file has hz, train_x"):
        load_task(f"signals:{write(windows)}")


def test_sisfall(shared):
    task = load_task(f"signals:{shared('sisfall/sisfall_peak128.npz')}", classes="daily activity,fall")
    assert [len(split) for split in task.splits.values()] == [2987, 200, 571, 947]
    assert set(task.test.clusters) == {"SA03", "SA08", "SA13", "SA18", "SA22", "SE03", "SE08", "SE13"}
    assert task.preprocessing.input_shape == (6, 128)
    assert int(task.test.labels.sum()) == 375
    assert task.overlap.total == 0
