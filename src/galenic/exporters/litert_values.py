"""What every tensor of a .tflite file is for given rows: computed by LiteRT's plain kernels, which keep them all."""

from __future__ import annotations

from typing import Any

import numpy as np

from galenic.exporters.litert_file import FLOAT32, unpacked
from galenic.exporters.litert_graph import silence


def litert_values(data: bytes, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The values of each float tensor that is computed, by name: of all rows, one after the other, in no known layout.

    Args:
        data: of a file that takes one row at a time.
        rows: (n, *input_shape) float32.
    """
    graph = unpacked(data).subgraphs[0]
    computed = [*graph.inputs, *(number for operator in graph.operators for number in operator.outputs)]
    names = {n: graph.tensors[n].name.decode() for n in computed if graph.tensors[n].type == FLOAT32}
    interpreter = _opened(data)
    entry = interpreter.get_input_details()[0]["index"]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names.values()}
    for row in rows:
        interpreter.set_tensor(entry, row[None])
        interpreter.invoke()
        for number, name in names.items():
            found[name].append(interpreter.get_tensor(number).ravel())
    return {name: np.concatenate(values) for name, values in found.items()}


def _opened(data: bytes) -> Any:
    with silence():  # it warns of the memory that keeping all tensors takes
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=data,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return interpreter
