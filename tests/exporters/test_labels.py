"""Preprocessing and class names inside of the files that the exporters write, and what else the files keep."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from galenic.exporters.executorch_program import labelled as labelled_program
from galenic.exporters.exporter import Exporter
from galenic.exporters.litert_file import ALIGNMENT, unpacked
from galenic.exporters.load import EXPORTERS, exporter_for
from galenic.pipeline.bench_files import artifact_at
from galenic.record.card import NAME, Card
from galenic.record.errors import InputError, ModelError
from galenic.runtimes.card import card_inside, check_card
from galenic.runtimes.load import artifact_of_file, open_session

LABELLED = [one for one in EXPORTERS if one.label is not None and not one.float_runtime]
OWN = {".ptl"}
"""Which are loaded with the hash that their card beside them names, and not by their suffix alone."""


def test_every_format_but_c_has_a_place_for_a_float_nets_card() -> None:
    assert {one.runtime for one in EXPORTERS} - {one.runtime for one in LABELLED} == {"c"}


@pytest.mark.slow
@pytest.mark.parametrize("exporter", LABELLED, ids=lambda exporter: exporter.runtime)
@pytest.mark.parametrize("name", ["conv", "mlp"])
def test_the_card_is_in_the_file_which_answers_as_before(exporter: Exporter, name: str, exported, ends, rows) -> None:
    model, artifact = exported(exporter, name)
    card = Card(**ends(model))
    assert card_inside(artifact.path) == card
    with pytest.raises(ModelError, match="in that order"):
        check_card(artifact.path, card.preprocessing, card.classes[::-1])
    inputs = rows(3, model.spec.input_shape)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(inputs)).numpy()
    own = artifact.path.suffix in OWN
    opened = artifact if own else artifact_of_file(artifact.path, card.preprocessing, card.classes)
    np.testing.assert_allclose(open_session(opened).run(inputs), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime-mobile", "torch-mobile"])
def test_a_bare_file_is_known_by_the_card_inside_or_refused_because_of_it(
    runtime: str, exported, ends, tmp_path
) -> None:
    model, artifact = exported(exporter_for(runtime), "mlp")
    bare = tmp_path / artifact.path.name
    bare.write_bytes(artifact.path.read_bytes())
    if bare.suffix in OWN:
        with pytest.raises(InputError, match=r"whose card is inside of it alone; expected mlp\.ptl\.json beside it"):
            artifact_at(bare)
        return
    found = artifact_at(bare)
    assert (found.runtime, found.sha256) == (runtime, artifact.sha256)
    assert Card(preprocessing=found.preprocessing, classes=found.classes) == Card(**ends(model))


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
