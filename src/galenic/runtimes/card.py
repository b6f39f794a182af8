"""The card inside of a file, read from its bytes alone: no runtime, no torch and no converter is needed.

A file without one (an outside file, or a format that has no place for it) has None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from galenic.record.card import CLASSES, NAME, PREPROCESSING, Card, card_of_json, card_of_parts, same_preprocessing
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.runtimes.coreml_package import opened
from galenic.runtimes.coreml_proto import metadata_of
from galenic.runtimes.flatbuffer import root_table
from galenic.runtimes.onnx_wire import fields

METADATA_PROPS, KEY, VALUE = 14, 1, 2
"""Numbers of onnx.proto: of the model, and of one entry."""
TFLITE, PTE = b"TFL3", b"ET12"
TFLITE_BUFFERS, TFLITE_METADATA, ENTRY_NAME, ENTRY_BUFFER, BUFFER_DATA = 4, 6, 0, 1, 0
"""Numbers of schema.fbs of LiteRT: of Model, Metadata and Buffer."""
PTE_SEGMENTS, PTE_NAMED_DATA, DATA_KEY, DATA_SEGMENT, SEGMENT_OFFSET, SEGMENT_SIZE = 4, 7, 0, 1, 0, 1
"""Numbers of program.fbs of ExecuTorch: of Program, NamedData and DataSegment."""
ORT, ORT_MODEL, ORT_METADATA, ORT_KEY, ORT_VALUE = b"ORTM", 1, 9, 0, 1
"""Numbers of ort.fbs of ONNX Runtime: of InferenceSession, Model and StringStringEntry."""
PTL, PTL_EXTRAS, EXTRA_NAME, EXTRA_CONTENT = b"PTMF", 1, 0, 1
"""Numbers of mobile_bytecode.fbs of PyTorch: of Module and ExtraFile."""
C_CARD = re.compile(rb"^/\* card: (\{.*\}) \*/$", re.MULTILINE)
"""A line of a C file; a slash in its JSON is written \\/ there, so that no name ends the comment."""
PTE_HEADER, PTE_BASE_AT = b"eh00", 24
"""ExecuTorch's extended header begins at byte 8; at byte 24 it says where the segments begin (8 bytes)."""


def card_inside(path: Path) -> Card | None:
    """The preprocessing and the classes that travel inside of the file at ``path``, None where there are none.

    Raises:
        ModelError: the file cannot be read, is damaged, or its card is one that this version cannot read.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        return None
    try:
        return reader(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{path}, which cannot be read ({error.strerror})", "a model file", "check the path"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            given=f"{path}, whose preprocessing and classes inside cannot be read ({where}: {first['msg']})",
            expected="those that this version of galenic writes",
            todo="update galenic, or export the file again",
        ) from error
    except ValueError as error:
        raise ModelError(
            given=f"{path} is not a whole {path.suffix} file ({error})",
            expected="a whole file, with galenic's part of it as it was written",
            todo="copy or make the file again",
        ) from error


def check_card(path: Path, preprocessing: Preprocessing, classes: tuple[str, ...]) -> Card | None:
    """The card inside of a file, which is for this task; None where the file has none.

    Raises:
        ModelError: the file has other preprocessing or other classes inside, or cannot be read.
    """
    card = card_inside(path)
    if card is None:
        return None
    if card.classes != classes:
        reordered = sorted(card.classes) == sorted(classes)
        raise ModelError(
            given=f"{path}, which says inside that its {len(card.classes)} classes are {', '.join(card.classes)}",
            expected=f"the {len(classes)} of the task: {', '.join(classes)}" + (", in that order" if reordered else ""),
            todo="reorder its outputs and export it again" if reordered else "use a file that was made for this task",
        )
    if not same_preprocessing(card.preprocessing, preprocessing):
        raise ModelError(
            given=f"{path}, which says inside that its inputs are made by {_in_words(card.preprocessing, preprocessing)}",
            expected=f"as the task makes them, by {_in_words(preprocessing, card.preprocessing)}",
            todo="use a file that was made for this task's inputs, or set the task's preprocessing to the file's",
        )
    return card


def _onnx(data: bytes) -> Card | None:
    entries: dict[str, bytes] = {}
    for number, message in fields(memoryview(data)):
        if number == METADATA_PROPS and isinstance(message, memoryview):
            entry = {key: bytes(value) for key, value in fields(message) if isinstance(value, memoryview)}
            entries[entry.get(KEY, b"").decode(errors="replace")] = entry.get(VALUE, b"")
    return card_of_parts({key: text for key, text in entries.items() if key in (PREPROCESSING, CLASSES)})


def _tflite(data: bytes) -> Card | None:
    model = root_table(data, TFLITE)
    for entry in model.tables(TFLITE_METADATA):
        if entry.octets(ENTRY_NAME) == NAME.encode():
            buffers, number = model.tables(TFLITE_BUFFERS), entry.number(ENTRY_BUFFER)
            if number >= len(buffers):
                raise ValueError("metadata without its buffer")
            return card_of_json(bytes(buffers[number].octets(BUFFER_DATA)))
    return None


def _pte(data: bytes) -> Card | None:
    program = root_table(data, PTE)
    if data[8:12] != PTE_HEADER:
        return None  # no segments follow such a program
    base = int.from_bytes(data[PTE_BASE_AT : PTE_BASE_AT + 8], "little")
    for entry in program.tables(PTE_NAMED_DATA):
        if entry.octets(DATA_KEY) == NAME.encode():
            segments, number = program.tables(PTE_SEGMENTS), entry.number(DATA_SEGMENT)
            if number >= len(segments):
                raise ValueError("named data without its segment")
            start = base + segments[number].number(SEGMENT_OFFSET, "<Q")
            end = start + segments[number].number(SEGMENT_SIZE, "<Q")
            if end > len(data):
                raise ValueError("a segment that ends after its file")
            return card_of_json(data[start:end])
    return None


def _ort(data: bytes) -> Card | None:
    model = root_table(data, ORT).table(ORT_MODEL)
    entries = model.tables(ORT_METADATA) if model is not None else []
    texts = {bytes(entry.octets(ORT_KEY)).decode(errors="replace"): bytes(entry.octets(ORT_VALUE)) for entry in entries}
    return card_of_parts({key: text for key, text in texts.items() if key in (PREPROCESSING, CLASSES)})


def _ptl(data: bytes) -> Card | None:
    for extra in root_table(data, PTL).tables(PTL_EXTRAS):
        if extra.octets(EXTRA_NAME) == NAME.encode():
            return card_of_json(bytes(extra.octets(EXTRA_CONTENT)))
    return None


def _mlpackage(data: bytes) -> Card | None:
    entries = metadata_of(opened(data).model)
    return card_of_parts({key: text for key, text in entries.items() if key in (PREPROCESSING, CLASSES)})


def _c(data: bytes) -> Card | None:
    found = C_CARD.search(data)
    return card_of_json(found.group(1)) if found else None


READERS: Mapping[str, Callable[[bytes], Card | None]] = {
    ".onnx": _onnx,
    ".tflite": _tflite,
    ".pte": _pte,
    ".ort": _ort,
    ".ptl": _ptl,
    ".zip": _mlpackage,
    ".c": _c,
}
"""By the suffix of the file."""


def _in_words(one: Preprocessing, other: Preprocessing) -> str:
    """What of ``one`` is not as in ``other``."""
    ours, theirs = one.model_dump(mode="json"), other.model_dump(mode="json")
    differing = [key for key in ours if ours[key] != theirs.get(key)] or list(theirs.keys() - ours.keys())
    return ", ".join(f"{key} = {str(ours.get(key, 'none'))[:80]}" for key in differing)
