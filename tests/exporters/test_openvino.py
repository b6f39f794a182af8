from dataclasses import replace

import numpy as np
import torch
from torch import nn

from galenic.exporters.onnx_graph import labelled, serialized, to_graph
from galenic.exporters.openvino import EXPORTER
from galenic.record.preprocessing import Modality, Preprocessing, WordPieces
from galenic.runtimes.load import open_session


class Counting(nn.Module):
    """How often each token id stands in a text."""

    vocabulary = 6

    def forward(self, ids):
        return (ids.unsqueeze(2) == torch.arange(self.vocabulary)).float().sum(1)


def test_a_text_net_is_answered_too(wrap, tmp_path):
    pieces = WordPieces(vocabulary=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"))
    reading = Preprocessing(modality=Modality.TEXT, raw_shape=(4,), scale=1.0, mean=(), std=(), text=pieces)
    model = replace(wrap(nn.Linear(4, 6), (4,), 6), module=Counting().eval())
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", preprocessing=reading, classes=tuple("pucsab"))
    ids = np.array([[2, 4, 4, 3], [2, 5, 3, 0]])
    np.testing.assert_array_equal(open_session(artifact).run(ids), [[0, 0, 1, 1, 2, 0], [1, 0, 1, 1, 0, 1]])


def test_the_file_is_the_onnx_file_that_galenic_makes_and_its_card_names_openvino(known, wrap, ends, tmp_path):
    model = wrap(known, (2,), 3)
    artifact = EXPORTER.export(model, tmp_path / "model.onnx", **ends(model))
    assert artifact.path.read_bytes() == labelled(serialized(to_graph(model)), **ends(model))
    # 2 * 2 + 2 * 3 products; and 2 + 3 biases besides
    assert (artifact.runtime, artifact.precision, artifact.macs, artifact.parameters) == ("openvino", "float32", 10, 15)
    assert (artifact.lineage, artifact.classes) == (("made here",), ("class 0", "class 1", "class 2"))
