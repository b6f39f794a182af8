"""Which layers of an ExecuTorch file compute on integers: read from the graphs that it holds for XNNPACK.

A layer is one of integers where the file has a convolution or dense operation of integers with this layer's integers and
scales. An operation that no layer has is a batch norm, which XNNPACK computes as a convolution.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from galenic.exporters.executorch_qdq import HeldWeight
from galenic.record.artifact import IntegerOps

INTEGER_INPUTS = frozenset({"xnn_datatype_qint8", "xnn_datatype_qdint8"})
INTEGER_WEIGHTS = frozenset({"xnn_datatype_qcint8"})
NOT_JSON = re.compile(r"(?<=[ -])inf\b")  # what flatc writes for the limits of a layer without a ReLU

Identity = tuple[bytes, bytes]
"""A weight's scales, and its integers in order of size: the layout is XNNPACK's."""


def count_integer(data: bytes, layers: Sequence[str], held: Mapping[str, HeldWeight]) -> IntegerOps:
    """Integer and floating layers of a file.

    Args:
        data: the file.
        layers: every layer of the model.
        held: the weights of those that are to be integer.
    """
    there = Counter(_integer_layers(data))
    floating = []
    for layer in layers:
        identity = _identity(held[layer]) if layer in held else None
        if identity is not None and there[identity]:
            there[identity] -= 1
        else:
            floating.append(layer)
    return IntegerOps(
        integer=len(layers) - len(floating), floating=len(floating), expected=len(held), left_float=tuple(floating)
    )


def _identity(weight: HeldWeight) -> Identity:
    return weight.scales.numpy().tobytes(), _in_order(weight.integers.numpy())


def _in_order(integers: np.ndarray) -> bytes:
    """Without zeros, of which a dense layer may have two columns more."""
    return np.sort(integers[integers != 0], axis=None).tobytes()


def _integer_layers(data: bytes) -> Iterator[Identity]:
    """Each integer convolution and dense operation."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    file = deserialize_pte_binary(data)
    constants = _constants(file.named_data)
    for plan in file.program.execution_plan:
        for delegate in plan.delegates:
            graph = xnnpack_graph(bytes(file.program.backend_delegate_data[delegate.processed.index].data))
            keys = [entry.get("named_key", "") for entry in graph["constant_data"]]
            values = dict(_values(graph))
            for node in graph["xnodes"]:
                operation = node["xnode_union"]
                if "filter_id" not in operation:
                    continue
                (taken, _), (kind, filter_) = values[operation["input1_id"]], values[operation["filter_id"]]
                if taken in INTEGER_INPUTS and kind in INTEGER_WEIGHTS:
                    scales = constants[keys[filter_["quant_params"]["scale_buffer_idx"]]]
                    integers = constants[keys[filter_["tensor_value"]["constant_buffer_idx"]]]
                    yield scales, _in_order(np.frombuffer(integers, np.int8))


def xnnpack_graph(data: bytes) -> dict[str, Any]:
    """The graph in what a file holds for XNNPACK, by the names of XNNPACK's schema."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader, _get_schema_bytes
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(data[: XNNHeader.EXPECTED_LENGTH])
    with tempfile.TemporaryDirectory(prefix="galenic-xnnpack-") as folder:
        schema, graph = Path(folder) / "schema.fbs", Path(folder) / "graph.bin"
        schema.write_bytes(_get_schema_bytes())
        graph.write_bytes(data[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size])
        _flatc_decompile(folder, str(schema), str(graph), ["--raw-binary"])
        text = graph.with_suffix(".json").read_text()
    found: dict[str, Any] = json.loads(NOT_JSON.sub("Infinity", text))
    return found


def _values(graph: dict[str, Any]) -> Iterator[tuple[int, tuple[str, dict[str, Any]]]]:
    """Each tensor's number, datatype and description."""
    for value in graph["xvalues"]:
        description = value["xvalue_union"]
        tensor = description.get("tensor_value", description)
        yield tensor["id_out"], (tensor["datatype"], description)


def _constants(named: Any) -> dict[str, bytes]:
    if named is None:
        return {}
    return {key: bytes(named.buffers[entry.buffer_index]) for key, entry in named.pte_data.items()}
