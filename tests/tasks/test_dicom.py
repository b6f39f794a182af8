import json
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from dicom_files import CANARY, dicom, jpeg, told
from galenic.preprocess.image import centre_crop
from galenic.preprocess.picture import picture_rows
from galenic.record.errors import DataError, InputError
from galenic.record.preprocessing import Frames, Picture, Resample
from galenic.record.task import SplitName
from galenic.tasks import load_task

LABELS = ("benign", "malignant")


def scans(root, count=40, make=dicom, **elements):
    """``count`` files of 8 x 8 pixels in two folders, every second one malignant; patient p has files 2p and 2p + 1."""
    random = np.random.default_rng(1)
    lines = []
    for number in range(count):
        path = root / ("left" if number % 3 else "right/old") / f"{number:03d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(random.integers(0, 256, elements.get("shape", (8, 8))).astype(np.uint8)))
        label = LABELS[number // 2 % 2]
        lines.append(
            {
                "file": path.relative_to(root).as_posix(),
                "label": label,
                "patient": f"p{number // 2}",
                "sex": "FM"[number % 2],
            }
        )
    return lines


def write(root, lines, name="labels.csv"):
    path = root / name
    path.write_text("\n".join([",".join(lines[0]), *(",".join(line.values()) for line in lines)]) + "\n")
    return path


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "scans"
    write(root, scans(root))
    return root


def load(root, **options):
    return load_task(f"dicom:{root}", size=8, **options)


def test_whole_patients_are_held_out(root):
    task = load(root)
    assert task.name == "scans"
    assert task.classes == LABELS
    assert task.positive == ()  # the alphabet does not say which is disease
    assert task.preprocessing.raw_shape == (8, 8, 1)
    assert [len(task.splits[name]) for name in SplitName] == [24, 2, 4, 12]
    sides = [set(split.clusters) for split in (task.train, task.validation, task.test)]
    assert sum(map(len, sides)) == 20
    assert set.union(*sides) == {f"p{number}" for number in range(20)}
    assert load(root).content_hash == task.content_hash
    assert load(root, seed=1).content_hash != task.content_hash
    ordered = load(root, classes="benign,malignant")
    assert ordered.positive == (1,)


def test_pixels_and_ids_are_those_of_the_files(root):
    task = load(root)
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (8, 8)).astype(np.uint8) for _ in range(40)]
    for split in (task.train, task.validation, task.test):
        for image, case, label in zip(split.inputs, split.ids, split.labels, strict=True):
            number = int(Path(case).stem)
            assert np.array_equal(image[..., 0], images[number])
            assert label == number // 2 % 2


def test_the_split_column_decides(root):
    lines = scans(root)
    for number, line in enumerate(lines):
        line["split"] = ("train", "Val", "test", "train")[number // 4 % 4]
    write(root, lines)
    task = load(root, group_columns="sex")
    assert set(task.validation.clusters) == {"p2", "p3", "p10", "p11", "p18", "p19"}
    assert set(np.unique(task.test.groups["sex"])) == {"F", "M"}
    lines[0]["patient"] = "p2"
    write(root, lines)
    with pytest.raises(DataError, match=r"two sides of a split \(identical rows or the same patient\)"):
        load(root)
    lines[0]["split"] = "dev set"
    write(root, lines)
    with pytest.raises(DataError, match=r"line 2: the split 'dev set'; expected one of train, val"):
        load(root)


def test_without_patients_nothing_is_guessed(root):
    lines = scans(root)
    for line in lines:
        del line["patient"]
    write(root, lines)
    with pytest.raises(DataError, match=r"patient tags are never read.*one_file_per_patient = true") as caught:
        load(root)
    assert CANARY not in told(caught.value)
    task = load(root, one_file_per_patient=True)
    assert task.train.clusters is None
    assert len(task.test) == 10


def test_files_by_name_alone_and_their_own_ids(root):
    lines = scans(root)
    for line in lines:
        line["case"] = "case-" + line["file"][-7:-4]
        line["file"] = line["file"].rpartition("/")[2]
    write(root, lines)
    assert all(case.startswith("case-0") for case in load(root, id_column="case").train.ids)
    shutil.copy(root / "left" / "001.dcm", root / "right" / "001.dcm")
    with pytest.raises(DataError, match=r"line 3: the file '001.dcm' stands at left/001.dcm, right/001.dcm"):
        load(root)


@pytest.mark.parametrize(
    ("cell", "part"),
    [
        ("left/999.dcm", "is not in"),
        ("../labels.csv", "is not in"),
        ("/etc/passwd", "is not in"),
        ("right/old/000.dcm", "stands in line 2 too"),
        ("", "nothing in the column file"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_its_line(root, cell, part):
    lines = scans(root)
    lines[4]["file"] = cell
    write(root, lines)
    with pytest.raises(DataError, match=rf"line 6.*{part}"):
        load(root)


def test_every_frame_of_a_clip_is_a_row_and_none_stands_apart(tmp_path):
    root = tmp_path / "clips"
    lines = scans(root, 24, shape=(3, 8, 8))
    for line in lines:
        del line["patient"]
    write(root, lines)
    with pytest.raises(DataError, match="3 frames; expected one picture, or the option frames"):
        load(root, one_file_per_patient=True)
    task = load(root, frames="all", one_file_per_patient=True)
    assert sum(len(split) for split in (task.train, task.validation, task.test)) == 72
    assert all(case.endswith(("#0001", "#0002", "#0003")) for case in task.train.ids)
    assert not set(task.train.clusters) & set(task.test.clusters)
    middle = load(root, frames="middle", one_file_per_patient=True)
    every = {case: row for split in task.splits.values() for case, row in zip(split.ids, split.inputs, strict=True)}
    for case, row in zip(middle.test.ids, middle.test.inputs, strict=True):
        assert np.array_equal(row, every[f"{case}#0002"])
    assert middle.preprocessing.picture == Picture(frames=Frames.MIDDLE)
    for case, row in zip(middle.test.ids, middle.test.inputs, strict=True):
        assert np.array_equal(picture_rows(middle.preprocessing, (root / case).read_bytes(), case), row[None])
    third = load(root, frames=3, one_file_per_patient=True)
    assert np.array_equal(third.test.inputs[0], every[f"{third.test.ids[0]}#0003"])
    with pytest.raises(DataError, match="frame 4 of 3"):
        load(root, frames="4", one_file_per_patient=True)


def test_compressed_colour_among_grey_makes_all_of_them_rgb(tmp_path):
    root = tmp_path / "mixed"
    lines = scans(root, 24)
    colour = np.random.default_rng(5).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    (root / lines[0]["file"]).write_bytes(jpeg(colour, JPEG2000Lossless, photometric="YBR_RCT"))
    write(root, lines)
    task = load(root)
    assert task.preprocessing.raw_shape == (8, 8, 3)
    rows = {case: row for split in task.splits.values() for case, row in zip(split.ids, split.inputs, strict=True)}
    assert np.array_equal(rows[lines[0]["file"]], colour)
    grey = rows[lines[1]["file"]]
    assert (grey == grey[..., :1]).all()
    assert load(root, channels=1).preprocessing.raw_shape == (8, 8, 1)
    with pytest.raises(InputError, match="channels=2"):
        load(root, channels=2)


def test_pictures_are_cut_and_resized_as_those_of_folders(tmp_path):
    root = tmp_path / "wide"
    lines = scans(root, 24, shape=(20, 30))
    write(root, lines)
    task = load(root)
    random = np.random.default_rng(1)
    first = random.integers(0, 256, (20, 30)).astype(np.uint8)
    assert task.preprocessing.picture == Picture(cropped=True, resample=Resample.BICUBIC)
    data = (root / lines[0]["file"]).read_bytes()
    wanted = np.asarray(Image.fromarray(centre_crop(first[..., None])[..., 0]).resize((8, 8), Image.Resampling.BICUBIC))
    rows = {case: row for split in task.splits.values() for case, row in zip(split.ids, split.inputs, strict=True)}
    assert np.array_equal(rows[lines[0]["file"]][..., 0], wanted)
    assert np.array_equal(picture_rows(task.preprocessing, data, "scan.dcm")[0, ..., 0], wanted)


def test_names_that_are_burned_into_the_pixels(root):
    path = root / "left" / "004.dcm"
    pixels = np.random.default_rng(9).integers(0, 256, (8, 8)).astype(np.uint8)
    path.write_bytes(dicom(pixels, BurnedInAnnotation="YES"))
    with pytest.raises(DataError, match=r"004\.dcm: Burned In Annotation is YES"):
        load(root)
    assert len(load(root, burned_in=True).test) == 12


def test_transfer_rows_are_read_as_the_tasks_own_files_were(root, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    clip = np.random.default_rng(11).integers(0, 256, (3, 8, 8)).astype(np.uint8)
    (more / "a.dcm").write_bytes(dicom(clip, BurnedInAnnotation="YES"))
    with pytest.raises(DataError, match=r"a\.dcm: Burned In Annotation is YES"):
        load(root, frames="all", transfer=f"folder:{more}")
    rows = load(root, frames="all", burned_in=True, transfer=f"folder:{more}").transfer
    assert rows.ids.tolist() == [f"transfer/a.dcm#000{number}" for number in (1, 2, 3)]
    assert np.array_equal(rows.inputs[..., 0], clip)
    one = load(root, frames="middle", burned_in=True, transfer=f"folder:{more}").transfer
    assert one.ids.tolist() == ["transfer/a.dcm"]
    assert np.array_equal(one.inputs[0, ..., 0], clip[1])


def everything(value):
    """Every text and every byte of an object and of what it holds."""
    if isinstance(value, np.ndarray):
        return value.tobytes() + b"".join(
            everything(str(item)) for item in value.ravel()[: 0 if value.dtype.kind != "U" else None]
        )
    if is_dataclass(value):
        return b"".join(everything(getattr(value, entry.name)) for entry in fields(value))
    if hasattr(value, "model_dump_json"):
        return value.model_dump_json().encode()
    if isinstance(value, dict):
        return b"".join(everything(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return b"".join(map(everything, value))
    return str(value).encode()


def test_no_patient_tag_is_in_the_task_nor_in_what_is_stored_of_it(root, tmp_path):
    assert all(CANARY.encode() in path.read_bytes() for path in root.rglob("*.dcm"))
    task = load(root, frames="first")
    assert b"malignant" in everything(task)
    assert b"p17" in everything(task)
    assert CANARY.encode() not in everything(task)
    stored = tmp_path / "stored.npz"
    np.savez(
        stored,
        **{f"{n}_{f}": getattr(s, f) for n, s in task.splits.items() for f in ("inputs", "labels", "ids", "clusters")},
    )
    assert CANARY.encode() not in stored.read_bytes()
    assert CANARY not in json.dumps([task.split_hashes, task.preprocessing.model_dump(mode="json"), task.source])


@pytest.mark.parametrize(
    "damage", [lambda d: d[:400], lambda d: b"", lambda d: d.replace(b"MONOCHROME2", b"CANARY4711 ")]
)
def test_a_damaged_file_is_named_without_its_patient(root, damage):
    path = root / "left" / "010.dcm"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"010\.dcm") as caught:
        load(root)
    assert CANARY not in told(caught.value)


def test_what_is_missing_is_said(root, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "nothing")
    with pytest.raises(InputError, match="did you mean 'label'"):
        load(root, label_column="labels")
    with pytest.raises(DataError, match="the label 'malignant'; expected one of the classes benign, naevus"):
        load(root, classes="benign,naevus")
    with pytest.raises(InputError, match="multi-label"):
        load(root, kind="multi-label")
    (root / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"labels\.csv: no such file"):
        load(root)


def test_dicom_files_where_pictures_are(root, tmp_path):
    classes = tmp_path / "classes"
    for number, path in enumerate(sorted(root.rglob("*.dcm"))):
        target = classes / LABELS[number % 2] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    task = load_task(f"folder:{classes}", size=8, channels=1)
    assert sum(len(split) for split in (task.train, task.validation, task.test)) == 40
    assert CANARY.encode() not in everything(task)
    extra = tmp_path / "extra"
    scans(extra, 3, shape=(30, 30))
    options = {"crop": False, "resample": "bilinear"}
    with_rows = load(root, transfer=f"folder:{extra}", overlap="drop-train", **options)
    assert len(with_rows.transfer) == 3
    random = np.random.default_rng(1)
    first = random.integers(0, 256, (30, 30)).astype(np.uint8)
    squeezed = np.asarray(Image.fromarray(first).resize((8, 8), Image.Resampling.BILINEAR))
    rows = dict(zip(with_rows.transfer.ids, with_rows.transfer.inputs, strict=True))
    assert np.array_equal(rows["transfer/right/old/000.dcm"][..., 0], squeezed)
