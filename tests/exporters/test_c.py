"""Nets in C beside TFLite Micro's own interpreter and the simulation, on every operation that the kernels have."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from galenic.compress.quantize.simulate import simulated
from galenic.exporters import c, tflite_micro
from galenic.exporters.c_graph import read
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.quant import Arithmetic, LayerRule, QuantRule
from galenic.runtimes import c_cortex_m
from galenic.runtimes.c_file import facts_of
from galenic.runtimes.integer_ends import IntegerEnds
from galenic.runtimes.load import open_session
from galenic.zoo.build import build
from galenic.zoo.graph import traced

CLASSES = 40  # many answers to compare


class Everything(nn.Module):
    """Each operation once, on 12 x 12 pixels."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.reduce, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.wide = nn.Conv2d(16, 12, (1, 3), padding=(0, 1))
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x):
        x = F.hardswish(self.stem(x))
        x = F.relu6(self.down(x))
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        x = x * gate
        x = x + F.hardsigmoid(self.grouped(x))
        x = torch.cat([F.max_pool2d(x, 3, 1, 1), F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)], dim=1)
        x = torch.tanh(self.wide(F.pad(x, (1, 0, 0, 1))))
        return self.head(x.mean((2, 3)))


class Signal(nn.Module):
    """The operations of 1-D nets."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 6, 5, stride=2, padding=2),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Conv1d(6, 6, 5, padding=2, groups=6),
            nn.Hardswish(),
            nn.Conv1d(6, 9, 1),
            nn.ReLU(),
        )
        self.head = nn.Linear(9, CLASSES)

    def forward(self, x):
        return self.head(self.body(x).mean(2))


class Wide(nn.Module):
    """A pool over a whole signal."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 6, 3, padding=1), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(F.max_pool1d(F.relu(self.conv(x)), 300).flatten(1))


class Rows(nn.Module):
    """Dense layers over the last axis of two."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(80, CLASSES)

    def forward(self, x):
        x = F.relu(self.first(x))
        return self.head((x + F.hardswish(self.second(x))).flatten(1))


NETS = {"everything": (Everything, (3, 12, 12)), "signal": (Signal, (2, 40))}


@pytest.fixture(scope="module", params=NETS)
def net(request, wrap, integers):
    torch.manual_seed(1)
    made, shape = NETS[request.param]
    model = wrap(made(), shape, CLASSES)
    rows = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
    return integers(model, rows), rows


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """A model's file, with preprocessing that changes something."""

    def made(model, exporter):
        shape = model.spec.input_shape
        preprocessing = Preprocessing(
            modality={1: Modality.TABLE, 2: Modality.SIGNAL, 3: Modality.IMAGE}[len(shape)],
            raw_shape=(*shape[1:], shape[0]),
            scale=0.25,
            mean=tuple(0.1 * (number + 1) for number in range(shape[0])),
            std=tuple(0.7 + 0.1 * number for number in range(shape[0])),
        )
        path = tmp_path_factory.mktemp(exporter.runtime) / f"net{exporter.suffix}"
        classes = tuple(f"class {number}" for number in range(model.spec.outputs))
        return exporter.export(model, path, preprocessing=preprocessing, classes=classes)

    return made


@pytest.fixture(scope="module")
def files(net, write):
    """The same quantized net as a file for TFLite Micro, and as C."""
    model, _ = net
    return write(model, tflite_micro.EXPORTER), write(model, c.EXPORTER)


def steps_apart(first, second, scale):
    return np.abs(np.rint((first - second) / scale)).astype(int)


def test_c_is_tflite_micro_within_a_step_on_99_of_100_values(net, files):
    micro, ours = files
    rows = np.random.default_rng(1).normal(size=(100, *net[1].shape[1:])).astype(np.float32)
    apart = steps_apart(open_session(micro).run(rows), open_session(ours).run(rows), _scale(ours))
    assert (apart <= 1).mean() >= 0.99
    assert (apart == 0).mean() >= 0.9


WHOLE_NETS = {
    "everything, w4a8": (Everything, (3, 12, 12), 4),
    "signal, w4a8": (Signal, (2, 40), 4),
    "resnet8": (lambda: build("resnet8", (3, 16, 16), CLASSES).module, (3, 16, 16), 8),
    "ds_conv1d": (lambda: build("ds_conv1d", (6, 100), CLASSES).module, (6, 100), 8),
    "a pool of 300": (Wide, (2, 300), 8),
    "rows": (Rows, (10, 8), 8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_NETS)
def test_whole_nets_in_c_are_tflite_micro_within_a_step_on_99_of_100_values(name, wrap, integers, write):
    make, shape, bits = WHOLE_NETS[name]
    torch.manual_seed(1)
    random = np.random.default_rng(0)
    model = wrap(make(), shape, CLASSES)
    model = integers(model, random.normal(size=(64, *shape)).astype(np.float32), QuantRule(weight_bits=bits))
    ours = write(model, c.EXPORTER)
    assert ours.precision == {4: "w4a8", 8: "int8"}[bits]
    rows = random.normal(size=(60, *shape)).astype(np.float32)
    logits = open_session(ours).run(rows)
    assert len(np.unique(logits)) > 30  # not all at an end of the grid
    apart = steps_apart(open_session(write(model, tflite_micro.EXPORTER)).run(rows), logits, _scale(ours))
    assert (apart <= 1).mean() >= 0.99


def test_c_is_its_simulation_but_for_roundings(net, files):
    model, rows = net
    _, ours = files
    logits = open_session(ours).run(rows)
    with torch.no_grad():
        expected = simulated(traced(model), ours.quant.points, torch.from_numpy(rows)).numpy()
    assert np.median(np.abs(logits - expected)) <= _scale(ours)
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.9


@pytest.mark.skipif(shutil.which(c_cortex_m.MACHINE) is None, reason=f"no QEMU: {c_cortex_m.INSTALL}")
def test_a_cortex_m_computes_the_same_integers(net, files):
    rows = net[1][:5]
    here = open_session(files[1])
    for device in c_cortex_m.BOARDS:
        there = open_session(files[1], device=device)
        np.testing.assert_array_equal(there.run(rows), here.run(rows))
        assert there.instructions > 1000
        assert files[1].stored_bytes < there.flash_bytes < files[1].stored_bytes + 6000
        assert there.footprint().ram_bytes < 8000


def test_all_layers_are_integers_and_the_source_compiles_without_a_warning(files, tmp_path):
    ours = files[1]
    assert (ours.integer_ops.floating, ours.precision) == (0, "int8")
    source = tmp_path / "net.c"
    source.write_bytes(ours.path.read_bytes())
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-pedantic"]
    subprocess.run(["gcc", *flags, "-c", source, "-o", tmp_path / "net.o"], check=True)
    assert not re.search(rb"malloc|free\(|#include <(?!stdint)", ours.path.read_bytes())


def test_it_quantizes_a_raw_row_as_python_does(net, files, tmp_path):
    """galenic_set_input, called through ctypes, beside the preprocessing and the session's own ends."""
    ours = files[1]
    library = tmp_path / "net.so"
    subprocess.run(["gcc", "-std=c99", "-O1", "-shared", "-fPIC", "-xc", ours.path, "-o", library], check=True)
    compiled = ctypes.CDLL(str(library))
    compiled.galenic_input.restype = ctypes.POINTER(ctypes.c_int8)
    spec = ours.preprocessing
    ends = IntegerEnds.of(ours, facts_of(ours, ours.path.read_bytes()))
    for raw in np.random.default_rng(2).normal(0, 3, size=(5, *spec.raw_shape)).astype(np.float32):
        compiled.galenic_set_input(np.ascontiguousarray(raw).ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
        found = np.ctypeslib.as_array(compiled.galenic_input(), (raw.size,)).copy()
        np.testing.assert_array_equal(found, ends.entering(to_inputs(spec, raw[None])).ravel())


def test_the_same_model_gives_the_same_bytes(net, files, write):
    assert write(net[0], c.EXPORTER).sha256 == files[1].sha256


@pytest.mark.parametrize(
    "rule",
    [
        QuantRule(arithmetic=Arithmetic.DYNAMIC),
        QuantRule(arithmetic=Arithmetic.FLOAT16),
        QuantRule(keep=("head",)),
        QuantRule(layers=(LayerRule(layer="stem", weight_bits=32, activation_bits=32),)),
    ],
    ids=["dynamic", "float16", "kept", "kept by a rule"],
)
def test_what_is_not_integers_throughout_is_refused_before_any_work(rule):
    with pytest.raises(ModelError, match="static integers from the input to the logits"):
        c.EXPORTER.check_rule(rule)


def test_a_float_net_is_refused_and_has_a_stand_in(wrap, write):
    with pytest.raises(ModelError, match="without a quantization"):
        write(wrap(nn.Linear(3, 2), (3,), 2), c.EXPORTER)
    assert c.EXPORTER.float_runtime == tflite_micro.RUNTIME


class Odd(nn.Module):
    """A convolution, an activation and a dense layer."""

    def __init__(self, activation):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(2, 6, 3, padding=1), activation, nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.act(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("activation", "said", "instead"),
    [
        (nn.GELU(), r"GELU in the module 'act'; expected one of ADD", "or choose litert"),
        (nn.Softmax(1), r"SOFTMAX in the module 'act'; expected one of ADD", "or choose tflite-micro or litert"),
        (nn.PReLU(), r"RELU, MUL, SUB in the module 'act', left in float", "or choose tflite-micro or litert"),
        (nn.Mish(), r"EXP, ADD, LOG, .*TANH in the module 'act', left in float", "or choose litert"),
    ],
    ids=["gelu", "softmax", "prelu", "mish"],
)
def test_an_operation_without_a_kernel_is_named_with_its_place(activation, said, instead, wrap, integers, write, rows):
    model = integers(wrap(Odd(activation), (2, 8, 8), 5), rows(16, (2, 8, 8)))
    with pytest.raises(ModelError, match=f"made here cannot become plain C: {said}.*, {instead}$"):
        write(model, c.EXPORTER)


def test_a_file_without_float_ends_is_refused(net, files):
    data = files[0].path.read_bytes()
    with pytest.raises(ModelError, match="its ends are not integers"):
        read(data, "no ends")


def _scale(artifact):
    return facts_of(artifact, artifact.path.read_bytes())["output_scale"]
