"""A picture file to a raw row as the record says, what the record refuses, and hashes that it leaves as they were."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from galenic.preprocess.picture import picture_row
from galenic.record.base import content_hash
from galenic.record.errors import DataError
from galenic.record.preprocessing import Modality, Picture, Preprocessing, Resample
from galenic.tasks.load import load_task

GREY = Preprocessing(modality=Modality.IMAGE, raw_shape=(4, 4, 1), scale=1 / 255, mean=(0.5,), std=(0.25,))


def png(pixels: np.ndarray) -> bytes:
    data = BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def test_the_middle_square_is_taken_unless_the_record_says_otherwise() -> None:
    pixels = np.zeros((4, 12), np.uint8)
    pixels[:, 4:8] = 200
    assert (picture_row(GREY, png(pixels), "a.png") == 200).all()
    assert picture_row(GREY, png(pixels), "a.png").shape == (1, 4, 4, 1)
    squeezed = GREY.model_copy(update={"picture": Picture(cropped=False, resample=Resample.BILINEAR)})
    # three pixels become one; a triangle of three pixels to each side of the middle weighs them 1/3, 2/3, 1, 2/3, 1/3: column 0
    # reaches pixel 3, and column 1 sees the 200 of pixels 4, 5 and 6: 200 * (1 + 2/3 + 1/3) / 3 = 133.3
    assert picture_row(squeezed, png(pixels), "a.png")[0, 0, :, 0].tolist() == [0, 133, 133, 0]


def test_colours_become_grey_where_the_task_is_grey() -> None:
    pixels = np.full((4, 4, 3), (100, 150, 200), np.uint8)
    assert (picture_row(GREY, png(pixels), "a.png") == 141).all()


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
        picture_row(spec, png(np.zeros((4, 4), np.uint8)), "a.png")


def test_a_picture_belongs_to_images() -> None:
    with pytest.raises(ValidationError, match="table rows are not made of pictures"):
        Preprocessing(modality=Modality.TABLE, raw_shape=(1,), scale=1, mean=(0,), std=(1,), picture=Picture())


def test_where_nobody_says_how_the_hash_is_what_it_was() -> None:
    values = {"modality": "image", "raw_shape": [4, 4, 1], "scale": 1 / 255, "mean": [0.5], "std": [0.25]}
    assert GREY.digest() == content_hash(values)
    known = GREY.model_copy(update={"picture": Picture()})
    assert known.digest() == content_hash(values | {"picture": {"cropped": True, "resample": "bicubic"}})
    assert Preprocessing.model_validate_json(known.model_dump_json()) == known
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
    row = picture_row(task.preprocessing, (tmp_path / first).read_bytes(), first)
    assert np.array_equal(row[0], task.validation.inputs[0])
