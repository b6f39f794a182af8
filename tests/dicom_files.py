"""DICOM files that tests write: any pixels, any elements, and a patient in every tag that could hold one."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

CANARY = "CANARY4711"


def dataset(pixels, syntax=ExplicitVRLittleEndian, *, bits=None, photometric=None, **elements):
    """A Dataset of (height, width[, 3]) or (frame, height, width[, 3]) pixels; None takes an element out."""
    colour = photometric not in (None, "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    frames = pixels.ndim - 2 - colour
    made = patient()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3.4711"
    made.file_meta.SourceApplicationEntityTitle = CANARY
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = photometric or "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    if frames:
        made.NumberOfFrames = len(pixels)
    made.Rows, made.Columns = pixels.shape[frames : frames + 2]
    made.BitsAllocated = pixels.dtype.itemsize * 8
    made.BitsStored = bits or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    order = pixels.astype(pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">"))
    made.PixelData = order.tobytes() + b"\0" * (pixels.nbytes % 2)
    made["PixelData"].VR = "OW" if pixels.dtype.itemsize == 2 else "OB"
    for name, value in elements.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    return made


def patient():
    """A Dataset with the canary as name, number, place, comment, in a sequence and in a private element."""
    made = Dataset()
    made.PatientName, made.PatientID, made.AccessionNumber = f"{CANARY}^ANNA", CANARY, CANARY
    made.InstitutionName, made.StudyDescription, made.ImageComments = CANARY, CANARY, CANARY
    made.PatientBirthDate, made.StudyDate = "19470711", "20260101"
    other = Dataset()
    other.PatientID = CANARY
    made.OtherPatientIDsSequence = Sequence([other])
    made["OtherPatientIDsSequence"].is_undefined_length = True
    made.private_block(0x0011, "GALENIC TEST", create=True).add_new(0x01, "LO", CANARY)
    return made


def to_bytes(made, preamble=True):
    """The bytes of a Dataset, with its preamble (which holds the canary) or bare."""
    file = BytesIO()
    if preamble:
        made.preamble = CANARY.encode().ljust(128, b"\0")
        made.save_as(file, enforce_file_format=True)
        return file.getvalue()
    syntax = made.file_meta.TransferSyntaxUID
    bare = Dataset(made)
    bare.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return file.getvalue()


def dicom(pixels, *args, preamble=True, **kwargs):
    return to_bytes(dataset(pixels, *args, **kwargs), preamble)


def jpeg(pixels, syntax=JPEGBaseline8Bit, **elements):
    """The same, with each frame compressed by Pillow: JPEG, or JPEG 2000 without loss."""
    frames = pixels if elements.get("NumberOfFrames") else pixels[None]
    made = dataset(pixels, **elements)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([picture(frame, syntax) for frame in frames])
    made["PixelData"].is_undefined_length = True
    made["PixelData"].VR = "OB"
    return to_bytes(made)


def picture(frame, syntax):
    file = BytesIO()
    if syntax == JPEG2000Lossless:
        Image.fromarray(frame).save(file, "JPEG2000", irreversible=False, no_jp2=True)
    else:
        Image.fromarray(frame).save(file, "JPEG", quality=95)
    return file.getvalue()


def item(**elements):
    """A sequence of one item."""
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return Sequence([made])


def table(values, first, bits, vr="US"):
    """A LUT sequence."""
    made = Dataset()
    made.add_new("LUTDescriptor", "US", [len(values) % 65536, first % 65536, bits])
    made.add_new("LUTData", vr, np.asarray(values, "<u2").tobytes() if vr == "OW" else [int(v) for v in values])
    return Sequence([made])


def with_raw_pixels(data, raw, undefined=False):
    """The bytes of an explicit little endian file whose pixel data are ``raw``, whatever they are."""
    start = data.index(b"\xe0\x7f\x10\x00")
    length = b"\xff\xff\xff\xff" if undefined else len(raw).to_bytes(4, "little")
    return data[:start] + b"\xe0\x7f\x10\x00OB\0\0" + length + raw


def told(error):
    """Everything that an error says, and what hangs on it says."""
    seen = []
    while error is not None:
        seen += [str(error), repr(error), *map(repr, error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(seen)
