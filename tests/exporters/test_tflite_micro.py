import numpy as np
import pytest
import torch
from torch import nn

from galenic.exporters import litert, tflite_micro
from galenic.exporters.litert_coverage import INT4, INT8, integers_of
from galenic.exporters.litert_file import is_constant, kinds, unpacked
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, LayerRule, QuantRule
from galenic.runtimes.load import open_session


class Small(nn.Module):
    """A convolution and a dense layer, whose int4 weights TFLite Micro has a kernel for and has not."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


@pytest.fixture(scope="module", params=[8, 4], ids=["int8", "w4a8"])
def pair(request, wrap, integers, rows, ends, tmp_path_factory):
    """A quantized net, its file for LiteRT, and its file for TFLite Micro."""
    model = integers(wrap(Small(), (2, 8, 8), 5), rows(64, (2, 8, 8)), QuantRule(weight_bits=request.param))
    folder = tmp_path_factory.mktemp("micro")
    made = [
        exporter.export(model, folder / f"{exporter.runtime}.tflite", **ends(model))
        for exporter in (litert.EXPORTER, tflite_micro.EXPORTER)
    ]
    return request.param, *made


def integer_weights(file):
    return {
        tensor.name.decode(): (tensor.type, integers_of(file, tensor))
        for tensor in file.subgraphs[0].tensors
        if tensor.type in (INT4, INT8) and is_constant(file, tensor) and len(tensor.shape) > 1
    }


def test_its_ends_are_integers(pair):
    file = unpacked(pair[2].path.read_bytes())
    graph = file.subgraphs[0]
    assert [graph.tensors[ends[0]].type for ends in (graph.inputs, graph.outputs)] == [INT8, INT8]
    assert {"QUANTIZE", "DEQUANTIZE"}.isdisjoint(kinds(file))


def test_int4_stays_where_a_kernel_reads_it_and_keeps_its_values_where_none_does(pair):
    bits, theirs, ours = pair
    held, file = (unpacked(one.path.read_bytes()) for one in (theirs, ours))
    before, after = integer_weights(held), integer_weights(file)
    assert after["conv.weight"][0] == (INT4 if bits == 4 else INT8)
    assert after["head.weight"][0] == INT8
    assert before.keys() == after.keys()
    for name, (_, values) in before.items():
        np.testing.assert_array_equal(after[name][1], values)


def test_it_answers_as_litert_does_within_a_step(pair, rows):
    _, theirs, ours = pair
    inputs = rows(50, (2, 8, 8), 3)
    session = open_session(ours)
    scale = session._ends.output_scale
    apart = np.abs(session.run(inputs) - open_session(theirs).run(inputs)) / scale
    assert (apart < 1.5).mean() >= 0.99
    assert session.arena_bytes > 2 * 8 * 8


def test_every_weight_is_inside_of_the_flatbuffer(pair):
    """TFLite Micro reads zeros, without a word, where they lie behind it."""
    file = unpacked(pair[2].path.read_bytes())
    assert {buffer.offset for buffer in file.buffers} == {0}


def test_the_record_is_the_one_of_the_integers(pair):
    bits, theirs, ours = pair
    assert (ours.runtime, ours.precision) == ("tflite-micro", "int8" if bits == 8 else "w4a8")
    assert (ours.quant, ours.integer_ops) == (theirs.quant, theirs.integer_ops)
    assert ours.integer_ops.integer == 2


def test_a_float_net_stays_float(wrap, ends, rows, tmp_path):
    model = wrap(Small(), (2, 8, 8), 5)
    made = tflite_micro.EXPORTER.export(model, tmp_path / "net.tflite", **ends(model))
    inputs = rows(5, (2, 8, 8))
    with torch.no_grad():
        expected = model.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(open_session(made).run(inputs), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("arithmetic", [Arithmetic.DYNAMIC, Arithmetic.WEIGHTS, Arithmetic.FLOAT16])
def test_what_it_has_no_kernels_for_is_refused_before_any_work(arithmetic):
    with pytest.raises(ModelError, match=f"{arithmetic.value} for tflite-micro; expected static"):
        tflite_micro.EXPORTER.check_rule(QuantRule(arithmetic=arithmetic))


def test_layers_may_stay_float():
    tflite_micro.EXPORTER.check_rule(QuantRule(keep=("head",)))
    tflite_micro.EXPORTER.check_rule(QuantRule(layers=(LayerRule(layer="head", weight_bits=32, activation_bits=32),)))
