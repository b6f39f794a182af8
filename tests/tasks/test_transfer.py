import numpy as np
import pytest
from PIL import Image

from galenic.preprocess.image import decode, resize
from galenic.record.errors import DataError, InputError
from galenic.record.task import joined
from galenic.record.training import Rows
from galenic.tasks import load_task


@pytest.fixture
def square():
    """A valid MedMNIST layout of grey images of 6x6, and five more images."""
    random = np.random.default_rng(1)
    made = {}
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        made[f"{split}_images"] = random.integers(0, 256, (count, 6, 6)).astype(np.uint8)
        made[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return made, random.integers(0, 256, (5, 6, 6)).astype(np.uint8)


@pytest.fixture
def loaded(square, write):
    """Load the task with transfer arrays, or with a transfer source."""
    arrays, _ = square
    path = write(arrays)

    def load(transfer=None, source=None, **options):
        return load_task(f"npz:{path}", transfer=source or f"npz:{write(transfer, 'transfer.npz')}", **options)

    return load


def test_rows_of_an_array(square, loaded):
    _, more = square
    task = loaded({"images": more, "ids": np.array(list("abcde"))})
    assert (task.transfer.inputs == more[..., None]).all()
    assert task.transfer.ids.tolist() == [f"transfer/{name}" for name in "abcde"]
    assert task.transfer.labels.tolist() == [-1] * 5
    assert task.transfer.labels.dtype == task.train.labels.dtype
    assert task.overlap.transfer == 0
    assert task.rows(Rows.TRANSFER) is task.transfer
    both = task.rows(Rows.BOTH)
    assert both.labels.tolist() == [0, 1] * 6 + [-1] * 5
    assert both.ids[12] == "transfer/a"


def test_the_hash_of_the_task_sees_them_and_its_preprocessing_does_not(square, loaded):
    _, more = square
    one, other = loaded({"images": more}), loaded({"images": more[:4]})
    assert one.transfer.ids[0] == "transfer/000000"
    assert one.content_hash != other.content_hash
    assert one.split_hashes == other.split_hashes
    assert one.preprocessing == other.preprocessing


def test_images_of_another_size_are_resized_as_a_folder_is(square, loaded, tmp_path):
    random = np.random.default_rng(2)
    large = random.integers(0, 256, (3, 10, 14)).astype(np.uint8)
    expected = np.stack([resize(image[..., None], 6) for image in large])
    assert (loaded({"images": large}).transfer.inputs == expected).all()
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for number, image in enumerate(large):
        Image.fromarray(image).save(tmp_path / "images" / ("deep" if number else "") / f"{number}.png")
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    task = loaded(source=f"folder:{tmp_path / 'images'}")
    assert task.transfer.ids.tolist() == ["transfer/0.png", "transfer/deep/1.png", "transfer/deep/2.png"]
    assert (task.transfer.inputs == expected).all()


def test_a_folder_is_read_as_the_task_s_own_folder_was(tmp_path):
    random = np.random.default_rng(3)
    for name in ("a", "b"):
        (tmp_path / "task" / name).mkdir(parents=True)
        for number in range(12):
            image = random.integers(0, 256, (12, 16, 3)).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "task" / name / f"{number}.png")
    (tmp_path / "more").mkdir()
    Image.fromarray(random.integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(tmp_path / "more" / "x.png")
    task = load_task(
        f"folder:{tmp_path / 'task'}", transfer=f"folder:{tmp_path / 'more'}", size=8, channels=1, crop=False
    )
    squeezed = resize(decode((tmp_path / "more" / "x.png").read_bytes(), "x", 1), 8, cropped=False)
    assert (task.transfer.inputs == squeezed[None]).all()


def test_rows_that_judge_are_refused_or_dropped_and_counted(square, loaded):
    arrays, more = square
    more[1], more[3] = arrays["test_images"][2], arrays["val_images"][0]
    more[4] = arrays["train_images"][5]  # a training row may be there twice
    with pytest.raises(DataError) as caught:
        loaded({"images": more})
    assert "of 5 transfer rows 1 are also in validation (first rows 3 (000003))" in caught.value.given
    assert "1 are also in test (first rows 1 (000001))" in caught.value.given
    task = loaded({"images": more}, overlap="drop-train")
    assert task.transfer.ids.tolist() == ["transfer/000000", "transfer/000002", "transfer/000004"]
    assert (task.overlap.transfer, task.overlap.dropped, task.overlap.total) == (2, 2, 2)
    with pytest.raises(DataError, match="every row is also in validation or test"):
        loaded({"images": arrays["test_images"]}, overlap="drop-train")


def test_several_labels_are_minus_one_too(square, write):
    arrays, more = square
    labels = {
        f"{s}_labels": np.eye(3, dtype=np.uint8)[np.arange(n) % 3] for s, n in (("train", 12), ("val", 6), ("test", 6))
    }
    path = write(arrays | labels)
    task = load_task(f"npz:{path}", kind="multi-label", transfer=f"npz:{write({'images': more}, 'm.npz')}")
    assert task.transfer.labels.shape == (5, 3)
    both = joined(task.train, task.transfer).labels
    assert both.min() == -1
    assert (both[:12] == task.train.labels).all()


def test_signals(write):
    random = np.random.default_rng(0)
    made = {}
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        made[f"{split}_x"] = random.normal(size=(count, 8, 2)).astype(np.float32)
        made[f"{split}_y"] = np.arange(count) % 2
    source = f"signals:{write(made)}"
    more = random.normal(size=(4, 8, 2)).astype(np.float32)
    task = load_task(source, transfer=f"npz:{write({'inputs': more}, 'm.npz')}")
    assert (task.transfer.inputs == more).all()
    more[2, 3, 1] = np.nan
    with pytest.raises(DataError, match=r"m\.npz: row 2 has a value that is NaN"):
        load_task(source, transfer=f"npz:{write({'inputs': more}, 'm.npz')}")
    with pytest.raises(DataError, match=r"shape \(4, 8, 1\)"):
        load_task(source, transfer=f"npz:{write({'inputs': more[..., :1]}, 'm.npz')}")
    with pytest.raises(InputError, match="no images"):
        load_task(source, transfer="folder:somewhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: {"pictures": x}, "a transfer set with pictures"),
        (lambda x: {"images": x.astype(np.float32)}, "rows of type float32; expected uint8"),
        (lambda x: {"images": np.repeat(x[..., None], 3, axis=3)}, "row 0: an image of 3 channels; expected 1"),
        (lambda x: {"images": np.repeat(np.repeat(x, 2, axis=1)[..., None], 3, axis=3)}, "an image of 3 channels"),
        (lambda x: {"images": x, "inputs": x}, "a transfer set with images, inputs"),
        (lambda x: {"images": x, "ids": np.array(list("abcbe"))}, "row 3: id b stands there twice"),
        (lambda x: {"images": x, "ids": np.array(list("abc"))}, "ids has 3 rows"),
        (lambda x: {"images": x[:0]}, "0 rows"),
        (lambda x: {"images": x[0]}, "images of shape (6, 6)"),
        (lambda x: {"images": np.array(3)}, "single value"),
    ],
)
def test_bad_arrays_are_named(square, loaded, change, words):
    with pytest.raises(DataError) as caught:
        loaded(change(square[1]))
    assert words in str(caught.value)
    assert "transfer" in str(caught.value)


def test_bad_sources_are_named(square, loaded, tmp_path):
    for source in ("medmnist:x", "npz:", "here"):
        with pytest.raises(InputError, match=r"expected npz:PATH .* or folder:PATH"):
            loaded(source=source)
    with pytest.raises(DataError, match="no such folder"):
        loaded(source=f"folder:{tmp_path / 'nothing'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no PNG, JPEG or DICOM files"):
        loaded(source=f"folder:{tmp_path / 'empty'}")
    (tmp_path / "empty" / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"a\.png: 6 bytes that are no whole image"):
        loaded(source=f"folder:{tmp_path / 'empty'}")


def test_images_that_are_not_square_are_not_resized(arrays, write):
    path = write(arrays)  # 5 x 4
    own = np.zeros((2, 5, 4), dtype=np.uint8) + np.arange(2, dtype=np.uint8)[:, None, None]
    assert len(load_task(f"npz:{path}", transfer=f"npz:{write({'images': own}, 't.npz')}").transfer) == 2
    with pytest.raises(DataError, match="whose images are 5 x 4"):
        load_task(f"npz:{path}", transfer=f"npz:{write({'images': own[:, :4]}, 't.npz')}")
