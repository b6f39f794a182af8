"""Reports with realistic numbers, made by hand: one that passes, one that fails, one undecided, one hostile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from galenic.record.artifact import IntegerOps
from galenic.record.gate import CheckKind, Floors, GateCheck, GateResult, Margins, Verdict
from galenic.record.measurement import Breakdown, Latency
from galenic.record.profile import BudgetCheck, BudgetResult, BudgetStatus
from galenic.record.quant import LayerRule, LayerSensitivity, Observer, QuantRule, QuantSpec
from galenic.record.recipe import GateRecipe, ModelRecipe, PhaseRecipe, Recipe, TaskRecipe
from galenic.record.report import (
    Candidate,
    Comparison,
    Confusion,
    Metric,
    Parity,
    ProbeOutcome,
    ProbeResult,
    Reference,
    Report,
    RunInfo,
    TaskInfo,
)
from galenic.record.sentences import verdict_sentence
from galenic.record.task import OverlapReport
from galenic.record.training import TrainingConfig

HOST = "Intel Xeon Platinum 8488C, 2 cores, Linux 6.8"
WHERE = f"onnxruntime 1.31.1 on {HOST}"
MISSED_REASON = "The lower bound of the difference is below the margin."


def _sha(letter: str) -> str:
    return (letter * 64)[:64]


def _metrics(n: int, positives: int, **values: float) -> dict[str, Metric]:
    """Intervals of about two standard errors, over the cases that each metric rests on."""
    cases = {"sensitivity": positives, "specificity": n - positives}
    found = {}
    for name, value in values.items():
        rests_on = cases.get(name, n)
        half = 1.96 * (value * (1 - value) / rests_on) ** 0.5 * (0.7 if name == "auc" else 1.0)
        found[name] = Metric(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=rests_on)
    return found


def _latency(p50: float) -> Latency:
    return Latency(p50=p50, p90=p50 * 1.12, p99=p50 * 1.55, runs=1024, threads=1, where=WHERE)


def _parts(inference: float) -> Breakdown:
    return Breakdown(preprocessing=0.118, inference=inference - 0.139, postprocessing=0.021)


def _candidate(name: str, title: str, lineage: tuple[str, ...], **fields: object) -> Candidate:
    base: dict[str, object] = {
        "id": name,
        "title": title,
        "lineage": lineage,
        "runtime": "onnxruntime",
        "precision": "float32",
        "path": f"runs/lesions/files/{name}.onnx",
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "parameters": 1_519_906,
        "macs": 5_720_000,
        "split": "validation",
        "confusion": Confusion(split="validation", counts=((551, 49), (16, 184))),
    }
    base |= fields
    return Candidate.model_validate({"validation": base["metrics"]} | base)


def sensitivities(layers: int = 15) -> tuple[LayerSensitivity, ...]:
    """Of layers at 8 and 4 bits; the first three hurt most with 4 and got 8."""
    found = []
    for number in range(layers):
        for bits in (8, 4):
            value = 10 ** (-1.2 - 0.25 * number - (2.1 if bits == 8 else 0.0))
            found.append(
                LayerSensitivity(
                    layer=f"features.{number}.block.0.depthwise.conv",
                    weight_bits=bits,
                    activation_bits=8,
                    value=value,
                    low=value * 0.8,
                    high=value * 1.2,
                    n=256,
                    chosen=bits == (8 if number < 3 else 4),
                )
            )
    return tuple(found)


def _candidates() -> tuple[Candidate, ...]:
    rule = QuantRule(observer=Observer.MIN_MAX, calibration_rows=512, calibration_hash=_sha("c"))
    quant = QuantSpec(rule=rule, stays_float=("features.0.0",))
    few = (LayerRule(layer="features.3.block.0.depthwise.conv", weight_bits=4),)
    mixed = QuantSpec(
        rule=rule.model_copy(update={"observer": Observer.MSE, "layers": few}),
        measured={"min-max": 0.0421, "mse": 0.0032, "entropy": 0.61, "mse + bias correction": 0.0000313},
        sensitivities=sensitivities(),
        notes=("features.2.block.0.depthwise.conv has 2 dead of 16 channels: all their weights are zero",),
    )
    spec = "mobilenet_v3_small"
    return (
        _candidate(
            "reference",
            "resnet18, reference",
            ("resnet18",),
            size_bytes=44_731_822,
            latency_ms=_latency(4.87),
            breakdown_ms=_parts(4.87),
            memory_peak_mb=96.4,
            parameters=11_177_538,
            macs=146_000_000,
            sha256=_sha("a"),
            parity=Parity(max_difference=9.5e-6, agreement=1.0, n=256),
            on_frontier=True,
            metrics=_metrics(800, 200, accuracy=0.9262, auc=0.9702, sensitivity=0.93, specificity=0.925),
        ),
        _candidate(
            "alone",
            "mobilenet_v3_small alone",
            (spec, "cross_entropy"),
            size_bytes=6_132_480,
            latency_ms=_latency(0.612),
            breakdown_ms=_parts(0.612),
            memory_peak_mb=41.2,
            parity=Parity(max_difference=4.1e-6, agreement=1.0, n=256),
            metrics=_metrics(800, 200, accuracy=0.9012, auc=0.9488, sensitivity=0.885, specificity=0.9067),
        ),
        _candidate(
            "distilled",
            "mobilenet_v3_small, soft_target",
            (spec, "soft_target"),
            size_bytes=6_132_480,
            latency_ms=_latency(0.609),
            breakdown_ms=_parts(0.609),
            memory_peak_mb=41.3,
            parity=Parity(max_difference=3.8e-6, agreement=1.0, n=256),
            on_frontier=True,
            metrics=_metrics(800, 200, accuracy=0.9187, auc=0.9631, sensitivity=0.92, specificity=0.9183),
        ),
        _candidate(
            "pruned",
            "mobilenet_v3_small, soft_target + pruned",
            (spec, "soft_target", "channel_pruning"),
            size_bytes=2_731_904,
            latency_ms=_latency(0.431),
            breakdown_ms=_parts(0.431),
            memory_peak_mb=37.9,
            parameters=672_210,
            on_frontier=True,
            macs=2_610_000,
            parity=Parity(max_difference=5.0e-6, agreement=1.0, n=256),
            metrics=_metrics(800, 200, accuracy=0.9100, auc=0.9577, sensitivity=0.91, specificity=0.91),
        ),
        _candidate(
            "pruned-int8",
            "mobilenet_v3_small, soft_target + pruned + static_int8",
            (spec, "soft_target", "channel_pruning", "static_int8"),
            size_bytes=842_103,
            precision="int8",
            latency_ms=_latency(0.282),
            breakdown_ms=_parts(0.282),
            memory_peak_mb=34.0,
            on_frontier=True,
            parameters=672_210,
            macs=2_610_000,
            quant=quant,
            parity=Parity(max_difference=1.31, agreement=0.957, n=256),
            integer_ops=IntegerOps(integer=53, floating=1, expected=54, left_float=("features.0.0",)),
            metrics=_metrics(800, 200, accuracy=0.8812, auc=0.9391, sensitivity=0.87, specificity=0.885),
        ),
        _candidate(
            "int8",
            "mobilenet_v3_small, soft_target + static_int8",
            (spec, "soft_target", "static_int8"),
            size_bytes=1_684_207,
            precision="int8",
            latency_ms=_latency(0.344),
            breakdown_ms=_parts(0.344),
            memory_peak_mb=35.8,
            on_frontier=True,
            quant=mixed,
            parity=Parity(max_difference=0.62, agreement=0.989, n=256, against="its simulation"),
            split="test",
            integer_ops=IntegerOps(integer=54, floating=0, expected=54),
            confusion=Confusion(split="test", counts=((1376, 124), (41, 459))),
            validation=_metrics(800, 200, accuracy=0.9150, auc=0.9619, sensitivity=0.915, specificity=0.915),
            metrics=_metrics(2000, 500, accuracy=0.9175, auc=0.9612, sensitivity=0.918, specificity=0.9173),
        ),
    )


def _reference() -> Reference:
    return Reference(
        name="resnet18",
        runtime="onnxruntime",
        path="runs/lesions/files/reference.onnx",
        sha256=_sha("a"),
        parameters=11_177_538,
        macs=146_000_000,
        size_bytes=44_731_822,
        split="test",
        latency_ms=_latency(4.87),
        memory_peak_mb=96.4,
        confusion=Confusion(split="test", counts=((1384, 116), (35, 465))),
        metrics=_metrics(2000, 500, accuracy=0.9245, auc=0.9668, sensitivity=0.93, specificity=0.9227),
    )


def _check(
    endpoint: str, limit: float, value: float, half: float, n: int, method: str, kind: str = "margin"
) -> GateCheck:
    low = value - half
    passed = low > (-limit if kind == "margin" else limit)
    return GateCheck(
        endpoint=endpoint,
        kind=CheckKind(kind),
        limit=limit,
        value=value,
        low=low,
        high=value + half,
        n=n,
        method=method,
        verdict=Verdict.PASS if passed else Verdict.INCONCLUSIVE,
        reason="The whole interval is on the right side of the limit." if passed else "The interval crosses the limit.",
    )


def gate(verdict: Verdict = Verdict.PASS, checks: tuple[GateCheck, ...] | None = None) -> GateResult:
    if checks is None:
        checks = (
            _check("auc", 0.02, -0.0056, 0.0061, 2000, "DeLong"),
            _check("sensitivity", 0.05, -0.012, 0.0174, 500, "Tango"),
            _check("specificity", 0.05, -0.0054, 0.0091, 1500, "Tango"),
            _check("auc", 0.93, 0.9612, 0.0076, 2000, "DeLong", kind="floor"),
            _check("sensitivity", 0.85, 0.918, 0.0241, 500, "Wilson", kind="floor"),
        )
    return GateResult(
        verdict=verdict,
        alpha=0.025,
        checks=checks,
        reference_sha256=_sha("a"),
        artifact_sha256=_sha("b"),
        split_hash=_sha("d"),
    )


def _recipe() -> Recipe:
    return Recipe(
        name="lesions-demo",
        seed=7,
        task=TaskRecipe(source="lesions"),
        profile="watch",
        reference=ModelRecipe(model="resnet18", training=TrainingConfig(epochs=8)),
        student=ModelRecipe(model="mobilenet_v3_small"),
        phase=(
            PhaseRecipe(method="soft-target", options={"soft-target": {"temperature": 4.0}}, training=TrainingConfig()),
            PhaseRecipe(method="static-int8"),
        ),
        gate=GateRecipe(margins=Margins(auc=0.02, sensitivity=0.05), floors=Floors(auc=0.93)),
    )


def _task() -> TaskInfo:
    return TaskInfo(
        name="lesions",
        source="lesions",
        kind="single-label",
        modality="image",
        classes=("benign", "malignant"),
        positive=("malignant",),
        synthetic=True,
        groups=("skin_tone",),
        content_hash=_sha("e"),
        sizes={"train": 4000, "calibration": 512, "validation": 800, "test": 2000},
        positives={"train": 1000, "calibration": 128, "validation": 200, "test": 500},
        overlap=OverlapReport(train_test=3, dropped=3),
    )


def _budget() -> BudgetResult:
    met, unknown = BudgetStatus.MET, BudgetStatus.NOT_MEASURED
    return BudgetResult(
        profile="watch",
        checks=(
            BudgetCheck(quantity="size", limit=5_000_000, value=1_684_207, unit="bytes", status=met, where="the file"),
            BudgetCheck(quantity="p90 latency", limit=100, value=0.385, unit="ms", status=unknown, where=WHERE),
            BudgetCheck(quantity="peak memory", limit=1000, value=35.8, unit="MB", status=unknown, where=WHERE),
        ),
    )


def _probe(teacher: float, alone: float, distilled: float) -> ProbeResult:
    """After three epochs; half an interval is 0.012."""

    def metric(value: float, half: float = 0.012) -> Metric:
        return Metric(value=value, low=value - half, high=value + half, n=800)

    hurts = teacher < alone
    return ProbeResult(
        outcome=ProbeOutcome.HURT if hurts else ProbeOutcome.HELP,
        sentence=f"Probe: the teacher is {'worse' if hurts else 'better'} than the student alone after 3 epochs.",
        epochs=3,
        teacher=metric(teacher),
        student_alone=metric(alone),
        distilled=metric(distilled),
        teacher_gain=metric(teacher - alone),
        distilled_gain=metric(distilled - alone),
    )


def passing() -> Report:
    """Five candidates on a synthetic task; the gate passes."""
    versions = {"galenic": "0.1.0", "onnxruntime": "1.31.1", "torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.14"}
    return Report(
        run=RunInfo(
            id="3f9c2ad1b07e",
            name="lesions-demo",
            seed=7,
            started="2026-11-20T22:14:05+00:00",
            host=HOST,
            versions=versions,
            seconds=254.2,
            threads=2,
        ),
        task=_task(),
        reference=_reference(),
        candidates=_candidates(),
        chosen="int8",
        chosen_because="The smallest file whose validation AUC is within 0.02 of the reference's.",
        gate=gate(),
        sentence=verdict_sentence(gate()),
        budget=_budget(),
        recipe=_recipe(),
        comparison=Comparison(
            metric="auc",
            teacher=0.9702,
            student_alone=0.9488,
            distilled=0.9631,
            sentence="The teacher is better than the student alone, and distillation did no harm.",
        ),
        probe=_probe(0.9702, 0.9112, 0.9204),
        notes=("Rows of the training split that also stand in the test split were dropped (3).",),
    )


def failing() -> Report:
    """The gate fails and the budget is missed; the data are real, and the test set was read before."""
    check = GateCheck(
        endpoint="sensitivity",
        kind=CheckKind.MARGIN,
        limit=0.05,
        value=-0.092,
        low=-0.121,
        high=-0.063,
        n=500,
        method="Tango",
        verdict=Verdict.FAIL,
        reason=MISSED_REASON,
    )
    good = gate().checks[0]
    missed = BudgetCheck(
        quantity="p90 latency", limit=0.2, value=0.385, unit="ms", status=BudgetStatus.MISSED, where=WHERE
    )
    report, judged = passing(), gate(Verdict.FAIL, (good, check)).model_copy(update={"reads": 3})
    probe = _probe(0.8021, 0.9112, 0.8704)
    return report.model_copy(
        update={
            "gate": judged,
            "sentence": verdict_sentence(judged),
            "task": report.task.model_copy(update={"synthetic": False, "overlap": OverlapReport()}),
            "budget": BudgetResult(profile="host-fast", checks=(_budget().checks[0], missed)),
            "comparison": None,
            "probe": probe,
            "notes": (probe.sentence,),
        }
    )


def undecided() -> Report:
    """Too few positives for one margin, none at all for another: the gate is inconclusive, and there is no budget."""
    checks = (
        gate().checks[0],
        GateCheck(
            endpoint="sensitivity",
            kind=CheckKind.MARGIN,
            limit=0.05,
            value=-0.02,
            low=-0.109,
            high=0.069,
            n=50,
            method="Tango",
            verdict=Verdict.INCONCLUSIVE,
            reason="The interval crosses the margin: too few positives.",
        ),
        GateCheck(
            endpoint="specificity",
            kind=CheckKind.MARGIN,
            limit=0.05,
            value=None,
            low=None,
            high=None,
            n=0,
            method="Tango",
            verdict=Verdict.INCONCLUSIVE,
            reason="There is no negative case.",
        ),
    )
    judged = gate(Verdict.INCONCLUSIVE, checks)
    return passing().model_copy(update={"gate": judged, "sentence": verdict_sentence(judged), "budget": None})


def multi_class() -> Report:
    """Seven classes: wide matrices."""
    classes = (
        "actinic keratosis",
        "basal cell carcinoma",
        "keratosis",
        "dermatofibroma",
        "melanoma",
        "nevus",
        "vascular lesion",
    )
    counts = tuple(tuple(140 + 7 * i if i == j else (i * 3 + j * 5) % 11 for j in range(7)) for i in range(7))
    report = passing()
    matrix = {split: Confusion(split=split, counts=counts) for split in ("test", "validation")}
    return report.model_copy(
        update={
            "task": report.task.model_copy(
                update={"classes": classes, "positive": ("melanoma", "basal cell carcinoma"), "synthetic": False}
            ),
            "reference": report.reference.model_copy(update={"confusion": matrix["test"]}),
            "candidates": tuple(c.model_copy(update={"confusion": matrix[c.split]}) for c in report.candidates),
        }
    )


def hostile(name: str) -> Report:
    """The passing report with ``name`` wherever a name can stand."""
    report = passing()
    chosen: Mapping[str, object] = {"title": name, "path": name, "lineage": (name,), "runtime": name}
    return report.model_copy(
        update={
            "run": report.run.model_copy(update={"name": name, "host": name, "versions": {name: name}}),
            "task": report.task.model_copy(update={"name": name, "classes": ("benign", name), "source": name}),
            "reference": report.reference.model_copy(update={"name": name}),
            "candidates": tuple(c.model_copy(update=dict(chosen)) for c in report.candidates),
            "notes": (name,),
            "probe": _probe(0.97, 0.91, 0.92).model_copy(update={"sentence": f"{name}!"}),
            "sentence": f"Pass: {name}.",
            "chosen_because": name,
            "recipe": report.recipe.model_copy(update={"name": name}),
        }
    )
