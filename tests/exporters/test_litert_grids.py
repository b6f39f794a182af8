"""Which grid is whose, on a net with a hardsigmoid: its file's operations and values are written by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from galenic.exporters.litert_file import Operation
from galenic.exporters.litert_grids import Net, find_grids
from galenic.exporters.matching import our_values
from galenic.record.errors import ModelError
from galenic.record.quant import QuantPoint, QuantRule, QuantSpec, TensorRole
from galenic.zoo.graph import traced

FLOATS, SCALAR = SimpleNamespace(type=0, shape=[4]), SimpleNamespace(type=0, shape=[])


def point(tensor: str, scale: float = 0.1, zero_point: int = 9, role: TensorRole = TensorRole.OUTPUT) -> QuantPoint:
    return QuantPoint(tensor=tensor, role=role, bits=8, scale=(scale,), zero_point=(zero_point,))


def layer(name: str, inputs: str, clamp: int = 0, output: str = "") -> Operation:
    weight = SimpleNamespace(name=f"{name}.weight".encode(), type=0, shape=[3, 3])
    return Operation("FULLY_CONNECTED", (inputs,), output or name, clamp, {1: weight})


@pytest.fixture
def net(wrap) -> Net:
    """input -> 0 -> hardsigmoid -> sigmoid -> 3, with a point for each."""
    torch.manual_seed(0)
    model = wrap(nn.Sequential(nn.Linear(3, 3), nn.Hardsigmoid(), nn.Sigmoid(), nn.Linear(3, 2)), (3,), 2)
    graph = traced(model)
    names = ("input", "0", "1/hardsigmoid", "2/sigmoid", "3")
    roles = [point(name, role=TensorRole.WEIGHT) for name in ("0", "3")]
    return Net(graph, QuantSpec(rule=QuantRule(), points=(*map(point, names), *roles)), our_values(model))


@pytest.fixture
def file() -> list[Operation]:
    return [
        layer("0", "input", clamp=3),
        Operation("MUL", ("0",), "1/MUL", 0, {1: SCALAR}),
        Operation("LOGISTIC", ("1/MUL",), "2/LOGISTIC", 0, {}),
        Operation("PAD", ("2/LOGISTIC",), "PAD", 0, {}),
        layer("3", "PAD", output="logits"),
    ]


def values(net: Net) -> dict[str, np.ndarray]:
    """Of the file's tensors: in any order."""
    ours = net.values
    found = {
        "input": ours["input"],
        "0": np.clip(ours["0"] + 3, 0, 6),
        "1/MUL": ours["1/hardsigmoid"],
        "2/LOGISTIC": ours["2/sigmoid"],
        "logits": ours["3"],
    }
    found = {name: value.ravel()[::-1] for name, value in found.items()}
    return found | {"PAD": np.concatenate([found["2/LOGISTIC"], np.zeros(3, np.float32)])}


def test_where_the_file_has_other_grids_than_ours(net, file):
    grids = find_grids(net, values(net), file)
    assert grids.floats == ()
    assert {name: (one.scale[0], one.zero_point[0]) for name, one in grids.grids.items()} == {
        "input": (0.1, 9),
        "0": (pytest.approx(6 / 254), 0),  # relu6(x + 3)
        "1/MUL": (0.1, 9),
        "2/LOGISTIC": (1 / 256, 0),
        "PAD": (1 / 256, 0),
        "logits": (0.1, 9),
    }
    changed = {name: one for name, one in grids.points.items() if one != point(name)}
    assert {name: (one.scale[0], one.zero_point[0]) for name, one in changed.items()} == {
        "0": (pytest.approx(6 / 254), 127),  # x itself, whose zero is 3
        "2/sigmoid": (1 / 256, 0),
    }
    assert grids.ours["0"] == "0"


def test_a_value_that_is_there_itself_keeps_its_own_grid(net, file):
    there = [layer("0", "input", output="x"), Operation("ADD", ("x",), "0", 3, {1: SCALAR}), *file[1:]]
    grids = find_grids(net, values(net) | {"x": net.values["0"].ravel()}, there)
    assert grids.points["0"] == point("0")
    assert grids.grids["0"].scale == (pytest.approx(6 / 254),)


def test_what_is_one_number_on_all_rows_is_known_by_its_name_or_because_it_can_be_no_other(net, file):
    """As where x is far above 3: nine sixes in the file, nine ones after them, and two logits of zero."""
    dead = {"0": np.full((3, 3), 8.0), "1/hardsigmoid": np.ones((3, 3)), "3": np.zeros((3, 2))}
    saturated = Net(net.graph, net.spec, dict(net.values) | dead)
    grids = find_grids(saturated, values(saturated), file)
    assert grids.ours == {
        "input": "input",
        "0": "0",
        "1/MUL": "1/hardsigmoid",
        "2/LOGISTIC": "2/sigmoid",
        "logits": "3",
    }
    assert grids.points["0"].zero_point == (127,)


def test_what_has_no_grid_or_many_constants_stays_float_but_not_before_a_layer(net, file):
    spelled = [
        *file[:2],
        Operation("EXP", ("1/MUL",), "e", 0, {}),
        Operation("DIV", ("e",), "2/LOGISTIC", 0, {}),
        *file[3:],
    ]
    theirs = values(net) | {"e": np.arange(9.0, dtype=np.float32)}
    assert find_grids(net, theirs, spelled).floats == ("e", "2/LOGISTIC")
    many = [*file[:2], Operation("MUL", ("1/MUL",), "2/LOGISTIC", 0, {1: FLOATS}), *file[3:]]
    assert find_grids(net, values(net), many).floats == ("2/LOGISTIC",)
    with pytest.raises(ModelError, match="1 tensors of the LiteRT file without a grid: e"):
        find_grids(net, theirs, [*spelled[:3], layer("3", "e", output="logits")])


def test_a_layer_that_is_kept_is_float(net, file):
    points = tuple(one for one in net.spec.points if (one.tensor, one.role) != ("3", TensorRole.WEIGHT))
    spec = net.spec.model_copy(update={"points": points, "stays_float": ("3",)})
    assert find_grids(Net(net.graph, spec, net.values), values(net), file).floats == ("logits",)
