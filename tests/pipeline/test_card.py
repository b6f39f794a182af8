"""The card beside a file names its classes, and a teacher whose card has them in another order is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from galenic.pipeline.card import read_card, write_card
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.reference import prepare_reference
from galenic.pipeline.setting import Setting
from galenic.record.errors import ModelError
from galenic.record.recipe import ModelRecipe
from galenic.store.stages import Store
from galenic.zoo.build import build


def test_a_card_comes_back_and_its_classes_bind(task, tmp_path: Path) -> None:
    setting = Setting(task, Store(tmp_path / "store"), threads=1)
    artifact = export_stage(setting, build("mlp", (1, 12, 12), 2, options={"hidden": [4]}), "onnxruntime")
    path = tmp_path / "teacher.onnx"
    path.write_bytes(artifact.path.read_bytes())
    assert read_card(path) is None
    reference = ModelRecipe(model=f"file:{path}")
    assert prepare_reference(setting, reference, "onnxruntime").artifact.classes == task.classes
    write_card(artifact, path)
    card = read_card(path)
    assert card is not None
    assert (card.sha256, card.classes) == (artifact.sha256, ("class 0", "class 1"))
    other = replace(setting, task=replace(task, classes=("class 1", "class 0")))
    with pytest.raises(ModelError) as caught:
        prepare_reference(other, reference, "onnxruntime")
    assert "in that order" in caught.value.expected


@pytest.mark.parametrize("text", ["{", '{"path": "x"}', "[]", ""])
def test_a_damaged_card_is_said_and_not_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.onnx"
    assert read_card(path) is None
    (tmp_path / "net.onnx.json").write_text(text)
    with pytest.raises(ModelError, match=r"net\.onnx\.json, which is no card of galenic's: ") as caught:
        read_card(path)
    assert "copy it again" in caught.value.todo


def test_a_card_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "net.onnx.json").mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path / "net.onnx")
