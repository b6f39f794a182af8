"""A MIL program as one file: a zip of the ``.mlpackage`` folder that Xcode takes, stored and not packed.

    model.mlpackage/Manifest.json                                   which item is the model, which its weights
    model.mlpackage/Data/com.apple.CoreML/model.mlmodel             Model.proto: description and program
    model.mlpackage/Data/com.apple.CoreML/weights/weight.bin        the larger constants, at multiples of 64 bytes
The names of the items, dates and orders are fixed, so that the same program gives the same bytes. The formats are those of
https://github.com/apple/coremltools/tree/main/mlmodel/format and .../modelpackage.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from galenic.exporters.coreml_program import deployment_target, import_coremltools, quiet
from galenic.record.card import Card, card_parts
from galenic.record.preprocessing import Preprocessing

FOLDER = "model.mlpackage"
ITEMS = f"{FOLDER}/Data/com.apple.CoreML"
MANIFEST, MODEL, WEIGHTS = f"{FOLDER}/Manifest.json", f"{ITEMS}/model.mlmodel", f"{ITEMS}/weights/weight.bin"
MODEL_ID, WEIGHTS_ID = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
NO_DATE = (1980, 1, 1, 0, 0, 0)  # the first one that a zip can hold
PERMISSIONS = 0o644 << 16
UNIX = 3
DATED = "com.github.apple.coremltools.conversion_date"


def packed(program: Any, ios: int) -> bytes:
    """A program as the bytes of a file that iOS ``ios`` and later load."""
    with quiet(), tempfile.TemporaryDirectory(prefix="galenic-coreml-") as folder:
        coremltools = import_coremltools()
        made = coremltools.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=deployment_target(ios),
            compute_precision=coremltools.precision.FLOAT32,  # the program has its own already
            pass_pipeline=coremltools.PassPipeline.EMPTY,
            skip_model_load=True,
            package_dir=str(Path(folder) / FOLDER),
        )
        spec = made.get_spec()
        del spec.description.metadata.userDefined[DATED]
        weights = Path(made.weights_dir) / Path(WEIGHTS).name if made.weights_dir else None
        data = weights.read_bytes() if weights is not None and weights.is_file() else None
    return _zipped(spec.SerializeToString(deterministic=True), data)


def labelled(data: bytes, preprocessing: Preprocessing, classes: tuple[str, ...]) -> bytes:
    """The bytes of a file with a card in the model's metadata, and what goes in and out in words, which Xcode shows."""
    with quiet():
        import_coremltools()
        from coremltools.proto import Model_pb2
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        spec = Model_pb2.Model.FromString(file.read(MODEL))
        weights = file.read(WEIGHTS) if WEIGHTS in file.namelist() else None
    spec.description.metadata.userDefined.update(card_parts(Card(preprocessing=preprocessing, classes=classes)))
    spec.description.input[0].shortDescription = (
        "token ids, filled up with 0"
        if preprocessing.text is not None
        else "(raw * scale - mean) / std for each channel, channels first; the numbers are in galenic.preprocessing"
    )
    spec.description.output[0].shortDescription = f"one logit for each of {', '.join(classes)}"
    return _zipped(spec.SerializeToString(deterministic=True), weights)


def _zipped(model: bytes, weights: bytes | None) -> bytes:
    parts = {MANIFEST: _manifest(weights is not None), MODEL: model} | ({} if weights is None else {WEIGHTS: weights})
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file:
        for name, part in sorted(parts.items()):
            entry = zipfile.ZipInfo(name, NO_DATE)
            entry.external_attr, entry.create_system = PERMISSIONS, UNIX
            file.writestr(entry, part)
    return target.getvalue()


def _manifest(with_weights: bool) -> bytes:
    items = {MODEL_ID: _item("CoreML Model Specification", "model.mlmodel")}
    if with_weights:
        items[WEIGHTS_ID] = _item("CoreML Model Weights", "weights")
    entries = {"fileFormatVersion": "1.0.0", "itemInfoEntries": items, "rootModelIdentifier": MODEL_ID}
    return json.dumps(entries, indent=2, sort_keys=True).encode() + b"\n"


def _item(description: str, name: str) -> dict[str, str]:
    author = "com.apple.CoreML"
    return {"author": author, "description": description, "name": name, "path": f"{author}/{name}"}
