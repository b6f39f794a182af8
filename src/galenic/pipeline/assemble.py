"""The report of a run, assembled from what the stages found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from galenic.compress.methods import METHODS
from galenic.gating.metrics import confusion, metrics
from galenic.pipeline.chain import Chain, Finished
from galenic.pipeline.choice import Chosen
from galenic.pipeline.file_stages import predict_stage
from galenic.pipeline.setting import Setting, installed_versions
from galenic.record.base import content_hash
from galenic.record.gate import GateResult
from galenic.record.profile import BudgetResult
from galenic.record.report import Candidate, Comparison, ProbeOutcome, ProbeResult, Reference, Report, RunInfo, TaskInfo
from galenic.record.sentences import verdict_sentence
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.runtimes.place import machine_name

RUN_ID_DIGITS = 10
SAME_AUC = 0.005
"""AUCs on validation that are closer than this are called about equal."""


@dataclass(frozen=True)
class RunFacts:
    """When a run started (UTC, ISO 8601) and how many seconds it took."""

    started: str
    seconds: float


def assemble_report(
    setting: Setting,
    chain: Chain,
    chosen: Chosen,
    gate: GateResult,
    budget: BudgetResult | None,
    facts: RunFacts,
) -> Report:
    """Everything that a run found, as one record. The test predictions were made by the gate and are read back."""
    recipe = chain.recipe
    frontier = frontier_ids(chain.all)
    reference = _reference(setting, chain)
    candidates = tuple(_candidate(setting, one, one is chosen.file, one.id in frontier) for one in chain.all)
    judged = next(candidate for candidate in candidates if candidate.id == chosen.file.id)
    return Report(
        run=RunInfo(
            id=content_hash([recipe.model_dump(mode="json"), setting.task.content_hash])[:RUN_ID_DIGITS],
            name=recipe.name,
            seed=recipe.seed,
            started=facts.started,
            host=machine_name(),
            versions=installed_versions(),
            seconds=round(facts.seconds, 1),
            threads=recipe.threads,
        ),
        task=task_info(setting.task),
        reference=reference,
        candidates=candidates,
        chosen=chosen.file.id,
        chosen_because=chosen.because,
        gate=gate,
        sentence=verdict_sentence(gate),
        budget=budget,
        comparison=compare_with_teacher(chain),
        probe=chain.probe,
        notes=(*warning_of(chain.probe), *chain.notes, *_notes(judged)),
        recipe=recipe,
    )


def frontier_ids(chain: tuple[Finished, ...]) -> set[str]:
    """The files that no other one beats or equals in size, p90 and validation AUC at once, with at least one better."""
    points = {
        one.id: (one.artifact.size_bytes, one.measured.latency.p90, -metrics(one.validation)["auc"].value)
        for one in chain
    }
    return {
        name
        for name, point in points.items()
        if not any(
            all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in points.values()
        )
    }


def compare_with_teacher(chain: Chain) -> Comparison | None:
    """Teacher, student alone and distilled student on validation AUC, and what follows from it.

    The distilled student is the first one that learned from a teacher; of several teachers the best is compared with.
    """
    distilling = {method.name for method in METHODS if method.needs_teacher}
    distilled = next((one for one in chain.steps if distilling & set(one.artifact.lineage)), None)
    scores = [one.score for one in chain.teachers if one.score is not None]
    if distilled is None or not scores:
        return None
    teacher = max(scores)
    taught = metrics(distilled.validation)["auc"].value
    alone = metrics(chain.alone.validation)["auc"].value if chain.alone else None
    return Comparison(
        metric="auc",
        teacher=teacher,
        student_alone=alone,
        distilled=taught,
        sentence=_comparison_sentence(teacher, alone, taught, len(scores)),
    )


def _comparison_sentence(teacher: float, alone: float | None, taught: float, teachers: int) -> str:
    who = "teacher" if teachers == 1 else f"the best of {teachers} teachers"
    if alone is None:
        return (
            f"On validation: {who} {teacher:.3f}, distilled student {taught:.3f} (AUC). The student was not trained "
            "alone, so whether the teacher helped is not known (give [student.training] to find out)."
        )
    numbers = f"On validation: {who} {teacher:.3f}, student alone {alone:.3f}, distilled student {taught:.3f} (AUC)."
    if teacher < alone - SAME_AUC:
        subject = "The" if teachers == 1 else "Even the best"
        return f"{numbers} {subject} teacher is worse than the student alone; such a teacher usually harms."
    if taught < alone - SAME_AUC:
        return f"{numbers} Distillation did harm here: the student alone is better."
    if taught > alone + SAME_AUC:
        return f"{numbers} The student gained from its teacher."
    return f"{numbers} The student is about as good with its teacher as alone."


def warning_of(probe: ProbeResult | None) -> list[str]:
    """What is to be known before use: that the teacher was expected to harm."""
    return [probe.sentence] if probe is not None and probe.outcome is ProbeOutcome.HURT else []


def task_info(task: Task) -> TaskInfo:
    """The data by name, size and hash."""
    return TaskInfo(
        name=task.name,
        source=task.source,
        kind=task.kind.value,
        modality=task.preprocessing.modality.value,
        classes=task.classes,
        positive=tuple(task.classes[index] for index in task.positive),
        synthetic=task.synthetic,
        sizes={name.value: len(split) for name, split in task.splits.items()}
        | ({"transfer": len(task.transfer)} if task.transfer is not None else {}),
        positives={name.value: positives(task, split) for name, split in task.splits.items()},
        groups=tuple(task.test.groups),
        overlap=task.overlap,
        content_hash=task.content_hash,
    )


def positives(task: Task, split: Split) -> int:
    """How many cases have a positive class."""
    if task.kind is TaskKind.MULTI_LABEL:
        return int(split.labels[:, list(task.positive)].any(axis=1).sum())
    return int(np.isin(split.labels, task.positive).sum())


def _candidate(setting: Setting, one: Finished, chosen: bool, on_frontier: bool) -> Candidate:
    artifact = one.artifact
    split = SplitName.TEST if chosen else SplitName.VALIDATION
    judged = predict_stage(setting, artifact, split)
    return Candidate(
        id=one.id,
        title=one.title,
        lineage=artifact.lineage,
        runtime=artifact.runtime,
        precision=artifact.precision,
        path=f"files/{one.id}{artifact.path.suffix}",
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        parameters=artifact.parameters,
        macs=artifact.macs,
        split=split.value,
        metrics=metrics(judged),
        validation=metrics(one.validation),
        latency_ms=one.measured.latency,
        breakdown_ms=one.measured.breakdown,
        memory_peak_mb=one.measured.memory_peak_mb,
        parity=one.parity,
        integer_ops=artifact.integer_ops,
        on_frontier=on_frontier,
        confusion=confusion(judged) if setting.task.kind is not TaskKind.MULTI_LABEL else None,
        quant=artifact.quant,
    )


def _reference(setting: Setting, chain: Chain) -> Reference:
    one = chain.reference
    judged = predict_stage(setting, one.artifact, SplitName.TEST)
    return Reference(
        name=chain.recipe.reference.title,
        runtime=one.artifact.runtime,
        path=f"files/{one.id}{one.artifact.path.suffix}",
        sha256=one.artifact.sha256,
        parameters=one.artifact.parameters,
        macs=one.artifact.macs,
        size_bytes=one.artifact.size_bytes,
        split=SplitName.TEST.value,
        metrics=metrics(judged),
        latency_ms=one.measured.latency,
        memory_peak_mb=one.measured.memory_peak_mb,
        confusion=confusion(judged) if setting.task.kind is not TaskKind.MULTI_LABEL else None,
    )


def _notes(candidate: Candidate) -> list[str]:
    ops = candidate.integer_ops
    if ops is None or ops.integer >= ops.expected:
        return []
    left = ", ".join(ops.left_float[:5])
    return [f"{ops.integer} of {ops.expected} layers that were to be integer are; left in float: {left}."]
