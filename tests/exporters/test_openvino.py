from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from galenic.exporters.onnx_graph import serialized, to_graph
from galenic.exporters.openvino import export
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.runtimes.load import open_session
from galenic.zoo.build import build


def small_net() -> nn.Module:
    """An odd-sized image through a convolution, a pool and a dense layer."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv", (1, 9, 12)),
        ("mlp", (30,)),
        pytest.param("ds_conv1d", (2, 65), marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", (3, 32, 32), marks=pytest.mark.slow),
    ],
)
def test_the_file_answers_as_torch_does_for_any_number_of_rows(name, shape, wrap, ends, rows, tmp_path):
    model = wrap(small_net() if name == "conv" else build(name, shape, 3).module, shape, 3)
    artifact = export(model, tmp_path / "model.onnx", **ends(model))
    session = open_session(artifact)
    assert session.place.runtime == "openvino"
    for n in (1, 3, 7):
        inputs = rows(n, shape)
        with torch.no_grad():
            expected = model.module(torch.from_numpy(inputs)).numpy()
        assert np.abs(session.run(inputs) - expected).max() < 1e-4 * np.abs(expected).max()


class Counting(nn.Module):
    """How often each token id stands in a text."""

    vocabulary = 6

    def forward(self, ids):
        return (ids.unsqueeze(2) == torch.arange(self.vocabulary)).float().sum(1)


def test_a_text_net_is_answered_too(wrap, tmp_path):
    pieces = WordPieces(vocabulary=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"))
    reading = Preprocessing(modality=Modality.TEXT, raw_shape=(4,), scale=1.0, mean=(), std=(), text=pieces)
    model = replace(wrap(nn.Linear(4, 6), (4,), 6), module=Counting().eval())
    artifact = export(model, tmp_path / "model.onnx", preprocessing=reading, classes=tuple("pucsab"))
    ids = np.array([[2, 4, 4, 3], [2, 5, 3, 0]])
    np.testing.assert_array_equal(open_session(artifact).run(ids), [[0, 0, 1, 1, 2, 0], [1, 0, 1, 1, 0, 1]])


def test_the_file_is_the_onnx_file_that_galenic_makes_and_its_card_names_openvino(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    artifact = export(model, tmp_path / "model.onnx", **ends(model))
    assert artifact.path.read_bytes() == serialized(to_graph(model))
    # 2 * 2 + 2 * 3 products; and 2 + 3 biases besides
    assert (artifact.runtime, artifact.precision, artifact.macs, artifact.parameters) == ("openvino", "float32", 10, 15)
    assert (artifact.lineage, artifact.classes) == (("made here",), ("class 0", "class 1", "class 2"))


def test_a_model_for_another_task_is_refused_with_both_numbers(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    with pytest.raises(ModelError, match="has 3 outputs; expected 2"):
        export(model, tmp_path / "model.onnx", **(ends(model) | {"classes": ("a", "b")}))
