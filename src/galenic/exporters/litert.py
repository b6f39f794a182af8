"""LiteRT files (.tflite): float32, one row at a time.

The same model gives the same bytes, in any process of one machine with one set of versions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from galenic.exporters.ends import check_ends, refuse_quantization, write_float
from galenic.exporters.exporter import Exporter
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Preprocessing
from galenic.zoo.model import Model

RUNTIME = "litert"


def export(
    model: Model,
    path: Path,
    *,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
) -> Artifact:
    """Write ``model`` to ``path`` as one .tflite file: whole, or not at all.

    Args:
        model: float, at rest in eval mode; any net but one for text.
        path: of the file; what is there is replaced in one step.
        preprocessing: travels with the file, and gives inputs of the model's shape.
        classes: one name per output.

    Raises:
        ModelError: the model cannot be converted, or is to be quantized.
        MissingPackage: the converter is not installed.
        StoreError: the file cannot be written; what was there is unchanged.
    """
    check_ends(model, preprocessing, classes)
    if model.quant is not None:
        refuse_quantization(RUNTIME, model.quant.rule)
    EXPORTER.require()
    from galenic.exporters.litert_graph import to_flatbuffer

    data = to_flatbuffer(model)
    return write_float(model, path, data, runtime=RUNTIME, preprocessing=preprocessing, classes=classes)


EXPORTER = Exporter(
    runtime=RUNTIME,
    suffix=".tflite",
    version=1,
    summary="one LiteRT file, float32, one row at a time",
    export=export,
    check_rule=partial(refuse_quantization, RUNTIME),
    packages=("torch", "litert-torch", "litert-converter"),
    needs=("litert_torch", "litert_converter", "ai_edge_litert", "jax", "torchao"),
    install=("pip install 'galenic[litert]' && pip install --no-deps litert-torch==0.10.0 litert-converter==0.5.0"),
    text=False,
)
