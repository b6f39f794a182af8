"""A picture file to a raw row as the record says, what the record refuses, and hashes that it leaves as they were."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from dicom_files import dicom
from galenic.preprocess.picture import picture_rows
from galenic.record.base import content_hash
from galenic.record.errors import DataError
from galenic.record.preprocessing import FrameChoice, Frames, Modality, Picture, Preprocessing, Resample
from galenic.tasks.load import load_task

GREY = Preprocessing(modality=Modality.IMAGE, raw_shape=(4, 4, 1), scale=1 / 255, mean=(0.5,), std=(0.25,))


def png(pixels: np.ndarray) -> bytes:
    data = BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def test_the_middle_square_is_taken_unless_the_record_says_otherwise() -> None:
    pixels = np.zeros((4, 12), np.uint8)
    pixels[:, 4:8] = 200
    assert (picture_rows(GREY, png(pixels), "a.png") == 200).all()
    assert picture_rows(GREY, png(pixels), "a.png").shape == (1, 4, 4, 1)
    squeezed = GREY.model_copy(update={"picture": Picture(cropped=False, resample=Resample.BILINEAR)})
    # three pixels become one; a triangle of three pixels to each side of the middle weighs them 1/3, 2/3, 1, 2/3, 1/3: column 0
    # reaches pixel 3, and column 1 sees the 200 of pixels 4, 5 and 6: 200 * (1 + 2/3 + 1/3) / 3 = 133.3
    assert picture_rows(squeezed, png(pixels), "a.png")[0, 0, :, 0].tolist() == [0, 133, 133, 0]


def test_colours_become_grey_where_the_task_is_grey() -> None:
    pixels = np.full((4, 4, 3), (100, 150, 200), np.uint8)
    assert (picture_rows(GREY, png(pixels), "a.png") == 141).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"raw_shape": (4, 5, 1)},
        {"raw_shape": (4, 4, 2), "mean": (0, 0), "std": (1, 1)},
        {"scale": 1 / 16},
        {"modality": Modality.SIGNAL, "raw_shape": (50, 1)},
        {"modality": Modality.TABLE, "raw_shape": (1,)},
    ],
)
def test_what_has_no_8_bit_pictures_is_refused_by_its_shape(changes: dict) -> None:
    spec = Preprocessing(**GREY.model_dump() | changes)
    with pytest.raises(DataError, match="square grey or RGB pictures of 8 bits"):
        picture_rows(spec, png(np.zeros((4, 4), np.uint8)), "a.png")


@pytest.mark.parametrize(
    ("frames", "wanted"), [(Frames.FIRST, [10]), (Frames.MIDDLE, [20]), (3, [30]), (Frames.ALL, [10, 20, 30])]
)
def test_clips_become_rows_by_the_frames_that_the_task_took(frames: FrameChoice, wanted: list[int]) -> None:
    clip = dicom(np.stack([np.full((4, 4), value, np.uint8) for value in (10, 20, 30)]))
    spec = GREY.model_copy(update={"picture": Picture(frames=frames)})
    assert picture_rows(spec, clip, "a")[:, 0, 0, 0].tolist() == wanted
    assert picture_rows(spec, png(np.full((4, 4), 7, np.uint8)), "a.png")[:, 0, 0, 0].tolist() == [7]
    with pytest.raises(DataError, match="a: 3 frames; expected one picture, or the option frames"):
        picture_rows(GREY, clip, "a")


def test_what_is_burned_in_is_refused_unless_it_is_allowed() -> None:
    burned = dicom(np.full((4, 4), 9, np.uint8), BurnedInAnnotation="YES")
    with pytest.raises(DataError, match="a: Burned In Annotation is YES"):
        picture_rows(GREY, burned, "a")
    assert (picture_rows(GREY, burned, "a", burned_in=True) == 9).all()


def test_a_picture_belongs_to_images() -> None:
    with pytest.raises(ValidationError, match="table rows are not made of pictures"):
        Preprocessing(modality=Modality.TABLE, raw_shape=(1,), scale=1, mean=(0,), std=(1,), picture=Picture())


def test_where_nobody_says_how_the_hash_is_what_it_was() -> None:
    values = {"modality": "image", "raw_shape": [4, 4, 1], "scale": 1 / 255, "mean": [0.5], "std": [0.25]}
    assert GREY.digest() == content_hash(values)
    known = GREY.model_copy(update={"picture": Picture()})
    assert known.digest() == content_hash(values | {"picture": {"cropped": True, "resample": "bicubic"}})
    assert Preprocessing.model_validate_json(known.model_dump_json()) == known
    for frames, said in ((Frames.MIDDLE, "middle"), (2, 2)):
        clips = GREY.model_copy(update={"picture": Picture(frames=frames)})
        assert clips.model_dump(mode="json")["picture"]["frames"] == said
        assert Preprocessing.model_validate_json(clips.model_dump_json()) == clips
    with pytest.raises(ValidationError):
        Picture(frames=0)
    assert GREY.of_pictures() == Picture()


def test_a_folder_says_how_its_rows_were_made(tmp_path) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        place = tmp_path / ("ill" if number % 2 else "well")
        place.mkdir(exist_ok=True)
        (place / f"{number}.png").write_bytes(png(random.integers(0, 256, (9, 13, 3), dtype=np.uint8)))
    task = load_task(f"folder:{tmp_path}", size=8, crop=False, resample="bilinear", calibration=2)
    assert task.preprocessing.picture == Picture(cropped=False, resample=Resample.BILINEAR)
    first = task.validation.ids[0]
    row = picture_rows(task.preprocessing, (tmp_path / first).read_bytes(), first)
    assert np.array_equal(row[0], task.validation.inputs[0])
