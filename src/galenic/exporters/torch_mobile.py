"""PyTorch Mobile files (.ptl), legacy: a net's graph with batch norm folded, for the lite interpreter; float32, or float16 weights.

PyTorch has two forms of such a file. The usual one is a zip of pickles, which also holds the local paths of the sources. This is
the other one, a FlatBuffer: no pickle, no paths, the same bytes for the same model. PyTorch Mobile loads it from version 2.0 on
(1.13's prebuilt library answers "the build hasn't enabled flatbuffer").

    float16     weights and biases are stored as float16, and made float32 as they are used: half the file, the arithmetic as before
Integers are refused: the lite interpreter has torch's quantized operators, whose grids and places for them are not those of a
QuantSpec. PyTorch Mobile is deprecated; ExecuTorch is what it became.

The schema is https://github.com/pytorch/pytorch/blob/main/torch/csrc/jit/serialization/mobile_bytecode.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from flatbuffers import encode, number_types
from flatbuffers.table import Table
from torch import Tensor, fx

from galenic.exporters.ends import Lowered
from galenic.exporters.exporter import Exporter
from galenic.exporters.matching import probe_rows
from galenic.record.artifact import IntegerOps
from galenic.record.card import NAME, Card, card_json
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.quant import Arithmetic, QuantRule
from galenic.zoo.graph import ATEN, folded
from galenic.zoo.model import Model

RUNTIME = "torch-mobile"
CLASS_NAME = "__torch__.Net"
SIZE = ATEN.sym_size.int
SHAPING = frozenset({ATEN.view.default, ATEN.reshape.default, ATEN.expand.default})
ANY = -1  # what an operation of SHAPING takes for the batch's size
TOLERANCE = 1e-3  # of the largest value

MODULE_EXTRAS, MODULE_VALUES = 1, 4
VALUE_KIND, VALUE, FUNCTION = 0, 1, 16
FUNCTION_DEBUG, DEBUG_HANDLES = 7, 0
EXTRA_NAME, EXTRA_CONTENT = 0, 1
"""Numbers of the schema: of Module, IValue, Function, DebugInfo and ExtraFile."""
UOFFSET, LONG = number_types.UOffsetTFlags, number_types.Int64Flags


def lower(model: Model) -> Lowered:
    """One .ptl file; ModelError for what torch cannot trace."""
    if model.quant is None:
        return Lowered(to_ptl(model), "float32")
    return Lowered(to_ptl(model, halves=True), "float16", model.quant, IntegerOps(integer=0, floating=0, expected=0))


def to_ptl(model: Model, halves: bool = False) -> bytes:
    """The .ptl of a model at rest, with its weights in float16 where they are to be ``halves``.

    Raises:
        ModelError: it cannot be traced, has another output than its spec says, or computes on its batch's size.
    """
    made, graph = folded(model)
    rows = torch.from_numpy(probe_rows(made))
    with torch.no_grad():
        _check_answer(made, made.module(rows))
    let_batch_vary(made, graph)
    if halves:
        store_halves(graph)
    native: Any = torch._C
    with torch.no_grad():
        answer = graph(rows)
        # A class of its own name: what torch.jit.trace and freeze make is numbered, and each time the number is another one.
        net = native.ScriptModule(CLASS_NAME, native.CompilationUnit(), False)
        for tensor in graph.parameters():
            tensor.requires_grad_(False)
        net._create_method_from_trace("forward", graph, (rows[:2],), _nameless, True, False, ["input"], False)
    data = without_counters(net._save_to_buffer_for_mobile({NAME: ""}, False, True))
    found = native._load_for_lite_interpreter_from_buffer(data, None).forward((rows,))
    if float((found - answer).abs().max()) > TOLERANCE * float(answer.abs().max()):
        raise _refused(made, "its .ptl answers other numbers than its graph", "the same ones", "report this")
    return data


def let_batch_vary(model: Model, graph: fx.GraphModule) -> None:
    """Take the batch's size, which a trace would fix, out of what views are given, in place."""
    for node in list(graph.graph.nodes):
        if node.target is SIZE:
            for user in list(node.users):
                if user.target not in SHAPING or node.args[1] != 0 or _sizes_for_any_batch(user, node).count(ANY) > 1:
                    raise _refused(
                        model,
                        f"{user.name} computes on the size of its batch",
                        "a net for any number of rows",
                        "write -1 for it, or choose executorch",
                    )
                user.update_arg(1, _sizes_for_any_batch(user, node))
            graph.graph.erase_node(node)
    graph.recompile()


def _sizes_for_any_batch(user: fx.Node, batch: fx.Node) -> list[Any]:
    """What a view is given: ANY for the batch's size, and for what was ANY before the size that it has, where it has one."""
    sizes, found = cast(Sequence[Any], user.args[1]), user.meta["val"].shape
    known = (side if size == ANY and isinstance(side, int) else size for size, side in zip(sizes, found, strict=True))
    return [ANY if size is batch else one for size, one in zip(sizes, known, strict=True)]


def store_halves(graph: fx.GraphModule) -> None:
    """Store every parameter as float16, in place, and make float32 of it where it is used."""
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            tensor = _attribute(graph, str(node.target))
            if tensor.is_floating_point():
                tensor.data = tensor.data.half()
                with graph.graph.inserting_after(node):
                    real = graph.graph.call_function(ATEN.to.dtype, (node, torch.float32))
                node.replace_all_uses_with(real, delete_user_cb=lambda user, real=real: user is not real)
    graph.recompile()


def without_counters(data: bytes) -> bytes:
    """The file with its debug handles, which torch counts on from file to file of a process, counted from 0."""
    written = bytearray(data)
    for value in _tables(_root(written), MODULE_VALUES):
        if value.Get(number_types.Uint8Flags, _place(value, VALUE_KIND)) == FUNCTION:
            debug = _table(_table(value, VALUE), FUNCTION_DEBUG)
            start, count = _vector(debug, DEBUG_HANDLES)
            if count:
                handles = np.frombuffer(written, np.int64, count, start)
                written[start : start + handles.nbytes] = (handles - handles.min()).tobytes()
    return bytes(written)


def labelled(data: bytes, preprocessing: Preprocessing, classes: tuple[str, ...]) -> bytes:
    """The bytes of a file with a card as its extra file's content: appended, and pointed to from where there was none."""
    written = bytearray(data)
    text = card_json(Card(preprocessing=preprocessing, classes=classes))
    for extra in _tables(_root(written), MODULE_EXTRAS):
        if extra.String(_place(extra, EXTRA_NAME)) == NAME.encode():
            place = _place(extra, EXTRA_CONTENT)
            written += bytes(-len(written) % UOFFSET.bytewidth)
            encode.Write(UOFFSET.packer_type, written, place, len(written) - place)
            written += len(text).to_bytes(UOFFSET.bytewidth, "little") + text + b"\0"
    return bytes(written)


def check_rule(rule: QuantRule) -> None:
    """ModelError for integers, and for bfloat16."""
    if rule.arithmetic is not Arithmetic.FLOAT16:
        raise ModelError(
            given=f"{rule.weight_bits}-bit weights with {rule.activation_bits}-bit activations for {RUNTIME}, a legacy format",
            expected="float32, or float16: its integer operators have not the grids that a quantization of ours has",
            todo="choose executorch, which is what PyTorch Mobile became",
        )


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".ptl",
    version=1,
    summary="one PyTorch Mobile file (legacy, a FlatBuffer for version 2.0 on): float32, or weights in float16",
    lower=lower,
    check_rule=check_rule,
    packages=("torch",),
    text=False,
    label=labelled,
)


def _nameless(value: Tensor) -> str:
    """What torch is to call a tensor that it sees in a trace: as it likes."""
    del value
    return ""


def _check_answer(model: Model, answer: Any) -> None:
    if not isinstance(answer, Tensor):
        raise _refused(model, f"it answers {len(answer)} tensors", "one tensor of logits", "wrap it")
    if answer.dtype != torch.float32 or answer.shape[1:] != (model.spec.outputs,):
        raise _refused(
            model,
            f"it answers {str(answer.dtype).removeprefix('torch.')} of shape {tuple(answer.shape)}",
            f"float32 of shape (batch, {model.spec.outputs})",
            "correct the model's last layer",
        )


def _attribute(graph: fx.GraphModule, name: str) -> Tensor:
    owner, _, last = name.rpartition(".")
    found: Tensor = getattr(graph.get_submodule(owner), last)
    return found


def _refused(model: Model, why: str, expected: str, todo: str) -> ModelError:
    return ModelError(f"{model.spec.architecture} cannot become a PyTorch Mobile file: {why}", expected, todo)


def _root(data: bytearray) -> Table:
    return Table(data, encode.Get(UOFFSET.packer_type, data, 0))


def _place(table: Table, field: int) -> int:
    return int(table.Pos + table.Offset(4 + 2 * field))


def _table(table: Table, field: int) -> Table:
    return Table(table.Bytes, table.Indirect(_place(table, field)))


def _vector(table: Table, field: int) -> tuple[int, int]:
    """Where the elements of a vector begin, and how many there are; (0, 0) where it is left out."""
    if not table.Offset(4 + 2 * field):
        return 0, 0
    at = table.Indirect(_place(table, field))
    return at + UOFFSET.bytewidth, int(table.Get(UOFFSET, at))


def _tables(table: Table, field: int) -> list[Table]:
    start, count = _vector(table, field)
    return [Table(table.Bytes, table.Indirect(start + UOFFSET.bytewidth * number)) for number in range(count)]
