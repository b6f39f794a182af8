import numpy as np
import onnx
import pytest
import torch
from torch import nn

from galenic.exporters.onnx_coverage import count_integer
from galenic.exporters.onnx_graph import serialized, to_graph, weighted_nodes
from galenic.exporters.onnx_int8 import lower_int8
from galenic.exporters.openvino_release import release


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.act = nn.ReLU()
        self.second = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return self.act(x + self.second(self.act(self.norm(self.first(x)))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Residual(), Residual())
        self.head = nn.Linear(2, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def test_nodes_bear_their_modules_paths_and_batch_norm_is_gone(wrap):
    graph = to_graph(wrap(Net(), (2, 6, 6), 3)).graph
    names = [(node.name, node.op_type) for node in graph.node]
    block = [("first", "Conv"), ("act/Relu", "Relu"), ("second", "Conv"), ("Add", "Add"), ("act/Relu:1", "Relu")]
    expected = [(f"body.0.{name}".replace(".Add", "/Add"), kind) for name, kind in block]
    assert names[:5] == expected
    assert [node.name for node in weighted_nodes(graph)] == [
        "body.0.first", "body.0.second", "body.1.first", "body.1.second", "head",
    ]  # fmt: skip
    assert len({name for name, _ in names}) == len(names)
    assert "BatchNormalization" not in {kind for _, kind in names}


def test_a_product_of_two_activations_is_no_layer(wrap):
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(4, 4)

        def forward(self, x):
            a = self.dense(x)
            return (a @ a.transpose(1, 2)).mean(2)

    graph = to_graph(wrap(Product(), (3, 4), 3)).graph
    assert sum(node.op_type in {"MatMul", "Gemm"} for node in graph.node) == 2
    assert len(weighted_nodes(graph)) == 1


def test_serializing_keeps_the_graph_and_drops_intermediate_shapes(wrap):
    graph = to_graph(wrap(Net(), (2, 6, 6), 3))
    again = onnx.load_from_string(serialized(graph))
    assert not again.graph.value_info
    assert len(graph.graph.value_info) > 0
    onnx.checker.check_model(again, full_check=True)


def test_a_float_file_has_no_integer_layers(wrap):
    graph = to_graph(wrap(Net(), (2, 6, 6), 3))
    ops = count_integer(graph, serialized(graph), keep=())
    assert (ops.integer, ops.floating, ops.expected) == (0, 5, 5)
    assert ops.left_float == ("body.0.first", "body.0.second", "body.1.first", "body.1.second", "head")


def test_a_net_without_the_point_before_its_activation_is_seen_to_stay_float(wrap, integers, rows):
    """Without Q and DQ between a convolution and its hard-swish ONNX Runtime computes the convolution in float."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Hardswish(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = integers(wrap(net, (1, 8, 8), 2), rows(8, (1, 8, 8)))
    graph = to_graph(model)
    assert lower_int8(model, graph, count_integer).integer_ops.floating == 0
    ops = lower_int8(model, graph, count_integer, release).integer_ops
    assert (ops.integer, ops.expected, ops.left_float) == (1, 2, ("0",))


def test_the_graph_computes_what_the_module_does(wrap, rows):
    """Checked with onnx's own reference implementation, which is not the runtime that ships."""
    model, inputs = wrap(Net(), (2, 6, 6), 3), rows(3, (2, 6, 6))
    (answers,) = onnx.reference.ReferenceEvaluator(to_graph(model)).run(None, {"input": inputs})
    with torch.no_grad():
        expected = model.module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    assert pytest.approx(0, abs=1e-5) == float(np.abs(answers - expected).max())
