"""ExecuTorch files (.pte) for its XNNPACK backend: float32, or INT8 where the model has a QuantSpec; one row at a time.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from galenic.exporters.ends import Lowered, check_ends, write_file
from galenic.exporters.executorch_int8 import check_rule, lower_int8
from galenic.exporters.executorch_program import check_model, to_program
from galenic.exporters.exporter import Exporter
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Preprocessing
from galenic.zoo.model import Model

RUNTIME = "executorch"


def export(
    model: Model,
    path: Path,
    *,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
) -> Artifact:
    """Write ``model`` to ``path`` as one .pte file: whole, or not at all.

    Args:
        model: at rest in eval mode; any net but one for text. INT8 where it has a QuantSpec.
        path: of the file; what is there is replaced in one step.
        preprocessing: travels with the file, and gives inputs of the model's shape.
        classes: one name per output.

    Raises:
        ModelError: the model cannot be lowered, has a layer that XNNPACK does not compute, or has a quantization that it
            cannot hold.
        MissingPackage: executorch is not installed.
        StoreError: the file cannot be written; what was there is unchanged.
    """
    check_ends(model, preprocessing, classes)
    if model.quant is not None:
        check_rule(RUNTIME, model.quant.rule)
    EXPORTER.require()
    check_model(model)
    lowered = Lowered(to_program(model), "float32") if model.quant is None else lower_int8(model)
    return write_file(model, path, lowered, runtime=RUNTIME, preprocessing=preprocessing, classes=classes)


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".pte",
    version=2,
    summary="one ExecuTorch file for XNNPACK, float32 or INT8 (int8 activations and weights), one row at a time",
    export=export,
    check_rule=partial(check_rule, RUNTIME),
    packages=("torch", "executorch", "torchao"),
    needs=("executorch", "torchao"),
    install="pip install 'galenic[executorch]'",
    text=False,
)
