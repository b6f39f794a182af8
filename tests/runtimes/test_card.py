"""Cards that were put into files by hand, as the formats' own packages write them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from dense_tflite import dense
from galenic.exporters.c_source import entrance
from galenic.record.card import NAME, PREPROCESSING, Card, card_json, card_parts
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes.card import card_inside, check_card
from galenic.runtimes.load import artifact_of_file, open_session

TABLE = Preprocessing(modality=Modality.TABLE, raw_shape=(3,), scale=1.0, mean=(0.5,) * 3, std=(1.0,) * 3)
NAMES = ("benign", "malignant")
CARD = Card(preprocessing=TABLE, classes=NAMES)
PROGRAM = Path(__file__).parent / "dense.pte"


def with_metadata(data: bytes, entries: dict[bytes, bytes]) -> bytes:
    """A .tflite file with these metadata entries."""
    model = schema.ModelT.InitFromPackedBuf(data)
    model.metadata = []
    for name, text in entries.items():
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = np.frombuffer(text, np.uint8)
        model.metadata.append(entry)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def onnx_file(artifact, make_dense) -> Path:
    """A dense layer with a card and an entry of somebody else."""
    model = make_dense()
    onnx.helper.set_model_props(model, {"author": "somebody", **card_parts(CARD)})
    return artifact(model).path


@pytest.fixture
def tflite_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(with_metadata(dense(), {b"min_runtime_version": b"1.5.0", NAME.encode(): card_json(CARD)}))
    return path


@pytest.mark.parametrize("kind", ["onnx_file", "tflite_file"])
def test_the_card_of_a_file_is_found_among_other_metadata(kind: str, request) -> None:
    path = request.getfixturevalue(kind)
    assert card_inside(path) == CARD
    made = artifact_of_file(path, TABLE, NAMES)
    assert (made.preprocessing, made.classes) == (TABLE, NAMES)
    assert open_session(made).run(np.ones((1, 3), np.float32)).shape == (1, 2)


def test_a_file_without_one_has_none(artifact, tmp_path: Path) -> None:
    plain = tmp_path / "plain.tflite"
    for data in (dense(), with_metadata(dense(), {b"other": b"{}"})):
        plain.write_bytes(data)
        assert card_inside(plain) is None
    assert card_inside(artifact().path) is None
    assert check_card(artifact().path, TABLE, NAMES) is None
    other = tmp_path / "model.xyz"
    other.write_bytes(b"")
    assert card_inside(other) is None


@pytest.mark.parametrize(
    ("preprocessing", "classes", "given", "expected"),
    [
        (TABLE, ("malignant", "benign"), "2 classes are benign, malignant", "malignant, benign, in that order"),
        (TABLE, ("cat", "dog"), "2 classes are benign, malignant", "the 2 of the task: cat, dog"),
        (TABLE.model_copy(update={"scale": 0.5}), NAMES, "made by scale = 1.0", "by scale = 0.5"),
        (
            TABLE.model_copy(update={"mean": (0.5, 0.5, 0.0)}),
            NAMES,
            r"made by mean = \[0.5, 0.5, 0.5\]",
            r"by mean = \[0.5, 0.5, 0.0\]",
        ),
    ],
)
def test_a_file_for_another_task_is_refused_with_both(preprocessing, classes, given, expected, onnx_file) -> None:
    with pytest.raises(ModelError, match=f"{given}.*; expected .*{expected}"):
        artifact_of_file(onnx_file, preprocessing, classes)


def test_the_files_own_numbers_are_used_where_the_last_digits_differ(onnx_file) -> None:
    near = TABLE.model_copy(update={"scale": 1.0 + 1e-12})
    assert artifact_of_file(onnx_file, near, NAMES).preprocessing == TABLE


def test_what_cannot_be_read_is_refused(artifact, make_dense, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        card_inside(tmp_path / "gone.onnx")
    model = make_dense()
    onnx.helper.set_model_props(model, card_parts(CARD) | {PREPROCESSING: '{"modality":"smell"}'})
    with pytest.raises(ModelError, match=r"preprocessing\.modality.*update galenic"):
        card_inside(artifact(model).path)
    path = tmp_path / "model.tflite"
    path.write_bytes(with_metadata(dense(), {NAME.encode(): b"{"}))
    with pytest.raises(ModelError, match="preprocessing and classes inside cannot be read"):
        card_inside(path)
    whole = with_metadata(dense(), {NAME.encode(): card_json(CARD)})
    for data in (whole[:40], b"", b"\0" * 64):
        path.write_bytes(data)
        with pytest.raises(ModelError, match=r"not a whole \.tflite file"):
            card_inside(path)
    program = tmp_path / "model.pte"
    program.write_bytes(PROGRAM.read_bytes()[:80])
    with pytest.raises(ModelError, match=r"not a whole \.pte file"):
        card_inside(program)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(artifact().path.read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"not a whole \.onnx file"):
        card_inside(cut)


def test_a_program_that_was_made_before_there_were_cards_has_none() -> None:
    assert card_inside(PROGRAM) is None


def test_the_card_of_a_c_file_is_read_with_names_that_could_end_its_comment(tmp_path: Path) -> None:
    names = ("a */ b", "c/d")
    path = tmp_path / "net.c"
    path.write_text("#include <stdint.h>\nint x;\n" + entrance(TABLE, names))
    assert card_inside(path) == Card(preprocessing=TABLE, classes=names)
    with pytest.raises(ModelError, match="says inside that its 2 classes are a"):
        check_card(path, TABLE, NAMES)
    path.write_text("int x;\n")
    assert card_inside(path) is None
    path.write_text('/* card: {"preprocessing": 5} */\n')
    with pytest.raises(ModelError, match="preprocessing and classes inside cannot be read"):
        card_inside(path)


def test_it_needs_no_torch_no_onnx_and_no_runtime(onnx_file, tflite_file) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom galenic.runtimes.card import card_inside\n"
        "print([card_inside(Path(path)).classes for path in sys.argv[1:]])\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'ai_edge_litert', 'flatbuffers', 'executorch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(onnx_file), str(tflite_file)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str([NAMES, NAMES]), "[]"]
