"""Packages made by hand with Apple's own protobuf messages, read and computed without them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dense_layer import BIAS, ROWS, TABLE, WEIGHTS, artifact_of
from dense_mlpackage import (
    MODEL,
    constant,
    dense,
    dense_operations,
    immediate,
    in_blob,
    mil,
    model,
    operation,
    parts,
    tensor_type,
    zipped,
)
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, InputError, ModelError
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.runtimes.coreml import RUNTIME, load
from galenic.runtimes.load import artifact_of_file, open_session


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Artifact]:
    def make(data: bytes | None = None, **changes: object) -> Artifact:
        path = tmp_path / "model.mlpackage.zip"
        return artifact_of(path, "coreml", dense() if data is None else data, **changes)

    return make


def program(*operations: mil.Operation, outputs: tuple[str, ...] = ("logits",)) -> bytes:
    """A zip of a program of one input (1, 3) with these operations."""
    return zipped(parts(model(list(operations), {"input": tensor_type((1, 3))}, outputs)))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_it_answers_what_the_layer_computes_by_hand_whatever_batch_the_file_takes(package, batch) -> None:
    answers = load(package(dense(batch))).run(ROWS)
    # row 0: 1 - 4 + 1.5 + 0.5 = -1 and 0.25 + 6 - 3 - 0.5 = 2.75; row 2 is the bias
    np.testing.assert_allclose(answers, [[-1.0, 2.75], [-1.5, 0.75], [0.5, -0.5]], rtol=0, atol=1e-6)
    assert answers.dtype == np.float32


def test_the_place_says_what_its_numbers_are_not(package) -> None:
    place = load(package(), threads=2).place
    assert (place.runtime, place.threads, place.device) == ("coreml", 0, "cpu")
    assert place.caveat == RUNTIME.caveat == "graph checked, never run on Apple hardware"
    assert place.versions == {"numpy": np.__version__}


def test_neither_torch_nor_coremltools_nor_protobuf_is_imported(package) -> None:
    made = package()
    code = f"""
import sys
from galenic.record.artifact import Artifact
from galenic.runtimes.coreml import load
import numpy as np
artifact = Artifact.model_validate_json({made.model_dump_json()!r})
print(load(artifact).run(np.ones((1, 3), np.float32)).tolist())
print([name for name in ("torch", "coremltools", "google.protobuf") if name in sys.modules])
"""
    child = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.splitlines() == [str((WEIGHTS.sum(axis=1) + BIAS)[None].tolist()), "[]"]


def test_threads_of_the_caller_do_not_get_each_others_answers(package) -> None:
    session, rows = load(package()), np.random.default_rng(0).normal(size=(200, 1, 3)).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(session.run, rows))
    np.testing.assert_allclose(np.concatenate(answers), rows[:, 0] @ WEIGHTS.T + BIAS, atol=1e-5)


def test_an_outside_package_becomes_an_artifact_that_answers(package) -> None:
    made = artifact_of_file(package().path, TABLE, ("benign", "malignant"))
    np.testing.assert_allclose(open_session(made).run(ROWS), ROWS @ WEIGHTS.T + BIAS, atol=1e-6)


def test_float16_values_are_rounded_once_after_every_operation(package) -> None:
    half = mil.FLOAT16
    data = program(
        mil.Operation(type="cast", inputs=_taken(x="input"), outputs=[_made("small", half, (1, 3))]),
        constant("third", immediate(np.array([1 / 3], np.float32))),
        mil.Operation(type="mul", inputs=_taken(x="small", y="third"), outputs=[_made("product", half, (1, 3))]),
        constant("ones", immediate(np.ones((2, 3), np.float32))),
        mil.Operation(
            type="linear", inputs=_taken(x="product", weight="ones"), outputs=[_made("logits", half, (1, 2))]
        ),
    )
    session = load(package(data))
    # 1.0001 and 2049 become 1 and 2048; a third of them 0.333251953125 and 682.5 (in steps of 2^-12 and 1/2); their sum is
    # 682.833251953125, and 683 in steps of 1/2
    assert session.run(np.array([[1.0001, 2049.0, 0.0]], np.float32)).tolist() == [[683.0, 683.0]]
    assert session.run(np.array([[0.0, 0.0, 1e6]], np.float32)).tolist() == [[np.inf, np.inf]]


def test_token_ids_become_the_int32_that_the_program_takes(package) -> None:
    pieces = WordPieces(vocabulary=("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
    text = Preprocessing(modality=Modality.TEXT, raw_shape=(1,), scale=1.0, mean=(), std=(), text=pieces)
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    operations = [
        constant("table", immediate(table)),
        mil.Operation(
            type="gather", inputs=_taken(x="table", indices="input"), outputs=[_made("found", 11, (1, 1, 2))]
        ),
        mil.Operation(type="squeeze", inputs=_taken(x="found", axes="axes"), outputs=[_made("logits", 11, (1, 2))]),
    ]
    ints = mil.TensorValue(ints=mil.TensorValue.RepeatedInts(values=[1]))
    axes = mil.Value(type=tensor_type((1,), mil.INT32), immediateValue=mil.Value.ImmediateValue(tensor=ints))
    operations.insert(0, constant("axes", axes))
    data = zipped(parts(model(operations, {"input": tensor_type((1, 1), mil.INT32)})))
    session = load(package(data, preprocessing=text))
    assert session.run(np.array([[3], [1]])).tolist() == [[6.0, 7.0], [2.0, 3.0]]
    with pytest.raises(
        ModelError, match="has the inputs and outputs input float32, logits float32; expected one int32"
    ):
        load(package(preprocessing=text))


def _taken(**names: str) -> dict[str, mil.Argument]:
    return {key: mil.Argument(arguments=[mil.Argument.Binding(name=name)]) for key, name in names.items()}


def _made(name: str, kind: int, shape: tuple[int, ...]) -> mil.NamedValueType:
    return mil.NamedValueType(name=name, type=tensor_type(shape, kind))


def test_an_operation_that_is_not_known_is_named_before_anything_is_computed(package) -> None:
    data = program(
        operation("erode", "worn", (1, 3), x="input"),
        operation("erode", "more", (1, 3), x="worn"),
        operation("linear", "logits", (1, 2), x="more"),
    )
    with pytest.raises(ModelError, match=r"its operations erode \(worn \.\.\.\) are not evaluated here"):
        load(package(data))


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (operation("linear", "logits", (1, 2), x="input"), "linear .logits. cannot be computed: no array for its parameter weight"),
        (operation("linear", "logits", (1, 2), x="nothing", weight="weight"), "no array for its parameter x"),
        (operation("relu", "logits", (1, 2), x="input"), r"a result of shape \(1, 3\) that is declared as \(1, 2\)"),
        (operation("mul", "logits", (1, 2), x="input", y="bias"), "shape mismatch"),
    ],
)  # fmt: skip
def test_a_program_that_contradicts_itself_is_refused_with_its_operation(package, last, why) -> None:
    *constants, _ = dense_operations()
    with pytest.raises(ModelError, match=why):
        load(package(program(*constants, last))).run(ROWS[:1])


def test_an_output_that_nothing_makes_is_refused(package) -> None:
    with pytest.raises(ModelError, match="has the inputs and outputs input float32; expected one float32 input"):
        load(package(program(*dense_operations(), outputs=("answer",))))


def test_a_package_for_other_inputs_or_classes_is_refused_with_both(package) -> None:
    with pytest.raises(ModelError, match=r"has 2 classes; expected 3 classes \(a, b, c\)"):
        load(package(classes=("a", "b", "c")))
    wide = Preprocessing(modality=Modality.TABLE, raw_shape=(5,), scale=1.0, mean=(0.0,) * 5, std=(1.0,) * 5)
    with pytest.raises(ModelError, match=r"takes inputs of shape \(batch, 3\); expected \(batch, 5\)"):
        load(package(preprocessing=wide))


def test_inputs_of_another_type_or_shape_are_refused(package) -> None:
    session = load(package())
    for wrong in (ROWS.astype(np.float64), ROWS[:, :2], ROWS[0], ROWS[:0]):
        with pytest.raises(DataError):
            session.run(wrong)


def test_another_device_than_the_processor_and_no_threads_are_refused(package) -> None:
    with pytest.raises(InputError, match="the device 'gpu' for coreml; expected one of cpu"):
        load(package(), device="gpu")
    with pytest.raises(InputError, match="0 threads"):
        load(package(), threads=0)


def test_one_flipped_bit_is_refused(package) -> None:
    made = package()
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 1
    made.path.write_bytes(data)
    with pytest.raises(ModelError, match=f"has changed: {len(data)} bytes with sha256 "):
        load(made)


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"PK\x03\x04", zipped({})])
def test_what_is_no_package_is_refused_even_with_the_right_hash(package, data, capfd) -> None:
    with pytest.raises(ModelError, match="is not a model that galenic's reader of Core ML packages can load"):
        load(package(data))
    assert capfd.readouterr() == ("", "")


def test_every_truncation_of_the_zip_is_refused(package) -> None:
    whole = dense()
    for length in range(0, len(whole) - 1, 37):
        with pytest.raises(ModelError, match="is not a model that galenic's reader"):
            load(package(whole[:length]))


def test_a_model_that_is_cut_off_or_damaged_anywhere_is_refused_or_answers(package) -> None:
    """Whatever the bytes are: a ModelError, and nothing else."""
    random, whole = np.random.default_rng(0), parts()
    for length in range(0, len(whole[MODEL]), 11):
        with pytest.raises(ModelError):
            load(package(zipped({**whole, MODEL: whole[MODEL][:length]})))
    for _ in range(300):
        damaged = bytearray(whole[MODEL])
        damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            answers = load(package(zipped({**whole, MODEL: bytes(damaged)}))).run(ROWS)
        except ModelError:
            continue
        assert answers.shape == (3, 2)


def test_weights_that_lie_elsewhere_are_refused_although_they_are_there(package, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weight.bin").write_bytes(WEIGHTS.tobytes())
    for name in ("weight.bin", str(tmp_path / "weight.bin"), "@model_path/../weight.bin"):
        data = program(*dense_operations(weight=in_blob((2, 3), 64, name)))
        with pytest.raises(ModelError, match=r"a constant lies in the file '.*', which is not the package's"):
            load(package(data))
    for offset in (0, 128, 10**6):
        with pytest.raises(ModelError, match=f"at byte {offset} of"):
            load(package(program(*dense_operations(weight=in_blob((2, 3), offset)))))
    with pytest.raises(ModelError, match="24 bytes for 12 values of 32 bits"):
        load(package(program(*dense_operations(weight=in_blob((4, 3), 64)))))
