import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from galenic.exporters import litert, litert_int8, tflite_micro
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


def buffers_of(data):
    """The buffers as the flatbuffer has them: ``unpacked`` would bring in what lies behind it."""
    return schema.ModelT.InitFromPackedBuf(data, 0).buffers


@pytest.mark.slow
def test_weights_that_the_quantizer_lays_behind_the_flatbuffer_are_brought_into_it(
    wrap, integers, rows, ends, tmp_path, monkeypatch
):
    """TFLite Micro reads zeros there, without a word."""
    held = []
    made = litert_int8.quantized
    monkeypatch.setattr(litert_int8, "quantized", lambda *given: held.append(made(*given)) or held[0])
    shape, classes = (1024,), 256  # it does so from 256 KiB on
    model = integers(wrap(nn.Sequential(nn.Linear(1024, classes)), shape, classes), rows(64, shape))
    ours = tflite_micro.EXPORTER.export(model, tmp_path / "net.tflite", **ends(model))
    assert [one.size for one in buffers_of(held[0]) if one.offset] == [
        1024 * classes,  # weights
        4 * classes,  # biases
    ]
    assert not any(one.offset or one.size for one in buffers_of(ours.path.read_bytes()))
    inputs = rows(50, shape, 3)
    session = open_session(ours)
    weight, bias = (one.detach().numpy() for one in (model.module[0].weight, model.module[0].bias))
    exact = inputs @ weight.T + bias
    assert np.quantile(np.abs(session.run(inputs) - exact), 0.99) < 0.05 * np.abs(exact).max()


class Odd(nn.Module):
    """A convolution, an activation and a dense layer."""

    def __init__(self, activation):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(2, 6, 3, padding=1), activation, nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.act(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(("activation", "kind"), [(nn.GELU(), "GELU"), (nn.Mish(), "SELECT")], ids=["gelu", "mish"])
@pytest.mark.parametrize("quantized", [False, True], ids=["float", "int8"])
def test_what_its_interpreter_does_not_know_is_refused_by_name_and_place(
    activation, kind, quantized, wrap, integers, rows, ends, tmp_path
):
    model = wrap(Odd(activation), (2, 8, 8), 5)
    model = integers(model, rows(16, (2, 8, 8))) if quantized else model
    given = f"tflite-micro: {kind} in the module 'act', which makes 'act/{kind}'; expected operations that TFLite Micro"
    with pytest.raises(ModelError, match=given):
        tflite_micro.EXPORTER.export(model, tmp_path / "net.tflite", **ends(model))
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_the_operations_are_those_that_the_interpreter_knows():
    """Each operation of the schema in a child's interpreter: it names the ones that it has not, and may crash on others."""
    codes = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    lacking, todo = set(), sorted(codes)
    while todo:
        done = subprocess.run(
            [sys.executable, "-c", ONE_AFTER_THE_OTHER, *map(str, todo)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[1],
            text=True,
            check=False,
        )
        began = [int(one) for one in re.findall(r"^begin (\d+)$", done.stdout, re.MULTILINE)]
        lacking |= {int(one) for one in re.findall(r"^lacks (\d+)$", done.stdout, re.MULTILINE)}
        assert began, done.stdout
        todo = todo[len(began) :]
    assert (
        frozenset(name for code, name in codes.items() if code not in lacking) - {"CUSTOM"} == tflite_micro.OPERATIONS
    )


ONE_AFTER_THE_OTHER = """
import sys
import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from tflite_micro.python.tflite_micro import runtime
from dense_tflite import dense
from galenic.record.quiet import streams_gathered
for code in map(int, sys.argv[1:]):
    model = schema.ModelT.InitFromPackedBuf(dense())
    model.operatorCodes[0].builtinCode, model.operatorCodes[0].deprecatedBuiltinCode = code, min(code, 127)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    print("begin", code, flush=True)
    try:
        with streams_gathered() as said:
            runtime.Interpreter.from_bytes(bytes(builder.Output()), arena_size=1 << 20)
    except RuntimeError:
        if any("Didn't find op" in line for line in said):
            print("lacks", code, flush=True)
"""


def test_a_layer_that_stays_float_at_an_end_leaves_both_ends_float(wrap, integers, rows, ends, tmp_path):
    model = integers(wrap(Small(), (2, 8, 8), 5), rows(64, (2, 8, 8)), QuantRule(keep=("head",)))
    made = [
        exporter.export(model, tmp_path / f"{exporter.runtime}.tflite", **ends(model))
        for exporter in (litert.EXPORTER, tflite_micro.EXPORTER)
    ]
    theirs, ours = (open_session(one).run(rows(20, (2, 8, 8), 3)) for one in made)
    assert np.median(np.abs(ours - theirs)) < 0.01 * np.abs(theirs).max()


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
