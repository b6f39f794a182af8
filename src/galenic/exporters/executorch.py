"""ExecuTorch files (.pte) for its XNNPACK backend: float32, one row at a time.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from galenic.exporters.ends import check_ends, refuse_quantization, write_float
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
    calibration: np.ndarray | None = None,
) -> Artifact:
    """Write ``model`` to ``path`` as one .pte file: whole, or not at all.

    Args:
        model: float, at rest in eval mode; any net but one for text.
        path: of the file; what is there is replaced in one step.
        preprocessing: travels with the file, and gives inputs of the model's shape.
        classes: one name per output.
        calibration: not needed for a float file.

    Raises:
        ModelError: the model cannot be lowered, has a layer that XNNPACK does not compute, or is to be quantized.
        MissingPackage: executorch is not installed.
        StoreError: the file cannot be written; what was there is unchanged.
    """
    del calibration
    check_ends(model, preprocessing, classes)
    if model.quant is not None:
        refuse_quantization(RUNTIME, model.quant.rule)
    EXPORTER.require()
    from galenic.exporters.executorch_program import to_program

    data = to_program(model)
    return write_float(model, path, data, runtime=RUNTIME, preprocessing=preprocessing, classes=classes)


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".pte",
    version=1,
    summary="one ExecuTorch file for XNNPACK, float32, one row at a time",
    export=export,
    check_rule=partial(refuse_quantization, RUNTIME),
    packages=("torch", "executorch", "torchao"),
    needs=("executorch", "torchao"),
    install="pip install 'galenic[executorch]'",
    text=False,
)
