import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from galenic.runtimes.onnx_wire import external_tensors


def outside(name: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    onnx.external_data_helper.set_external_data(numpy_helper.from_array(np.zeros(2, np.float32)), "x")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def inside(name: str) -> TensorProto:
    return numpy_helper.from_array(np.arange(2, dtype=np.float32), name)


def model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def empty(nodes=(), tensors=()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "g", [], [], list(tensors))


def length(message: bytes) -> bytes:
    return bytes([len(message) & 0x7F | 0x80, len(message) >> 7 & 0x7F])


def test_tensors_in_the_file_are_not_named():
    assert external_tensors(model(empty(tensors=[inside("a"), inside("b")])).SerializeToString()) == []


def test_an_initializer_outside_is_named():
    assert external_tensors(model(empty(tensors=[inside("a"), outside("b")])).SerializeToString()) == ["b"]


def test_a_location_alone_is_enough():
    tensor = outside("c")
    tensor.data_location = TensorProto.DEFAULT
    assert external_tensors(model(empty(tensors=[tensor])).SerializeToString()) == ["c"]


def test_every_other_way_to_a_tensor_is_walked():
    constant = helper.make_node("Constant", [], ["y"], value=outside("constant"))
    listed = helper.make_node("Listed", [], ["y"], values=[inside("one"), outside("two")])
    branch = helper.make_node(
        "If", ["c"], ["y"], then_branch=empty([constant]), else_branch=empty(tensors=[outside("else")])
    )
    sparse = onnx.SparseTensorProto(values=outside("values"), indices=outside("indices"))
    whole = model(empty([listed, branch]))
    whole.graph.sparse_initializer.append(sparse)
    whole.functions.append(helper.make_function("d", "f", [], ["y"], [constant], [helper.make_opsetid("", 20)]))
    whole.training_info.add().initialization.CopyFrom(empty(tensors=[outside("training")]))
    found = external_tensors(whole.SerializeToString())
    assert sorted(found) == sorted(["two", "constant", "else", "values", "indices", "constant", "training"])


def test_what_is_no_message_is_an_error():
    for data in (b"\x0a", b"\x0a\x05abc", b"\xff" * 12, b"\x0b", b"\x09\x00"):
        with pytest.raises(ValueError, match=r"number|field|wire"):
            external_tensors(data)


def test_nesting_without_end_is_an_error():
    graph = b""
    for _ in range(40):  # graph.node (1) . attribute (5) . g (6), which protobuf itself would refuse to build
        for field in (6, 5, 1):
            graph = bytes([field << 3 | 2]) + length(graph) + graph
    with pytest.raises(ValueError, match="nested more than 64 deep"):
        external_tensors(bytes([7 << 3 | 2]) + length(graph) + graph)
