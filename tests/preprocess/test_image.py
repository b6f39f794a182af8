from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from galenic.preprocess.image import Resample, centre_crop, decode, resize
from galenic.record.errors import DataError


def png(pixels, mode=None):
    buffer = BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "PNG") if mode else Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_png_comes_back_exactly():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert (decode(png(pixels), "a.png") == pixels).all()


def test_rgb_to_grey_is_the_luma_of_itu_601():
    pixels = np.array([[[100, 150, 200]]], dtype=np.uint8)
    # 0.299 * 100 + 0.587 * 150 + 0.114 * 200 = 140.75
    assert decode(png(pixels), "a.png", channels=1).tolist() == [[[141]]]


def test_sixteen_bits_keep_the_high_byte():
    pixels = np.array([[0x1234, 0xFF00]], dtype=np.uint16)
    assert decode(png(pixels), "a.png", channels=1)[..., 0].tolist() == [[0x12, 0xFF]]


def test_exif_orientation_is_applied():
    image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    buffer = BytesIO()
    image.save(buffer, "PNG", exif=exif)
    assert decode(buffer.getvalue(), "a.png", channels=1)[..., 0].tolist() == [[0], [255]]


@pytest.mark.parametrize("data", [b"", b"not an image", png(np.zeros((9, 9), np.uint8))[:40]])
def test_a_broken_file_is_named(data):
    with pytest.raises(DataError, match=r"scan7\.png: .* no whole image"):
        decode(data, "scan7.png")


def test_other_formats_are_refused():
    buffer = BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(buffer, "GIF")
    with pytest.raises(DataError, match=r"a\.gif"):
        decode(buffer.getvalue(), "a.gif")


def test_centre_crop_by_hand():
    image = np.arange(10).reshape(2, 5, 1)
    assert centre_crop(image)[..., 0].tolist() == [[1, 2], [6, 7]]


def test_resize_crops_or_squeezes():
    image = np.zeros((4, 8, 1), dtype=np.uint8)
    image[:, 2:6] = 200  # the middle square
    assert (resize(image, 4) == 200).all()
    squeezed = resize(image, 4, cropped=False, resample=Resample.BILINEAR)
    assert squeezed.shape == (4, 4, 1)
    assert squeezed[0, 0, 0] < 100 < squeezed[0, 1, 0]


def test_resize_of_colour_keeps_a_flat_colour():
    image = np.full((30, 20, 3), (10, 20, 30), dtype=np.uint8)
    assert (resize(image, 8) == (10, 20, 30)).all()


def test_bad_options_are_refused():
    with pytest.raises(DataError, match="2 channels"):
        decode(png(np.zeros((2, 2), np.uint8)), "a.png", channels=2)
    with pytest.raises(DataError, match="0 pixels"):
        resize(np.zeros((2, 2, 1), np.uint8), 0)
