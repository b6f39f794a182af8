import io
import tarfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from galenic.record.errors import DataError
from galenic.tasks import load_task
from galenic.tasks.cifar10 import CLASSES

NAMES = [f"data_batch_{batch}.bin" for batch in range(1, 6)] + ["test_batch.bin"]


@pytest.fixture
def batches():
    """File name -> (20, 3073) uint8: a label and 3,072 pixel bytes, channel first."""
    random = np.random.default_rng(0)
    made = {}
    for name in NAMES:
        made[name] = random.integers(0, 256, (20, 3073)).astype(np.uint8)
        made[name][:, 0] = np.arange(20) % 10
    return made


@pytest.fixture
def folder(batches, tmp_path):
    def write():
        where = tmp_path / "cifar-10-batches-bin"
        where.mkdir(exist_ok=True)
        for name, table in batches.items():
            (where / name).write_bytes(table.tobytes())
        return where

    return write


def test_binary_folder(batches, folder):
    task = load_task("cifar10", path=folder(), validation=20)
    assert task.name == "CIFAR-10"
    assert task.classes == CLASSES
    assert (len(task.train), len(task.validation), len(task.test)) == (80, 20, 20)
    image = task.test.inputs[4]
    pixels = batches["test_batch.bin"][4, 1:]
    assert image[0, 0].tolist() == [pixels[0], pixels[1024], pixels[2048]]
    assert image[31, 30, 1] == pixels[1024 + 31 * 32 + 30]


def test_archive_is_the_same(folder, tmp_path):
    where = folder()
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(where, arcname="cifar-10-batches-bin")
    assert (
        load_task("cifar10", path=archive, validation=20).content_hash
        == load_task("cifar10", path=where, validation=20).content_hash
    )
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        load_task("cifar10", path=archive)


def test_pickles_are_refused_by_name(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(DataError, match="batches are pickles"):
        load_task("cifar10", path=tmp_path)
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        info = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        info.size = 4
        file.addfile(info, io.BytesIO(b"abcd"))
    with pytest.raises(DataError, match="batches are pickles"):
        load_task("cifar10", path=archive)


def test_missing_batch(folder):
    where = folder()
    (where / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"no data_batch_3\.bin; the folder has data_batch_1\.bin"):
        load_task("cifar10", path=where)


def test_cut_batch(folder):
    where = folder()
    cut = where / "data_batch_2.bin"
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"data_batch_2\.bin: 61360 bytes, cut off in row 19"):
        load_task("cifar10", path=where)


def test_label_out_of_range(batches, folder):
    batches["test_batch.bin"][6, 0] = 200
    with pytest.raises(DataError, match=r"test_batch\.bin, row 6: label 200"):
        load_task("cifar10", path=folder())


@pytest.fixture
def jpegs():
    random = np.random.default_rng(1)
    made = {"class_names": np.array(CLASSES)}
    for split, count in (("train", 60), ("test", 20)):
        files = []
        for _ in range(count):
            buffer = BytesIO()
            Image.fromarray(random.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(buffer, "JPEG")
            files.append(buffer.getvalue())
        made[f"{split}_jpeg"] = np.frombuffer(b"".join(files), dtype=np.uint8)
        made[f"{split}_offsets"] = np.cumsum([0, *map(len, files)])
        made[f"{split}_labels"] = (np.arange(count) % 10).astype(np.uint8)
    return made


def test_jpegs_laid_end_to_end(jpegs, write):
    task = load_task("cifar10", path=write(jpegs), validation=20)
    assert task.name == "CIFAR-10, JPEG copy"
    assert (len(task.train), len(task.validation), len(task.test)) == (40, 20, 20)
    start, stop = jpegs["test_offsets"][3:5]
    pillow = np.asarray(Image.open(BytesIO(jpegs["test_jpeg"][start:stop].tobytes())))
    assert (task.test.inputs[3] == pillow).all()


def test_a_broken_jpeg_names_its_row(jpegs, write):
    data = jpegs["test_jpeg"].copy()
    start = jpegs["test_offsets"][5]
    data[start : start + 100] = 0
    jpegs["test_jpeg"] = data
    with pytest.raises(DataError, match=r"split test, row 5: .* no whole image"):
        load_task("cifar10", path=write(jpegs))


def test_offsets_that_do_not_fit(jpegs, write):
    jpegs["train_offsets"] = jpegs["train_offsets"][:-1]
    with pytest.raises(DataError, match="split train: offsets do not run from 0"):
        load_task("cifar10", path=write(jpegs))


@pytest.mark.slow
def test_the_real_copy(shared):
    task = load_task("cifar10", path=shared("cifar10_jpeg/cifar10_jpeg.npz"))
    assert [len(split) for split in task.splits.values()] == [45000, 200, 5000, 10000]
    # the published means are 125.3 / 122.9 / 113.9
    np.testing.assert_allclose(np.array(task.preprocessing.mean) * 255, [125.3, 122.9, 113.9], atol=0.5)
