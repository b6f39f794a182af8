import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from dense_tflite import BIAS, WEIGHTS, behind, dense
from galenic.exporters.litert_file import kinds, name_by_module, operations, packed, unpacked

LINEAR, LIST = "torch.nn.modules.linear.Linear", "torch.nn.modules.container.ModuleList"
ROW = np.array([[1.0, 2.0, 3.0]], np.float32)


def answer(data: bytes) -> np.ndarray:
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], ROW)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def weights_at(data: bytes) -> list[int]:
    """Where the flatbuffer has the bytes of each buffer that has some."""
    model = schema.Model.GetRootAs(data)
    tables = [model.Buffers(number)._tab for number in range(model.BuffersLength())]
    return [table.Vector(table.Offset(4)) for table in tables if table.Offset(4)]


def named(module: nn.Module, *names: str) -> list[str]:
    """The names that the dense layer's input, weights, bias and output get in place of ``names``."""
    model = unpacked(dense())
    for tensor, name in zip(model.subgraphs[0].tensors, names, strict=True):
        tensor.name = name.encode()
    model.subgraphs[0].outputs = [0]  # so that the layer's output is not the file's
    name_by_module(model, module)
    return [tensor.name.decode() for tensor in model.subgraphs[0].tensors]


def test_a_layer_is_not_taken_for_one_of_its_name_further_inside() -> None:
    """``list`` is left out of litert-torch's names where a module of it is called, so the name fits both."""

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.list, self.head = nn.ModuleDict({"head": nn.Linear(3, 2)}), nn.Linear(3, 2)

    module = Outer()
    own = f"{Outer.__module__}.{Outer.__qualname__}/{LINEAR}_head;"
    assert named(module, "x", f"{own}1", f"{own}2", own) == ["logits", "head.weight", "head.bias", "head"]


def test_what_is_packed_again_is_the_same_model():
    data = packed(unpacked(dense()))
    # 1 - 4 + 1.5 + 0.5 = -1 and 0.25 + 6 - 3 - 0.5 = 2.75
    np.testing.assert_allclose(answer(data), [[-1.0, 2.75]], atol=1e-6)
    assert packed(unpacked(data)) == data
    assert kinds(unpacked(data)) == ["FULLY_CONNECTED"]


def test_an_operation_by_the_names_of_its_tensors():
    file = unpacked(dense())
    tensors = file.subgraphs[0].tensors
    tensors[1].name, tensors[3].name = b"head.weight", b"logits"
    (found,) = operations(file)
    assert (found.kind, found.inputs, found.output, found.clamp) == ("FULLY_CONNECTED", ("input",), "logits", 0)
    assert {place: tensor.name for place, tensor in found.constants.items()} == {1: b"head.weight", 2: b"bias"}
    assert found.layer == "head"
    tensors[3].name = b"blocks.0"
    assert operations(file)[0].layer == "blocks.0"
    file.buffers[1].data = None  # weights that are computed
    assert operations(file)[0].layer == ""


def test_weights_lie_at_multiples_of_sixteen_bytes():
    data = packed(unpacked(dense()))
    places = weights_at(data)
    assert [data[at : at + 4] for at in places] == [WEIGHTS.tobytes()[:4], BIAS.tobytes()[:4]]
    assert all(at % 16 == 0 for at in places)


def test_weights_behind_the_flatbuffer_are_brought_into_it():
    outside = behind(dense())
    assert len(weights_at(outside)) == 1
    data = packed(unpacked(outside))
    assert len(weights_at(data)) == 2
    assert all(at % 16 == 0 for at in weights_at(data))
    assert len(data) < 1024
    np.testing.assert_allclose(answer(data), [[-1.0, 2.75]], atol=1e-6)


def test_notes_about_the_making_are_left_out():
    model = unpacked(dense())
    model.description = b"made in /home/somebody"
    note = schema.MetadataT()
    note.name, note.buffer = b"note", len(model.buffers)
    model.metadata = [note]
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = np.frombuffer(b"at noon", np.uint8)
    data = packed(model)
    assert b"somebody" not in data
    assert b"noon" not in data
    assert unpacked(data).metadata is None


def test_a_layer_and_its_weights_bear_its_modules_path():
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    root, relu = "torch.nn.modules.container.Sequential", "torch.nn.modules.activation.ReLU"
    fused = f"{root}/{LINEAR}_0;;{root}/{relu}_1;"
    names = named(module, "serving_default_args_0", f"{root}/{LINEAR}_0;", "arith.constant", fused)
    assert names[1:] == ["0.weight", "0.bias", "0"]


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.ModuleList([nn.Linear(3, 2)])
        self.second = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Sequential(nn.Linear(3, 2))})


@pytest.mark.parametrize(
    ("labels", "path"),
    [
        (f"{LINEAR}_a", "second.a"),  # the dict around it is not called, so it is not in the name
        (f"torch.nn.modules.container.Sequential_b/{LINEAR}_0", "second.b.0"),
        (f"{LINEAR}_0", "/FULLY_CONNECTED"),  # first.0 or second.b.0: nobody knows
        (f"{LINEAR}_nowhere", "/FULLY_CONNECTED"),
    ],
)
def test_modules_that_are_not_called_themselves_are_no_obstacle_and_a_guess_is_not_made(labels, path):
    whole = f"{__name__}.Blocks/{labels};"
    names = named(Blocks(), "args_0", "weights", "bias", whole)
    assert names[3] == path.lstrip("/")
    assert names[1] == (f"{path}.weight" if not path.startswith("/") else "FULLY_CONNECTED.1")
