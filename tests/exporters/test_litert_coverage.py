from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from dense_tflite import dense
from galenic.exporters.litert_coverage import (
    INT4,
    check_weights_held,
    count_integer,
    integers_of,
    rounded_tensors,
    shorten_names,
)
from galenic.exporters.litert_file import operations, unpacked
from galenic.exporters.litert_grids import Grids
from galenic.exporters.litert_recipe import quantized
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.zoo.graph import traced

GRIDS = {
    name: QuantPoint(tensor=name, role=TensorRole.OUTPUT, bits=8, scale=(scale,), zero_point=(zero_point,))
    for name, scale, zero_point in (("input", 0.05, 100), ("logits", 0.25, 0))
}
WEIGHT = QuantPoint(tensor="0", role=TensorRole.WEIGHT, bits=8, scale=(0.02, 0.03), zero_point=(0, 0), axis=0)
OURS = np.array([[50, -100, 25], [8, 100, -33]]) * [[0.02], [0.03]]


def named() -> bytes:
    """The dense layer as the first layer of a Sequential."""
    return dense().replace(b"weights\0", b"0.weight"[:7] + b"\0") if False else _renamed()


def _renamed() -> bytes:
    from galenic.exporters.litert_file import packed

    file = unpacked(dense())
    file.subgraphs[0].tensors[1].name = b"0.weight"
    return packed(file)


@pytest.fixture
def graph(wrap):
    net = nn.Sequential(nn.Linear(3, 2))
    net[0].weight.data.copy_(__import__("torch").tensor(OURS))
    return traced(wrap(net, (3,), 2))
