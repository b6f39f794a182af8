import numpy as np
import pytest
from PIL import Image

from dicom_files import dicom
from galenic.record.errors import DataError, InputError
from galenic.tasks import load_task


def fill(folder, count, seed, suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (12, 16, 3)).astype(np.uint8)).save(folder / f"{number:02d}.{suffix}")


@pytest.fixture
def classes(tmp_path):
    root = tmp_path / "scans"
    fill(root / "benign", 40, 0)
    fill(root / "malignant", 20, 1, "jpg")
    return root


def test_split_here(classes):
    task = load_task(f"folder:{classes}", size=8)
    assert task.name == "scans"
    assert task.classes == ("benign", "malignant")
    assert task.positive == (1,)
    assert task.preprocessing.raw_shape == (8, 8, 3)
    assert [np.bincount(split.labels).tolist() for split in (task.train, task.validation, task.test)] == [
        [24, 12],
        [6, 3],
        [10, 5],
    ]
    assert task.train.ids[0].startswith("benign/")
    assert load_task(f"folder:{classes}", size=8).content_hash == task.content_hash
    assert load_task(f"folder:{classes}", size=8, seed=1).content_hash != task.content_hash


def test_grey_and_shares(classes):
    task = load_task(f"folder:{classes}", size=8, channels=1, validation=0.1, test=0.4, classes="malignant,benign")
    assert task.preprocessing.raw_shape == (8, 8, 1)
    assert task.classes == ("malignant", "benign")
    assert len(task.test) == 24


def test_identical_files_stay_on_one_side(classes):
    for number in range(40, 60):
        (classes / "benign" / f"{number}.png").write_bytes((classes / "benign" / "00.png").read_bytes())
    assert load_task(f"folder:{classes}", size=8).overlap.total == 0


def test_split_folders(tmp_path):
    for seed, (split, count) in enumerate((("train", 9), ("val", 4), ("test", 5))):
        fill(tmp_path / split / "a", count, 2 * seed)
        fill(tmp_path / split / "b", count, 2 * seed + 1)
    task = load_task(f"folder:{tmp_path}", size=8)
    assert (len(task.train), len(task.validation), len(task.test)) == (18, 8, 10)
    assert task.test.ids[0] == "test/a/00.png"
    (tmp_path / "test" / "a" / "99.png").write_bytes((tmp_path / "train" / "a" / "00.png").read_bytes())
    with pytest.raises(DataError, match="1 of test"):
        load_task(f"folder:{tmp_path}", size=8)
    fill(tmp_path / "test" / "c", 2, 77)
    with pytest.raises(DataError, match="train has a, b; validation has a, b; test has a, b, c"):
        load_task(f"folder:{tmp_path}", size=8)


def test_split_folders_without_one(tmp_path):
    fill(tmp_path / "train" / "a", 2, 0)
    fill(tmp_path / "test" / "a", 2, 0)
    with pytest.raises(DataError, match="folders train, test, none for validation"):
        load_task(f"folder:{tmp_path}")


@pytest.mark.parametrize("data", [b"", b"GIF89a..."])
def test_a_corrupt_image_is_named(classes, data):
    (classes / "benign" / "07.png").write_bytes(data)
    with pytest.raises(DataError, match=r"benign/07\.png: \d+ bytes that are no whole image"):
        load_task(f"folder:{classes}")


def test_what_is_burned_into_dicom_files_is_refused_unless_it_is_allowed(classes):
    place = next(path for path in classes.iterdir() if path.is_dir())
    (place / "scan.dcm").write_bytes(dicom(np.full((8, 8), 9, np.uint8), BurnedInAnnotation="YES"))
    with pytest.raises(DataError, match=r"scan\.dcm: Burned In Annotation is YES"):
        load_task(f"folder:{classes}", size=8)
    task = load_task(f"folder:{classes}", size=8, burned_in=True)
    assert sum(case.endswith("scan.dcm") for split in task.splits.values() for case in split.ids) == 1


def test_missing_or_empty_folders(classes, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_task(f"folder:{tmp_path / 'nothing'}")
    (classes / "unsure").mkdir()
    with pytest.raises(DataError, match="unsure: no PNG, JPEG or DICOM files"):
        load_task(f"folder:{classes}")
    with pytest.raises(DataError, match="fewer than two classes"):
        load_task(f"folder:{classes / 'benign'}")


def test_many_labels_do_not_fit_folders(classes):
    with pytest.raises(InputError, match="multi-label"):
        load_task(f"folder:{classes}", kind="multi-label")
