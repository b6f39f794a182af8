"""ExecuTorch files (.pte) for its XNNPACK backend: float32, or INT8 where the model has a QuantSpec; one row at a time.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from functools import partial

from galenic.exporters.ends import Lowered
from galenic.exporters.executorch_int8 import check_rule, lower_int8
from galenic.exporters.executorch_program import labelled, to_program
from galenic.exporters.exporter import Exporter
from galenic.zoo.model import Model

RUNTIME = "executorch"


def lower(model: Model) -> Lowered:
    """One .pte file; ModelError for what XNNPACK does not compute or cannot hold."""
    return Lowered(to_program(model), "float32") if model.quant is None else lower_int8(model)


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".pte",
    version=4,
    summary="one ExecuTorch file for XNNPACK, float32 or INT8 (int8 activations and weights), one row at a time",
    lower=lower,
    check_rule=partial(check_rule, RUNTIME),
    packages=("torch", "executorch", "torchao"),
    needs=("executorch", "torchao"),
    install="pip install 'galenic[executorch]'",
    text=False,
    label=labelled,
)
