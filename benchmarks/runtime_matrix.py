"""Every runtime in every precision, on real data: python benchmarks/runtime_matrix.py [--only MODEL ...]

    MODEL.RUNTIME.PRECISION.size_bytes           of the file; where it is source text, .stored_bytes of its weights and tables
    ....relative_difference, .mean_difference    largest and mean |difference| of a logit / largest |logit|, on 256 validation rows:
                                                 float files beside the torch model, integers beside their simulation
    ....agreement, .simulation_agreement         the same class as the float torch model, and as the simulation, on those rows
    ....accuracy, .accuracy_change               on the test set, and minus the float32 file's (paired); 200 cases where it is slow
    ....export_seconds                           how long the export took, once, beside whatever else ran then
    ....p90_ms, .speedup                         single stream on one thread, quick; float32 ms / these ms, timed in turn
    ....reason                                   why any of these is not there
The nets are trained: those of ham_distillation (teachers, plain students), and the fall net of fall_mcu; what lies in runs/ is not
trained again. ``--only`` makes the files and answers of some, times nothing and reports nothing; the command without it needs the
machine for itself. The test set is read by design, as a declared comparison.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

import fall_mcu
import ham_distillation
from galenic import methods as gx
from galenic.compress.method import Method
from galenic.exporters.exporter import Exporter
from galenic.exporters.load import EXPORTERS
from galenic.gating.endpoints import ENDPOINTS
from galenic.gating.metrics import metrics
from galenic.measuring.bench import FLOORS, single_stream, stream_of
from galenic.measuring.parity import compare
from galenic.pipeline.file_stages import LATENCY_ROWS, PARITY_ROWS, duel_stage, parity_of, predict_stage, timed_export
from galenic.pipeline.training_stages import run_phase
from galenic.preprocess.transform import to_inputs
from galenic.record.artifact import Artifact
from galenic.record.bench import Mode
from galenic.record.errors import GalenicError
from galenic.record.predictions import Predictions
from galenic.record.recipe import MeasureRecipe
from galenic.record.report import Parity
from galenic.record.task import SplitName, Task
from galenic.runtimes.load import open_session, runtime_named
from galenic.stats.estimate import ALPHA
from galenic.stats.proportions import wilson
from galenic.tasks.split import sample_rows
from galenic.zoo.model import Model, weights_hash
from lab import declare_comparison, fresh, setting, trained
from result import figure, write

MODELS = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "resnet8", "fall")
PRECISIONS: dict[str, tuple[Method, ...]] = {
    "float32": (),
    "float16": (gx.HalfPrecision(),),
    "int8": (gx.StaticInt8(),),
    "int4": (gx.StaticW4A8(), gx.WeightInt4(), gx.WeightInt4(group_size=64)),
}
"""The first method that a runtime holds is taken."""
IN_BYTES = "stored in bytes: the grid of four bits is in INT8 tensors"
SLOW, SLOW_ROWS = ("coreml", "tflite-micro", "c"), 200
HAM, FALLS = "HAM10000-64, own lesion split (ham10000_64)", "SisFall, peak windows (sisfall)"


@dataclass(frozen=True)
class Net:
    """A trained float net, its task, and the same task with fewer test rows for slow interpreters."""

    name: str
    task: Task
    few: Task
    model: Model


@dataclass(frozen=True)
class Cell:
    """One file, and what it says of the test rows."""

    artifact: Artifact
    answers: Predictions | None
    details: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=MODELS, default=[])
    only = parser.parse_args().only
    print("estimate: 90 minutes on one core, and 20 alone for the timing, less what is in runs/", flush=True)
    started = time.monotonic()
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name in only or MODELS:
        net = NETS[name]()
        for exporter in EXPORTERS:
            found, more = row(net, exporter, timed=not only)
            figures |= {f"{name}.{exporter.runtime}.{key}": value for key, value in found.items()}
            details[f"{name}.{exporter.runtime}"] = more
        declare_comparison(net.task, f"{name}: files of every runtime and precision")
    if not only:
        write("runtime_matrix", f"{HAM}; {FALLS}", started, figures, details)


def of_ham(name: str) -> Net:
    task = ham_distillation.load()
    config = (ham_distillation.TEACHERS | ham_distillation.STUDENTS)[name]
    return Net(name, task, with_few(task), trained(setting(task, 0), fresh(task, name, 0), config))


def of_falls() -> Net:
    task = fall_mcu.load()
    return Net("fall", task, with_few(task), fall_mcu.net(task, 0))


NETS: dict[str, Callable[[], Net]] = {
    **{name: (lambda name=name: of_ham(name)) for name in MODELS if name != "fall"},
    "fall": of_falls,
}


def with_few(task: Task) -> Task:
    """The task with ``SLOW_ROWS`` of its test cases, stratified by class."""
    rows = sample_rows(task.test.labels, SLOW_ROWS, 0)
    return replace(task, splits={**task.splits, SplitName.TEST: task.test.take(rows)})


def row(net: Net, exporter: Exporter, timed: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of a model in one runtime, by precision, and their details."""
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    plain: Cell | None = None
    for precision, methods in PRECISIONS.items():
        try:
            model = quantized(net, exporter, methods)
            cell, found = measured(net, model, exporter, plain, timed)
        except GalenicError as error:
            figures[f"{precision}.reason"] = reason(f"{error.given}; expected {error.expected}")
            print(net.name, exporter.runtime, precision, "refused:", error.given, flush=True)
            continue
        plain = plain or (cell if precision == "float32" else None)
        if precision == "int4" and in_bytes(found, figures):
            told = [found["reason"]["value"]] if "reason" in found else []
            found["reason"] = reason("; ".join([*told, IN_BYTES]))
        figures |= {f"{precision}.{key}": value for key, value in found.items()}
        details[precision] = cell.details
        shown = {
            key: one["value"] if isinstance(one["value"], str) else round(one["value"], 5) for key, one in found.items()
        }
        print(net.name, exporter.runtime, precision, shown, flush=True)
    return figures, details


def in_bytes(found: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether a file of four bits is not smaller than the INT8 one."""
    return bool(found["size_bytes"]["value"] >= others["int8.size_bytes"]["value"])


def quantized(net: Net, exporter: Exporter, methods: Sequence[Method]) -> Model:
    """The net as the first method that the runtime holds makes it; the last refusal where it holds none."""
    if not methods:
        return net.model
    for number, method in enumerate(methods):
        rule = method.rule
        assert rule is not None
        try:
            exporter.check_rule(rule)
        except GalenicError:
            if number == len(methods) - 1:
                raise
            continue
        return run_phase(setting(net.task, 0), [method], net.model)[-1]
    raise AssertionError("no methods")


def measured(
    net: Net, model: Model, exporter: Exporter, plain: Cell | None, timed: bool
) -> tuple[Cell, dict[str, Any]]:
    """One cell of the matrix."""
    where = setting(net.task, 0)
    exported = timed_export(where, model, exporter.runtime)
    artifact = exported.artifact
    if artifact.runtime != exporter.runtime:
        return Cell(artifact, None, {}), {
            "reason": reason(f"{exporter.runtime} has no floats; {artifact.runtime} stands for it")
        }
    found = {"size_bytes": exact(artifact.size_bytes, "bytes")}
    if exported.seconds is not None:
        found["export_seconds"] = exact(exported.seconds, "s")
    if artifact.stored_bytes is not None:
        found["stored_bytes"] = exact(artifact.stored_bytes, "bytes")
    ops = artifact.integer_ops
    details = {
        "precision": artifact.precision,
        "integer_layers": ops.integer if ops else 0,
        "float_layers": list(ops.left_float) if ops else [],
    }
    runtime = runtime_named(exporter.runtime)
    if not runtime.available:
        why = runtime.absence() if runtime.absence is not None else "not installed here"
        return Cell(artifact, None, details), found | {"reason": reason(why)}
    found |= parity(net, model, artifact)
    few = net.few if exporter.runtime in SLOW else net.task
    answers = predict_stage(setting(few, 0), artifact, SplitName.TEST)
    accuracy = metrics(answers)["accuracy"]
    found["accuracy"] = figure(
        accuracy.value, "fraction", low=accuracy.low, high=accuracy.high, n=accuracy.n, seeds=[0]
    )
    if plain is not None and plain.answers is not None:
        change = ENDPOINTS["accuracy"].paired(answers, plain.answers, ALPHA).estimate
        found["accuracy_change"] = figure(
            change.value, "change of accuracy", low=change.low, high=change.high, n=change.n, seeds=[0]
        )
    if timed:
        found |= speed(net, artifact, plain)
    return Cell(artifact, answers, details), found


def parity(net: Net, model: Model, artifact: Artifact) -> dict[str, Any]:
    """The file beside the torch model, and beside its simulation where it has one; done once."""
    where = setting(net.task, 0)
    inputs = {"artifact": artifact.computation, "net": weights_hash(net.model), "task": net.task.content_hash}
    stage = where.store.stage("matrix-parity", inputs)
    with stage.locked():
        if stage.result is None:
            rows = to_inputs(net.task.preprocessing, net.task.validation.inputs[:PARITY_ROWS])
            with torch.no_grad():
                ours = net.model.module(torch.from_numpy(rows)).numpy()
            agreed = compare(ours, open_session(artifact).run(rows), net.task.kind).agreement
            stage.finish({"beside": parity_of(where, model, artifact).model_dump(mode="json"), "agreed": agreed})
        result = stage.result or {}
    beside = Parity.model_validate(result["beside"])
    found = {
        "relative_difference": exact(beside.relative_difference, "largest |d| / largest |logit|", beside.n),
        "mean_difference": exact(beside.mean_difference, "mean |d| / largest |logit|", beside.n),
        "agreement": share(result["agreed"], beside.n),
    }
    return found | ({"simulation_agreement": share(beside.agreement, beside.n)} if artifact.quant else {})


def speed(net: Net, artifact: Artifact, plain: Cell | None) -> dict[str, Any]:
    """The p90, and how many times faster than the float32 file; a reason where a runtime here only stands for a device's."""
    session = open_session(artifact, threads=1)
    if session.place.caveat:
        return {"reason": reason(f"no time: {session.place.caveat}")}
    raw = net.task.validation.inputs[:LATENCY_ROWS]
    stream = stream_of(single_stream(session, raw, FLOORS[Mode.QUICK], kind=net.task.kind), session)
    p90 = stream.latency.p90
    found = {"p90_ms": figure(p90, "ms", low=stream.p90_low, high=stream.p90_high, n=stream.latency.runs, seeds=[0])}
    if plain is not None:
        ratio = duel_stage(setting(net.task, 0), plain.artifact, artifact, MeasureRecipe(threads=1))
        if ratio is not None:
            found["speedup"] = figure(ratio.value, "ratio", low=ratio.low, high=ratio.high, n=ratio.rounds, seeds=[0])
    return found


def exact(value: float | None, unit: str, n: int = 1) -> dict[str, Any]:
    assert value is not None
    return figure(value, unit, low=value, high=value, n=n, seeds=[0])


def share(value: float, n: int) -> dict[str, Any]:
    found = wilson(round(value * n), n)
    return figure(found.value, "fraction", low=found.low, high=found.high, n=n, seeds=[0])


def reason(words: str) -> dict[str, Any]:
    return {"value": words, "low": None, "high": None, "n": 0, "seeds": [], "unit": "words"}


if __name__ == "__main__":
    main()
