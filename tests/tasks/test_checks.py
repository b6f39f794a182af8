"""Row 38 of the fault list: each bad file is refused with the file, the split and the row."""

import numpy as np
import pytest

from galenic.record.errors import DataError, ExitCode, InputError
from galenic.tasks import load_task


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        load_task(f"npz:{path}", **options)
    assert str(path) in caught.value.given
    assert caught.value.exit_code is ExitCode.USAGE
    assert "\n" not in str(caught.value)
    assert caught.value.todo
    return str(caught.value)


def test_no_such_file(tmp_path):
    (tmp_path / "breast.npz").write_bytes(b"x")
    text = refused(tmp_path / "braest.npz")
    assert "no such file" in text
    assert "breast.npz" in text


def test_empty_file(tmp_path):
    path = tmp_path / "data.npz"
    path.touch()
    assert "empty (0 bytes)" in refused(path)


def test_not_a_zip(tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(b"<html>404 not found</html>")
    assert "not a whole .npz" in refused(path)


def test_a_lone_npy(tmp_path):
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "not a whole .npz" in refused(path)


def test_truncated(arrays, write):
    path = write(arrays)
    path.write_bytes(path.read_bytes()[:-200])
    assert "not a whole .npz" in refused(path)


def test_one_flipped_byte(arrays, write):
    path = write(arrays)
    data = bytearray(path.read_bytes())
    at = data.find(arrays["train_images"].tobytes())
    data[at + 5] ^= 0xFF
    path.write_bytes(data)
    text = refused(path)
    assert "train_images cannot be read, the file is damaged" in text


def test_missing_keys_beside_what_there_is(arrays, write):
    arrays["valid_images"] = arrays.pop("val_images")
    del arrays["test_labels"]
    text = refused(write(arrays))
    assert "no val_images, test_labels" in text
    assert "the file has train_images, train_labels, val_labels, test_images, valid_images" in text


def test_object_arrays_are_never_unpickled(arrays, write):
    arrays["val_labels"] = np.array([0, 1, 0, 1, 0, None], dtype=object)
    text = refused(write(arrays))
    assert "val_labels is made of Python objects" in text
    assert "pickles are never loaded" in text


def test_label_above_the_classes(arrays, write):
    arrays["test_labels"][4] = 7
    assert "split test, row 4: label 7 is out of range" in refused(write(arrays), classes=["a", "b"])


def test_label_that_train_does_not_have(arrays, write):
    arrays["test_labels"][4] = 2
    assert "split test, row 4 (id test-000004): class '2' has no row in train" in refused(write(arrays))


def test_negative_label(arrays, write):
    arrays["train_labels"] = arrays["train_labels"].astype(np.int16)
    arrays["train_labels"][3] = -1
    assert "split train, row 3: label -1 is out of range" in refused(write(arrays))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_one_class_only(arrays, write, split):
    arrays[f"{split}_labels"][:] = 1
    text = refused(write(arrays), classes=["benign", "malignant"])
    name = {"val": "validation"}.get(split, split)
    assert f"split {name}: all" in text
    assert "'malignant', one class only" in text


def test_one_class_only_of_many_labels(arrays, write):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_labels"] = np.eye(3, dtype=np.uint8)[np.arange(count) % 3]
    arrays["val_labels"][:] = 0
    assert "split validation: all 6 rows have the same labels" in refused(write(arrays), kind="multi-label")


def test_multi_label_with_a_two(arrays, write):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_labels"] = np.eye(3, dtype=np.uint8)[np.arange(count) % 3]
    arrays["train_labels"][5, 1] = 2
    assert "split train, row 5: labels [0, 2, 1] are out of range" in refused(write(arrays), kind="multi-label")


def test_many_labels_without_the_kind(arrays, write):
    arrays["train_labels"] = np.eye(2, dtype=np.uint8)[np.arange(12) % 2]
    text = refused(write(arrays))
    assert "labels of shape (12, 2)" in text
    assert "multi-label" in text


def test_one_label_with_the_kind_multi_label(arrays, write):
    assert "labels of shape (12, 1)" in refused(write(arrays), kind="multi-label")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_pixels(arrays, write, value):
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = arrays[f"{split}_images"].astype(np.float32) / 255
    arrays["val_images"][2, 1, 1] = value
    assert "split validation, row 2: a value that is NaN or infinite (1 such rows)" in refused(write(arrays))


def test_differing_lengths(arrays, write):
    arrays["val_labels"] = arrays["val_labels"][:4]
    text = refused(write(arrays))
    assert "split validation: images has 6, labels has 4 rows; row 4 is the first without a partner" in text


def test_empty_split(arrays, write):
    arrays["test_images"], arrays["test_labels"] = arrays["test_images"][:0], arrays["test_labels"][:0]
    assert "split test: 0 rows" in refused(write(arrays))


def test_another_image_size_in_one_split(arrays, write):
    arrays["test_images"] = np.zeros((6, 4, 4), dtype=np.uint8)
    text = refused(write(arrays))
    assert "split test: rows are uint8 (4, 4, 1), those of train uint8 (5, 4, 1)" in text


def test_float_labels_are_a_regression(arrays, write):
    arrays["train_labels"] = np.linspace(0, 1, 12)
    assert "a regression task; expected whole numbers" in refused(write(arrays))


def test_image_labels_are_a_segmentation(arrays, write):
    arrays["train_labels"] = arrays["train_images"] > 9
    assert "a segmentation task; expected one label per image" in refused(write(arrays))


@pytest.mark.parametrize("kind", ["segmentation", "regression", "Segmentation"])
def test_unsupported_kinds_are_refused_by_name(kind):
    with pytest.raises(InputError) as caught:
        load_task("npz:never-read.npz", kind=kind)
    assert f"a {kind.lower()} task" in caught.value.given
    assert "not supported yet" in caught.value.expected


def test_text_labels(arrays, write):
    arrays["train_labels"] = np.array(["a", "b"] * 6)
    assert "number the classes" in refused(write(arrays))


def test_volumes(arrays, write):
    arrays["train_images"] = np.zeros((12, 5, 5, 5), dtype=np.uint8)
    assert "volumes or channels first" in refused(write(arrays))


def test_integer_images_of_unknown_range(arrays, write):
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = arrays[f"{split}_images"].astype(np.int32)
    assert "images of type int32" in refused(write(arrays))


def test_an_id_twice(arrays, write):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_ids"] = np.array([f"{split}{row}" for row in range(count)])
    arrays["test_ids"][3] = "val4"
    assert "id val4 stands at validation row 4, test row 3" in refused(write(arrays))


def test_masks_of_another_size(arrays, write):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_masks"] = np.zeros((count, 5, 5), dtype=np.uint8)
    assert "masks of shape (12, 5, 5)" in refused(write(arrays))


def test_masks_of_255(arrays, write):
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_masks"] = np.zeros((count, 5, 4), dtype=np.uint8)
    arrays["train_masks"][6, 2, 2] = 255
    assert "split train, row 6: a mask value of 255" in refused(write(arrays))


def test_a_named_group_that_is_not_there(arrays, write):
    assert "no train_sex" in refused(write(arrays), group_keys="sex")
