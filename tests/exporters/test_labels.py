"""Preprocessing and class names inside of the files that the exporters write, and what else the files keep."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from galenic.exporters.executorch_program import labelled as labelled_program
from galenic.exporters.litert_file import ALIGNMENT, unpacked
from galenic.exporters.load import exporter_for
from galenic.record.card import NAME, Card
from galenic.record.errors import ModelError
from galenic.runtimes.card import card_inside
from galenic.runtimes.load import artifact_of_file, open_session

LABELLED = ("onnxruntime", "openvino", "litert", "executorch")


@pytest.mark.slow
@pytest.mark.parametrize("runtime", LABELLED)
@pytest.mark.parametrize("name", ["conv", "mlp"])
def test_the_card_is_in_the_file_which_answers_as_before(runtime: str, name: str, exported, ends, rows) -> None:
    exporter = exporter_for(runtime)
    model, artifact = exported(exporter, name)
    card = Card(**ends(model))
    assert card_inside(artifact.path) == card
    inputs = rows(3, model.spec.input_shape)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(inputs)).numpy()
    found = open_session(artifact_of_file(artifact.path, card.preprocessing, card.classes)).run(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(ModelError, match="in that order"):
        artifact_of_file(artifact.path, card.preprocessing, card.classes[::-1])


@pytest.mark.slow
def test_other_classes_give_another_file_of_the_same_weights(exported, ends, tmp_path) -> None:
    exporter = exporter_for("onnxruntime")
    model, artifact = exported(exporter, "mlp")
    names = ends(model) | {"classes": ("a", "b", "c")}
    other = exporter.export(model, tmp_path / "other.onnx", **names)
    assert other.sha256 != artifact.sha256
    one, two = (onnx.load(each.path) for each in (artifact, other))
    assert one.graph == two.graph
    assert [entry.key for entry in two.metadata_props] == ["galenic.classes", "galenic.preprocessing"]


@pytest.mark.slow
def test_a_tflite_files_weights_lie_inside_of_it_and_where_kernels_want_them(exported) -> None:
    _, artifact = exported(exporter_for("litert"), "mlp")
    data = artifact.path.read_bytes()
    model = unpacked(data)
    assert [entry.name for entry in model.metadata] == [NAME.encode()]
    assert all((buffer.offset, buffer.size) == (0, 0) for buffer in model.buffers)
    weights = [bytes(buffer.data) for buffer in model.buffers if buffer.data is not None and len(buffer.data) >= 1024]
    assert sorted(map(len, weights))[-2:] == [64 * 30 * 4, 64 * 32 * 4]
    for one in weights:
        assert data.index(one) % ALIGNMENT == 0


@pytest.mark.slow
def test_a_programs_other_data_is_as_it_was_and_a_cut_one_is_refused(exported, ends, tmp_path) -> None:
    model, artifact = exported(exporter_for("executorch"), "mlp")
    whole, path = artifact.path.read_bytes(), tmp_path / "model.pte"
    again = labelled_program(whole, **(ends(model) | {"classes": ("a", "b", "c")}))
    path.write_bytes(again)
    assert len(again) - len(whole) == len('"a"') * 3 - len('"class 0"') * 3
    card = card_inside(path)
    assert card is not None
    assert card.classes == ("a", "b", "c")
    path.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match="a segment that ends after its file"):
        card_inside(path)
