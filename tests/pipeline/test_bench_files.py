"""Files with their cards, the runtimes that load them, and measurements from a device: what is read and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from galenic.pipeline.bench_files import artifact_at, read_measurement, targets
from galenic.record.errors import InputError, ModelError, RecipeError
from tiny_file import tiny_file


def test_a_file_is_what_its_card_says_and_lies_where_it_is_given(tmp_path: Path) -> None:
    made = tiny_file(tmp_path / "a.onnx")
    assert artifact_at(tmp_path / "a.onnx") == made


def test_a_file_without_a_card_beside_it_is_refused_with_what_to_do(tmp_path: Path) -> None:
    tiny_file(tmp_path / "a.onnx", card=False)
    with pytest.raises(InputError, match=r"neither a.onnx.json beside it nor one inside") as caught:
        artifact_at(tmp_path / "a.onnx")
    assert "copy the card" in caught.value.todo
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(InputError, match="has no card"):
        artifact_at(tmp_path / "a.bin")
    with pytest.raises(InputError, match="is not a file"):
        artifact_at(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [("litert", r"a file that litert loads: \.tflite"), ("litert-next", "one of onnxruntime, openvino")],
)
def test_a_card_for_another_runtime_or_one_of_another_version_is_refused(tmp_path: Path, runtime, expected) -> None:
    tiny_file(tmp_path / "a.onnx", runtime=runtime)
    with pytest.raises(InputError, match=expected) as caught:
        artifact_at(tmp_path / "a.onnx")
    assert f"card is for {'the runtime ' * (runtime == 'litert-next')}" in caught.value.given


@pytest.mark.parametrize("name", ["a.onnx", "a.tflite"])
@pytest.mark.parametrize("data", [b"", b"hello", b"\x08\x07\x12\xff\xff\xff\xff\x0f", bytes(40)])
def test_a_truncated_file_without_a_card_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"is not a whole|has no card"):
        artifact_at(path)


def test_a_damaged_card_does_not_make_it_another_file(tmp_path: Path) -> None:
    tiny_file(tmp_path / "a.onnx")
    (tmp_path / "a.onnx.json").write_text("{}")
    with pytest.raises(ModelError, match=r"a\.onnx\.json, which is no card"):
        artifact_at(tmp_path / "a.onnx")


def test_a_card_inside_of_the_file_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from galenic.pipeline import bench_files
    from galenic.record.card import Card

    made = tiny_file(tmp_path / "a.onnx", card=False)
    inside = Card(preprocessing=made.preprocessing, classes=made.classes)
    monkeypatch.setattr(bench_files, "card_inside", lambda path: inside)
    found = artifact_at(tmp_path / "a.onnx")
    assert (found.runtime, found.sha256, found.classes, found.macs) == ("onnxruntime", made.sha256, made.classes, 0)


def test_every_file_is_its_own_runtimes_unless_others_are_named(tmp_path: Path) -> None:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in paths:
        tiny_file(path)
    assert [one.artifact.runtime for one in targets(paths, ())] == ["onnxruntime"] * 2
    found = targets([*paths, paths[0]], ["onnxruntime", "openvino", "litert", "openvino"])
    assert [(Path(one.given).name, one.artifact.runtime) for one in found] == [
        ("a.onnx", "onnxruntime"),
        ("a.onnx", "openvino"),
        ("b.onnx", "onnxruntime"),
        ("b.onnx", "openvino"),
    ]


def test_a_runtime_that_loads_none_of_a_file_or_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    tiny_file(path)
    with pytest.raises(InputError, match=r"a.onnx for litert") as caught:
        targets([path], ["litert"])
    assert "onnxruntime, openvino" in caught.value.expected
    with pytest.raises(RecipeError, match="did you mean 'openvino'"):
        targets([path], ["openvin"])
    with pytest.raises(InputError, match="no files"):
        targets([], [])


def test_a_precision_that_is_the_runtimes_own_does_not_travel(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    tiny_file(path, runtime="openvino", precision="bfloat16")
    assert targets([path], ["openvino"])[0].artifact.precision == "bfloat16"
    with pytest.raises(InputError, match="bfloat16 in openvino alone"):
        targets([path], ["onnxruntime"])


def measurement(**changes: object) -> str:
    return json.dumps(
        {
            "device": "watch",
            "sha256": "a" * 64,
            "runtime": "litert",
            "threads": 1,
            "method": "a shunt",
            "runs": 3,
            "energy_mj": 1.5,
        }
        | changes
    )


def test_a_devices_measurement_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(measurement())
    assert (read_measurement(path).energy_mj, read_measurement(path).p90_ms) == (1.5, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (measurement(energy_mj=-1), "energy_mj"),
        (measurement(enrgy_mj=1), "enrgy_mj"),
        (measurement(method=""), "method"),
        (measurement(threads=0), "threads"),
        (measurement(runtime=""), "runtime"),
        (measurement(sha256="short"), "sha256"),
        ("{", "the whole"),
    ],
)
def test_a_measurement_that_is_none_names_its_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_measurement(path)
    assert "energy_mj" in caught.value.expected
    with pytest.raises(InputError, match="No such file"):
        read_measurement(tmp_path / "none.json")
