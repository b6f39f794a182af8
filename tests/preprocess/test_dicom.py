import sys
import tracemalloc
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicom_files import CANARY, dataset, dicom, item, jpeg, table, to_bytes, told, with_raw_pixels
from galenic.preprocess import dicom as room
from galenic.preprocess import dicom_file
from galenic.preprocess.dicom import decode_frame
from galenic.preprocess.dicom_picture import read_picture
from galenic.preprocess.image import decode
from galenic.record.errors import DataError, MissingPackage
from galenic.record.preprocessing import Frames

RANDOM = np.random.default_rng(0)
GREY8 = RANDOM.integers(0, 256, (6, 5)).astype(np.uint8)
GREY12 = RANDOM.integers(0, 4096, (6, 5)).astype(np.uint16)
RGB = RANDOM.integers(0, 256, (6, 5, 3)).astype(np.uint8)
SMOOTH = (np.add.outer(np.arange(32), np.arange(40)) * 3).astype(np.uint8)
CLIP = RANDOM.integers(0, 256, (4, 6, 5)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _no_patient_in_the_log(caplog):
    caplog.set_level("DEBUG")
    yield
    assert CANARY not in caplog.text


def decode_dicom(data, name, frames=None, **kwargs):
    """The one frame that is wanted."""
    (shown,) = room.decode_dicom(data, name, frames, **kwargs)
    return shown


def refused(data, name="scan.dcm", error=DataError, **kwargs):
    """What the error says; the patient is in none of it, nor in what hangs on it."""
    with pytest.raises(error) as caught:
        decode_dicom(data, name, **kwargs)
    assert CANARY not in told(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless],
)
def test_eight_bits_come_back_as_they_are(syntax):
    made = dataset(GREY8, syntax if syntax != RLELossless else ExplicitVRLittleEndian)
    if syntax == RLELossless:
        made.compress(RLELossless, generate_instance_uid=False)
    if syntax == ExplicitVRBigEndian:
        made["PixelData"].VR = "OB"
    assert np.array_equal(decode_dicom(to_bytes(made), "a")[..., 0], GREY8)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_bare_dataset_is_read_by_its_suffix(syntax):
    made = dataset(GREY8, syntax)
    if syntax == ExplicitVRBigEndian:
        made["PixelData"].VR = "OB"
    bare = to_bytes(made, preamble=False)
    assert bare[128:132] != b"DICM"
    assert np.array_equal(decode(bare, "a/scan.DCM", 1)[..., 0], GREY8)
    with pytest.raises(DataError, match="no whole image"):
        decode(bare, "a/scan.png", 1)


def test_pictures_are_told_by_their_bytes_whatever_they_are_called():
    assert np.array_equal(decode(dicom(GREY8), "IM0001", 1)[..., 0], GREY8)
    assert np.array_equal(decode(dicom(GREY8), "a.png", 3), np.repeat(GREY8[..., None], 3, axis=2))
    # 0.299 * 100 + 0.587 * 150 + 0.114 * 200 = 140.75
    colour = np.full((2, 2, 3), (100, 150, 200), dtype=np.uint8)
    assert decode(dicom(colour, photometric="RGB"), "a", 1)[..., 0].tolist() == [[141, 141], [141, 141]]


@pytest.mark.parametrize("kind", ["<u2", "<i2"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_twelve_bits_signed_and_not(kind, syntax):
    # c - 0.5 = 0.5, w - 1 = 4000
    signed = kind == "<i2"
    values = (GREY12.astype(int) - 2048 * signed).astype(kind)
    made = dicom(values, syntax, bits=12, WindowCenter=1, WindowWidth=4001)
    wanted = np.floor(255 * np.clip((values.astype(float) - 0.5) / 4000 + 0.5, 0, 1) + 0.5)
    assert np.array_equal(decode_dicom(made, "a")[..., 0], wanted)


def test_unused_bits_of_a_stored_value_count_for_nothing():
    dirty = GREY12 | 0xA000
    shown = decode_dicom(dicom(dirty, bits=12, WindowCenter=2048, WindowWidth=4096), "a")
    assert np.array_equal(shown, decode_dicom(dicom(GREY12, bits=12, WindowCenter=2048, WindowWidth=4096), "a"))


def test_rescale_then_the_first_of_several_windows():
    # CT: stored 0 is -1024; window 40, 400: c - 0.5 = 39.5, w - 1 = 399
    stored = np.array([[1024, 1063], [1064, 2000]], dtype=np.uint16)
    said = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": [40, 600], "WindowWidth": [400, 2000]}
    shares = np.clip((stored.astype(float) - 1024 - 39.5) / 399 + 0.5, 0, 1)
    wanted = np.floor(255 * shares + 0.5)
    assert wanted.tolist() == [[102, 127], [128, 255]]
    assert np.array_equal(decode_dicom(dicom(stored, bits=12, **said), "a")[..., 0], wanted)
    white_first = dicom(stored, bits=12, photometric="MONOCHROME1", **said)
    assert np.array_equal(decode_dicom(white_first, "a")[..., 0], 255 - wanted)


def test_the_curve_of_the_window_is_used():
    made = {"WindowCenter": 50, "WindowWidth": 100}
    stored = np.array([[0, 25, 75, 200]], dtype=np.uint8)
    exact = decode_dicom(dicom(stored, VOILUTFunction="LINEAR_EXACT", **made), "a")[..., 0]
    assert exact.tolist() == [[0, 64, 191, 255]]  # 255 * (0, 0.25, 0.75, 1)
    sigmoid = decode_dicom(dicom(stored, VOILUTFunction="SIGMOID", **made), "a")[..., 0]
    # 255 / (1 + exp(-4 (value - 50) / 100)): exp(2), exp(1), exp(-1), exp(-6)
    assert sigmoid.tolist() == [[30, 69, 186, 254]]


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_modality_and_voi_tables(vr):
    # modality: 0..3 -> 0, 10, 20, 30 ; voi: 10..12 -> 0, 200, 255 of 8 bits
    made = dataset(np.array([[0, 1, 2, 3]], np.uint8), WindowCenter=1, WindowWidth=1)
    made.ModalityLUTSequence = table([0, 10, 11, 30], 0, 8, vr)
    made.VOILUTSequence = table([0, 200, 255], 10, 8, vr)
    assert decode_dicom(to_bytes(made), "a")[..., 0].tolist() == [[0, 0, 200, 255]]


def test_a_table_of_eight_bits_packed_two_in_a_word():
    made = dataset(np.array([[0, 1, 2, 3]], np.uint8))
    voi = Dataset()
    voi.add_new("LUTDescriptor", "US", [4, 0, 8])
    voi.add_new("LUTData", "OW", bytes([9, 8, 7, 200]))
    made.VOILUTSequence = Sequence([voi])
    assert decode_dicom(to_bytes(made), "a")[..., 0].tolist() == [[9, 8, 7, 200]]


def test_padding_by_the_file():
    stored = np.array([[-2000, 0], [100, 200]], dtype=np.int16)
    made = dataset(stored)
    made.add_new("PixelPaddingValue", "SS", -2000)
    assert decode_dicom(to_bytes(made), "a")[..., 0].tolist() == [[0, 0], [128, 255]]
    made.add_new("PixelPaddingValue", "US", 65536 - 2000)  # a sign that some writers lose
    assert decode_dicom(to_bytes(made), "a")[..., 0].tolist() == [[0, 0], [128, 255]]


def test_windows_in_the_functional_groups_of_each_frame():
    made = dataset(np.array([[[0, 10]], [[0, 10]]], np.uint8), WindowCenter=1000, WindowWidth=1)
    made.SharedFunctionalGroupsSequence = item(
        PixelValueTransformationSequence=item(RescaleSlope=2, RescaleIntercept=0)
    )
    frames = [item(FrameVOILUTSequence=item(WindowCenter=c, WindowWidth=1))[0] for c in (100, 5)]
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data = to_bytes(made)
    assert decode_dicom(data, "a", 1)[..., 0].tolist() == [[0, 0]]
    assert decode_dicom(data, "a", 2)[..., 0].tolist() == [[0, 255]]
    made.PerFrameFunctionalGroupsSequence = Sequence(frames[:1])
    assert "1 functional groups for 2 frames" in refused(to_bytes(made), frames=1)


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_of_both_orders(planar):
    made = dataset(RGB, photometric="RGB", PlanarConfiguration=planar)
    made.PixelData = np.moveaxis(RGB, -1, 0).tobytes() if planar else RGB.tobytes()
    assert np.array_equal(decode_dicom(to_bytes(made), "a"), RGB)


def test_ybr_by_hand_and_as_pillow_has_it():
    ybr = np.array([[[128, 128, 128], [76, 85, 255], [0, 0, 0]]], np.uint8)
    shown = decode_dicom(dicom(ybr, photometric="YBR_FULL"), "a")
    # R = Y + 1.402 (Cr - 128), G = Y - 0.344136 (Cb - 128) - 0.714136 (Cr - 128), B = Y + 1.772 (Cb - 128)
    assert shown.tolist() == [[[128, 128, 128], [254, 0, 0], [0, 135, 0]]]
    made = RANDOM.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    pillow = np.asarray(Image.merge("YCbCr", [Image.fromarray(made[..., c]) for c in range(3)]).convert("RGB"))
    ours = decode_dicom(dicom(made, photometric="YBR_FULL"), "a")
    assert np.abs(ours.astype(int) - pillow).max() <= 1


def test_ybr_with_half_the_colour():
    # Y1 Y2 Cb Cr: two pixels share Cb and Cr
    made = dataset(np.zeros((1, 2, 3), np.uint8), photometric="YBR_FULL_422")
    made.PixelData = bytes([76, 150, 85, 255])
    whole = np.array([[[76, 85, 255], [150, 85, 255]]], np.uint8)
    wanted = decode_dicom(dicom(whole, photometric="YBR_FULL"), "a")
    assert np.array_equal(decode_dicom(to_bytes(made), "a"), wanted)


def palette(made, tables, first=0, bits=16, segmented=False):
    for colour, values in zip(("Red", "Green", "Blue"), tables, strict=True):
        entries = 4 if segmented else len(values)
        made.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [entries, first, bits])
        kind = f"Segmented{colour}" if segmented else colour
        made.add_new(f"{kind}PaletteColorLookupTableData", "OW", np.asarray(values, f"<u{bits // 8}").tobytes())


def test_palettes_of_sixteen_and_eight_bits():
    stored = np.array([[0, 1, 2], [3, 9, 255]], np.uint8)
    tables = RANDOM.integers(0, 65536, (3, 4))
    made = dataset(stored, photometric="PALETTE COLOR")
    palette(made, tables, first=1)
    shown = decode_dicom(to_bytes(made), "a")
    assert np.array_equal(shown, apply_color_lut(stored, dcmread(BytesIO(to_bytes(made)))) >> 8)
    # below the first entry is the first, above the last the last
    assert shown[0, 0].tolist() == shown[0, 1].tolist() == (tables[:, 0] >> 8).tolist()
    assert shown[1, 2].tolist() == (tables[:, 3] >> 8).tolist()
    made = dataset(stored, photometric="PALETTE COLOR")
    palette(made, tables >> 8, first=1, bits=8)
    assert np.array_equal(decode_dicom(to_bytes(made), "a"), shown)


def test_a_segmented_palette():
    stored = np.array([[0, 1, 2, 3]], np.uint8)
    made = dataset(stored, photometric="PALETTE COLOR")
    # one value, then three in a line to 3100: 100, 1100, 2100, 3100
    palette(made, [[0, 1, 256 * value, 1, 3, 256 * (value + 30)] for value in (1, 2, 3)], segmented=True)
    shown = decode_dicom(to_bytes(made), "a")
    assert shown[0].tolist() == [[1, 2, 3], [11, 12, 13], [21, 22, 23], [31, 32, 33]]
    assert np.array_equal(shown, apply_color_lut(stored, dcmread(BytesIO(to_bytes(made)))) >> 8)
    palette(made, [[0, 1, 256, 1, 65535, 0] * 40_000] * 3, segmented=True)
    assert decode_dicom(to_bytes(made), "a").shape == (1, 4, 3)  # its 5 billion entries are never made
    palette(made, [[1, 3, 256]] * 3, segmented=True)
    assert "begins with a discrete one" in refused(to_bytes(made))


def test_jpeg_grey_and_colour():
    shown = decode_dicom(jpeg(SMOOTH), "a")[..., 0]
    assert np.abs(shown.astype(int) - SMOOTH).max() <= 3
    colour = np.stack([SMOOTH, SMOOTH[::-1], SMOOTH[:, ::-1]], axis=-1)
    made = jpeg(colour, photometric="YBR_FULL_422")
    theirs = dcmread(BytesIO(made)).pixel_array
    assert np.array_equal(decode_dicom(made, "a"), theirs)
    assert np.abs(theirs.astype(int) - colour).mean() < 6


def test_jpeg_2000_without_loss_eight_and_sixteen_bits():
    assert np.array_equal(decode_dicom(jpeg(SMOOTH, JPEG2000Lossless), "a")[..., 0], SMOOTH)
    wide = (SMOOTH.astype(np.uint16) * 200) + 77
    made = {"WindowCenter": 30000, "WindowWidth": 40001}
    native = decode_dicom(dicom(wide, **made), "a")
    assert np.array_equal(decode_dicom(jpeg(wide, JPEG2000Lossless, **made), "a"), native)


def test_frames_by_place_and_number():
    data = dicom(CLIP)
    assert np.array_equal(decode_dicom(data, "a", Frames.FIRST)[..., 0], CLIP[0])
    assert np.array_equal(decode_dicom(data, "a", Frames.MIDDLE)[..., 0], CLIP[1])
    assert np.array_equal(decode_dicom(dicom(CLIP[:3]), "a", Frames.MIDDLE)[..., 0], CLIP[1])
    assert np.array_equal(decode_dicom(data, "a", 4)[..., 0], CLIP[3])
    for number in (0, 5):
        assert f"frame {number} of 4; expected 1 to 4" in refused(data, frames=number)
    assert "scan.dcm: 4 frames; expected one picture" in refused(data)
    with pytest.raises(DataError, match="4 frames"):
        decode(data, "scan.dcm")


def test_compressed_frames_of_a_clip():
    clip = np.stack([SMOOTH, SMOOTH[::-1], SMOOTH[:, ::-1]])
    picture = read_picture(jpeg(clip, NumberOfFrames=3, syntax=JPEG2000Lossless), "a")
    for number in (1, 2, 3):
        assert np.array_equal(decode_frame(picture, number)[..., 0], clip[number - 1])


def test_nothing_of_the_patient_is_kept():
    for data in (dicom(GREY8), dicom(GREY8, ImplicitVRLittleEndian, preamble=False)):
        assert CANARY.encode() in data
        assert CANARY not in repr(read_picture(data, "a.dcm"))


def test_what_the_file_says_of_its_pixels():
    burned = dicom(GREY8, BurnedInAnnotation="YES")
    assert read_picture(burned, "a", burned_in=True).burned_in
    assert np.array_equal(decode_dicom(burned, "a", burned_in=True)[..., 0], GREY8)
    assert np.array_equal(decode(burned, "a", 1, burned_in=True)[..., 0], GREY8)
    for door in (read_picture, room.decode_dicom, decode):
        with pytest.raises(DataError, match="a: Burned In Annotation is YES"):
            door(burned, "a")
    assert not read_picture(dicom(GREY8, BurnedInAnnotation="NO"), "a").burned_in


@pytest.mark.parametrize(
    ("elements", "part"),
    [
        ({"Rows": 0}, "1 frames of 0 x 5"),
        ({"Columns": 0}, "1 frames of 6 x 0"),
        ({"Rows": 65535, "Columns": 65535}, "at most 89,478,485 pixels a frame"),
        ({"Rows": 9000, "Columns": 9000}, "30 bytes of pixel data where 1 frames of 9000 x 9000 pixels need 81000000"),
        ({"NumberOfFrames": 10**9}, "need 30000000000"),
        ({"NumberOfFrames": 0}, "0 frames"),
        ({"Rows": None}, "no Rows"),
        ({"PixelData": None}, "no PixelData"),
        ({"PhotometricInterpretation": CANARY}, "another Photometric Interpretation"),
        ({"PhotometricInterpretation": None}, "another Photometric Interpretation"),
        ({"PhotometricInterpretation": "RGB"}, "1 samples per pixel of RGB"),
        ({"SamplesPerPixel": 3}, "3 samples per pixel of MONOCHROME2"),
        ({"BitsAllocated": 32}, "8 bits stored in 32"),
        ({"BitsStored": 9}, "9 bits stored in 8"),
        ({"HighBit": 6}, "High Bit 6 of 8"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "LINEAR window of width 0"),
        ({"WindowCenter": 5, "WindowWidth": -3, "VOILUTFunction": "SIGMOID"}, "SIGMOID window of width -3"),
        ({"WindowCenter": 5, "WindowWidth": 5, "VOILUTFunction": CANARY}, "another VOI LUT Function"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "Rescale Slope"),
        ({"RescaleSlope": "1e200", "RescaleIntercept": "1e200"}, "Rescale Slope"),
    ],
)
def test_damaged_files_are_refused_by_name_before_an_array_is_made(elements, part):
    data = dicom(GREY8, **elements)
    decode_dicom(dicom(GREY8), "a")  # imports
    tracemalloc.start()
    said = refused(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said.startswith("[data] scan.dcm: ")
    assert part in said
    assert peak < 4_000_000


def test_a_number_that_is_none_is_not_repeated():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = dataset(GREY8, WindowWidth=5)
        made.add_new("WindowCenter", "LO", CANARY)
        data = to_bytes(made).replace(b"\x50\x10LO", b"\x50\x10DS")
    assert "WindowCenter is no number" in refused(data)


@pytest.mark.parametrize("length", [0, 1, 131, 132, 140, 300, -1])
def test_truncated_files(length):
    data = dicom(GREY8)
    assert "a whole DICOM file" in refused(data[:length])


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7 " + bytes(500), bytes(2000), b"\x02\x00" * 300, b"\xff" * 999])
def test_no_dicom(data):
    assert "a whole DICOM file" in refused(data)


def test_pixels_that_are_floats_or_of_two_kinds_of_colour():
    made = dataset(GREY8)
    made.FloatPixelData = bytes(120)
    assert "pixels that are floats" in refused(to_bytes(made))
    made = dataset(GREY8)
    palette(made, [[0, 1]] * 3)
    assert "supplemental palette" in refused(to_bytes(made))


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(4), b"\xff\xd8\xff\xd9", bytes(3000)])
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless, RLELossless])
def test_encapsulated_junk(junk, syntax):
    made = dataset(SMOOTH)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([junk or b"\0\0"])
    made["PixelData"].is_undefined_length = True
    assert "frame 1 of 1" in refused(to_bytes(made))
    data = to_bytes(made)
    assert "frame 1 of 1" in refused(with_raw_pixels(data, junk))
    refused(with_raw_pixels(data, junk, undefined=True))


def test_a_compressed_frame_of_another_size():
    assert "frame 1 is 32 x 40 pixels where the file says 40 x 32" in refused(jpeg(SMOOTH, Rows=40, Columns=32))
    one = jpeg(np.array([[7]], np.uint8), Rows=64, Columns=64)
    assert "frame 1 is 1 x 1 pixels" in refused(one)


def test_an_inflating_bomb(monkeypatch):
    monkeypatch.setattr(dicom_file, "MOST_INFLATED_BYTES", 1 << 20)
    data = dicom(np.zeros((2000, 1000), np.uint8), DeflatedExplicitVRLittleEndian)
    assert len(data) < 10_000
    assert "deflated file of more than 1 MB" in refused(data)
    meta = data[: data.index(b"1.2.840.10008.1.2.1.99") + 22]
    assert "cannot be read" in refused(meta + b"not deflated")


def test_sequences_in_sequences_without_end():
    # an undefined length SQ with an undefined length item, and so on: pydicom reads them by recursion
    deep = (b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 5000
    assert "cannot be read as DICOM" in refused(deep)


def test_syntaxes_without_a_decoder():
    made = dataset(SMOOTH)
    made.PixelData = encapsulate([b"\xff\xd8" + bytes(20)])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = JPEGLSLossless
    said = refused(to_bytes(made), error=MissingPackage)
    assert "JPEG-LS Lossless" in said
    assert "pip install python-gdcm" in said
    made.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    assert "JPEG Extended" in refused(to_bytes(made), error=MissingPackage)
    made.file_meta.TransferSyntaxUID = MPEG2MPML
    assert "a video is none" in refused(to_bytes(made))
    data = to_bytes(made).replace(b"1.2.840.10008.1.2.4.100", b"1.2.840.10008.1.2.4.999")
    assert "an unknown transfer syntax" in refused(data)


def test_pydicom_is_asked_for_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingPackage) as caught:
        decode(dicom_without_pydicom, "scan.dcm")
    assert caught.value.todo == "pip install 'galenic[dicom]'"


dicom_without_pydicom = bytes(128) + b"DICM"


FOREIGN = (
    Path(pydicom.__file__).parent / "data" / "test_files"
)  # files of other people's machines, if pydicom has them with it


def foreign(name):
    if not (FOREIGN / name).is_file():
        pytest.skip(f"{FOREIGN / name} is not here (it comes with pydicom)")
    return (FOREIGN / name).read_bytes()


@pytest.mark.parametrize("kind", ["RLE", "bigendian", "expb", "implicit", "jp2klossless", "padded"])
def test_one_picture_in_every_syntax_gives_the_same_greys(kind):
    wanted = decode_dicom(foreign("MR_small.dcm"), "MR_small.dcm")
    assert (wanted.min(), wanted.max()) == (52, 255)
    assert np.array_equal(decode_dicom(foreign(f"MR_small_{kind}.dcm"), "a"), wanted)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_jpeg_no_color_transform.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "examples_jpeg2k.dcm",
    ],
)
def test_colour_of_other_machines_is_as_pydicom_has_it(name):
    data = foreign(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = dcmread(BytesIO(data)).pixel_array
    assert np.array_equal(decode_dicom(data, name), wanted)


def test_greys_of_other_machines_are_as_pydicom_has_them():
    data = foreign("693_J2KI.dcm")  # 14 bits, JPEG 2000, rescale and a window of 40 and 100
    said = dcmread(BytesIO(data))
    windowed = apply_voi_lut(apply_modality_lut(said.pixel_array, said), said)
    ends = np.array([-(2**13), 2**13 - 1]) * said.RescaleSlope + said.RescaleIntercept
    wanted = np.floor(255 * (windowed - ends[0]) / (ends[1] - ends[0]) + 0.5)
    assert np.abs(decode_dicom(data, "a")[..., 0] - wanted).max() <= 1
    assert "8130 bytes of pixel data" in refused(foreign("MR_truncated.dcm"))


@settings(deadline=None, max_examples=150)
@given(place=st.integers(0, 2000), value=st.integers(0, 255), cut=st.integers(0, 2000))
def test_any_changed_byte_gives_a_picture_or_a_named_error(place, value, cut):
    data = bytearray(WINDOWED)
    data[place % len(data)] = value
    data = bytes(data[: len(data) - cut % 200 if cut > 1000 else None])
    shown, said = None, "scan.dcm"
    try:
        shown = decode_dicom(data, "scan.dcm")
    except (DataError, MissingPackage) as error:
        said = told(error)
    assert "scan.dcm" in said
    assert CANARY not in said
    assert shown is None or (shown.dtype == np.uint8 and shown.ndim == 3)


WINDOWED = dicom(GREY12, bits=12, WindowCenter=100, WindowWidth=200, RescaleSlope=1, RescaleIntercept=-5)
