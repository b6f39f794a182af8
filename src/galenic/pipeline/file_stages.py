"""Stages about files: export, predictions, measurements. Everything after the export only sees the file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from galenic.compress.quantize.simulate import simulated
from galenic.exporters.load import exporter_for
from galenic.measuring.duel import duel
from galenic.measuring.latency import measure_latency
from galenic.measuring.memory import measure_memory
from galenic.measuring.parity import compare
from galenic.measuring.predict import predict
from galenic.pipeline.setting import Setting, installed_versions
from galenic.preprocess.transform import to_inputs
from galenic.record.artifact import Artifact
from galenic.record.measurement import Breakdown, Latency, Ratio
from galenic.record.predictions import Predictions
from galenic.record.quant import Arithmetic
from galenic.record.recipe import MeasureRecipe
from galenic.record.report import Parity
from galenic.record.task import SplitName
from galenic.runtimes.load import open_session
from galenic.store.files import write_atomic
from galenic.zoo.graph import traced
from galenic.zoo.model import Model, weights_hash

PARITY_ROWS, LATENCY_ROWS = 256, 64


@dataclass(frozen=True)
class Exported:
    """A file, and how many seconds its export took when it was made; None in a store of before that was kept."""

    artifact: Artifact
    seconds: float | None


@dataclass(frozen=True)
class Measured:
    """What one file took on this host."""

    latency: Latency
    breakdown: Breakdown
    memory_peak_mb: float


def export_stage(setting: Setting, model: Model, runtime: str) -> Artifact:
    """The model as a file of this runtime, on its own grids where it is quantized; of its stand-in where it has no floats."""
    return timed_export(setting, model, runtime).artifact


def timed_export(setting: Setting, model: Model, runtime: str) -> Exported:
    """The same, with the time that it took."""
    task, exporter = setting.task, exporter_for(runtime)
    if model.quant is None and exporter.float_runtime:
        exporter = exporter_for(exporter.float_runtime)
    inputs = {
        "weights": weights_hash(model),
        "spec": model.spec.model_dump(mode="json"),
        "quant": model.quant.model_dump(mode="json") if model.quant else None,
        "lineage": list(model.lineage),
        "preprocessing": task.preprocessing.model_dump(mode="json"),
        "classes": list(task.classes),
        "runtime": [exporter.runtime, exporter.version],
        "versions": {name: installed_versions().get(name) for name in exporter.packages},
    }
    stage = setting.store.stage("file", inputs)
    with stage.locked():
        if stage.result is None:
            started = time.perf_counter()
            artifact = exporter.export(
                model,
                stage.folder / f"model{exporter.suffix}",
                preprocessing=task.preprocessing,
                classes=task.classes,
            )
            inside = artifact.model_copy(update={"path": Path(artifact.path.name)})
            seconds = round(time.perf_counter() - started, 2)
            stage.finish({"artifact": inside.model_dump(mode="json"), "seconds": seconds})
        result = stage.result or {}
        artifact = Artifact.model_validate(result["artifact"])
        where = {"path": stage.folder / artifact.path, "kind": task.kind}
        return Exported(artifact.model_copy(update=where), result.get("seconds"))


def predict_stage(setting: Setting, artifact: Artifact, split: SplitName) -> Predictions:
    """The file's predictions on one split, made once."""
    inputs = {"artifact": artifact.computation, "question": setting.task.question_hash(split)}
    stage = setting.store.stage("predictions", inputs)
    path = stage.folder / "predictions.npz"
    with stage.locked():
        if stage.result is None:
            session = open_session(artifact, threads=setting.threads)
            made = predict(session, setting.task, split)
            write_atomic(path, made.save)
            stage.finish({"rows": len(made)})
        return Predictions.load(path)


def measure_stage(setting: Setting, artifact: Artifact, config: MeasureRecipe) -> Measured:
    """Latency, its parts and peak memory of the file on this host, measured once."""
    place = open_session(artifact, threads=config.threads).place
    inputs = {
        "artifact": artifact.computation,
        "measure": config.model_dump(mode="json"),
        "place": place.model_dump(mode="json"),
    }
    stage = setting.store.stage("measured", inputs)
    with stage.locked():
        if stage.result is None:
            rows = setting.task.validation.inputs[:LATENCY_ROWS]
            session = open_session(artifact, threads=config.threads)
            latency, breakdown = measure_latency(
                session, rows, runs=config.runs, warmup=config.warmup, kind=setting.task.kind
            )
            memory = measure_memory(artifact, rows, threads=config.threads)
            stage.finish(
                {"latency": latency.model_dump(), "breakdown": breakdown.model_dump(), "memory": memory.peak_mb}
            )
        result = stage.result or {}
    return Measured(
        Latency.model_validate(result["latency"]), Breakdown.model_validate(result["breakdown"]), result["memory"]
    )


def duel_stage(setting: Setting, plain: Artifact, file: Artifact, config: MeasureRecipe) -> Ratio | None:
    """How many times faster a file is than its own float file on this host, timed in turn, once.

    None where a runtime here only stands for a device's: its time says nothing of which file is faster there.
    """
    first, second = (open_session(one, threads=config.threads) for one in (plain, file))
    if first.place.caveat or second.place.caveat:
        return None
    inputs = {
        "artifacts": [plain.computation, file.computation],
        "places": [session.place.model_dump(mode="json") for session in (first, second)],
    }
    stage = setting.store.stage("duel", inputs)
    with stage.locked():
        if stage.result is None:
            rows = setting.task.validation.inputs[:LATENCY_ROWS]
            stage.finish(duel(first, second, rows, kind=setting.task.kind).model_dump())
        return Ratio.model_validate(stage.result)


def parity_of(setting: Setting, model: Model, artifact: Artifact) -> Parity:
    """The file against the torch model that it came from, or its simulation, on the first validation rows.

    Ranges that the runtime finds by itself, and 16-bit floats, are not simulated: such a file is set beside the torch model.
    """
    rows = to_inputs(setting.task.preprocessing, setting.task.validation.inputs[:PARITY_ROWS])
    inputs = torch.from_numpy(rows)
    with torch.no_grad():
        if artifact.quant is None:
            ours = model.module(inputs)
        else:
            ours = simulated(traced(model), artifact.quant.points, inputs)
    theirs = open_session(artifact, threads=setting.threads).run(rows)
    found = compare(ours.numpy(), theirs, setting.task.kind)
    rounded = artifact.quant is not None and artifact.quant.rule.arithmetic in (Arithmetic.STATIC, Arithmetic.WEIGHTS)
    return found.model_copy(update={"against": "its simulation"}) if rounded else found
