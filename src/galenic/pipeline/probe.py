"""The probe: is the teacher better than the student trained alone? Asked on validation, before the hours are spent.

Distillation wins where the teacher beats the student trained alone, and can cost many points where it does not (on
MedMNIST a strong outside teacher lost 9.9 points on OCT). So, before the first phase that distils,

    teacher_gain   = AUC(teacher)           - AUC(student alone)
    distilled_gain = AUC(distilled student) - AUC(student alone)         after the same few epochs, from the same seed

with paired intervals (DeLong). Expected to hurt: either interval lies below zero. Expected to help: the teacher's lies
above it. Undecided: anything else, and whatever rests on too few cases. Where the recipe trains the student alone in full
anyway, the teacher is compared with that one and nothing short is trained. A probe never stops a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galenic.compress.distill.progressive import Progressive
from galenic.compress.method import Method, Teacher
from galenic.compress.supervised import Supervised
from galenic.gating.endpoints import ENDPOINTS, Finding
from galenic.pipeline.file_stages import export_stage, predict_stage
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.record.base import content_hash
from galenic.record.errors import DivergedTraining
from galenic.record.predictions import Predictions
from galenic.record.report import Metric, ProbeOutcome, ProbeResult
from galenic.record.task import SplitName, TaskKind
from galenic.record.training import Rows, TrainingConfig
from galenic.stats.estimate import ALPHA, Estimate
from galenic.zoo.model import Model

SHORT = 2
"""A phase of up to this many times the probe's epochs is over about as soon as its probe, which is left out then."""
METRIC = "auc"
WORK = "probe of the teacher"


@dataclass(frozen=True)
class Distilling:
    """A phase that is about to distil.

    Attributes:
        methods: its methods.
        training: its training, resolved.
        start: the model that it begins with.
        teachers: whom the student will learn from.
        answers: the teachers' predictions on validation, in the same order.
        runtime: where the student will run.
    """

    methods: Sequence[Method]
    training: TrainingConfig
    start: Model
    teachers: Sequence[Teacher]
    answers: Sequence[Predictions]
    runtime: str


def probe(
    setting: Setting, ahead: Distilling, epochs: int, alone: Predictions | None = None, *, always: bool = False
) -> ProbeResult:
    """Compare the teacher with the student alone, and tell ``setting.progress`` what follows.

    Args:
        setting: the run.
        ahead: the phase that the probe is about.
        epochs: of the two short trainings; they are stages of the store.
        alone: validation predictions of the student after its whole training alone, which spares the short ones.
        always: also where the phase itself is about as short.
    """
    setting.progress(WORK, 0, 1)
    teacher = together(ahead.answers)
    if alone is not None:
        found = judge_probe(teacher, alone)
    elif not always and ahead.training.epochs <= SHORT * epochs:
        found = _left_out(ahead.training.epochs, epochs)
    else:
        found = _short_trainings(setting, ahead, epochs, teacher)
    setting.progress(WORK, 1, 1, found.sentence)
    return found


def judge_probe(
    teacher: Predictions, alone: Predictions, distilled: Predictions | None = None, epochs: int | None = None
) -> ProbeResult:
    """What predictions of the same cases say; ``epochs`` is None where the student alone had its whole training."""
    endpoint = ENDPOINTS[METRIC]
    above = endpoint.paired(teacher, alone, ALPHA)
    taught = endpoint.paired(distilled, alone, ALPHA) if distilled is not None else None
    values = [endpoint.alone(one, ALPHA).estimate if one is not None else None for one in (teacher, alone, distilled)]
    outcome = _outcome(above, taught)
    return ProbeResult(
        outcome=outcome,
        sentence=f"{_numbers(values, epochs)} {_reason(outcome, above, taught, epochs)}",
        metric=METRIC,
        epochs=epochs,
        teacher=_metric(values[0]),
        student_alone=_metric(values[1]),
        distilled=_metric(values[2]),
        teacher_gain=_metric(above.estimate),
        distilled_gain=_metric(taught.estimate) if taught else None,
    )


def together(teachers: Sequence[Predictions]) -> Predictions:
    """Several teachers as one: the mean of their probabilities, as logits. One teacher is taken as it is."""
    first = teachers[0]
    if len(teachers) == 1:
        return first
    tiny = np.finfo(np.float64).tiny
    mean = np.mean([one.probabilities() for one in teachers], axis=0)
    logits = np.log(np.maximum(mean, tiny))
    if first.kind is TaskKind.MULTI_LABEL:
        logits -= np.log(np.maximum(1 - mean, tiny))
    return Predictions(
        ids=first.ids,
        labels=first.labels,
        logits=logits.astype(np.float32),
        split=first.split,
        split_hash=first.split_hash,
        kind=first.kind,
        classes=first.classes,
        positive=first.positive,
        made_by=content_hash([one.made_by for one in teachers]),
        groups=first.groups,
        clusters=first.clusters,
    )


def short_training(training: TrainingConfig, epochs: int) -> TrainingConfig:
    """The same training over fewer epochs, of which warm-up takes at most a third."""
    return training.model_copy(update={"epochs": epochs, "warmup_epochs": min(training.warmup_epochs, epochs / 3)})


def _short_trainings(setting: Setting, ahead: Distilling, epochs: int, teacher: Predictions) -> ProbeResult:
    short = short_training(ahead.training, epochs)
    labelled = short.model_copy(update={"rows": Rows.TRAIN})
    control = [method for method in ahead.methods if not method.needs_teacher] or [Supervised()]
    # Assistants would be trained in full: the student learns from the first teacher without them
    distilling = [one.soft_target if isinstance(one, Progressive) else one for one in ahead.methods]
    try:
        (alone,) = run_phase(setting, control, ahead.start, labelled)
        (taught,) = run_phase(setting, distilling, ahead.start, short, ahead.teachers)
    except DivergedTraining as error:
        sentence = f"Probe of the teacher: undecided, since {error.given}. {error.todo.capitalize()}."
        return ProbeResult(outcome=ProbeOutcome.UNDECIDED, sentence=sentence, epochs=epochs)
    return judge_probe(
        teacher, _answers(setting, alone, ahead.runtime), _answers(setting, taught, ahead.runtime), epochs
    )


def _answers(setting: Setting, model: Model, runtime: str) -> Predictions:
    return predict_stage(setting, export_stage(setting, model, runtime), SplitName.VALIDATION)


def _left_out(epochs: int, short: int) -> ProbeResult:
    return ProbeResult(
        outcome=ProbeOutcome.LEFT_OUT,
        sentence=f"The teacher was not probed: the distillation takes {_epochs(epochs)}, a probe twice {short} (probe.epochs).",
    )


def _outcome(above: Finding, taught: Finding | None) -> ProbeOutcome:
    if _sure(above.estimate.high < 0, above) or (taught is not None and _sure(taught.estimate.high < 0, taught)):
        return ProbeOutcome.HURT
    return ProbeOutcome.HELP if _sure(above.estimate.low > 0, above) else ProbeOutcome.UNDECIDED


def _sure(shown: bool, finding: Finding) -> bool:
    """Whether a finding shows something and rests on enough cases to."""
    return shown and not finding.weakness


def _numbers(values: Sequence[Estimate | None], epochs: int | None) -> str:
    names = ("teacher", "student alone", "distilled student")
    when = "the student trained in full" if epochs is None else f"the students after {_epochs(epochs)}"
    said = ", ".join(f"{name} {one.value:.3f}" for name, one in zip(names, values, strict=True) if one is not None)
    return f"Probe (AUC on validation, {when}): {said}."


def _reason(outcome: ProbeOutcome, above: Finding, taught: Finding | None, epochs: int | None) -> str:
    worse = _sure(above.estimate.high < 0, above)
    if outcome is ProbeOutcome.HURT and not worse:
        assert taught is not None  # nothing else can have said so
        return (
            f"Warning: the student learns worse under the teacher than alone ({_difference(taught)}), so distillation with "
            "these options is expected to hurt; try a lower alpha, another temperature or another method."
        )
    if outcome is ProbeOutcome.HURT:
        return (
            f"Warning: the teacher is worse than the student alone ({_difference(above)}), so distillation is expected to "
            "hurt; take a better teacher, or train the student alone (supervised)."
        )
    if outcome is ProbeOutcome.HELP:
        early = " (which may still catch up)" if epochs is not None else ""
        return f"The teacher is better than the student alone{early} ({_difference(above)}): distillation is expected to help."
    why = above.weakness or "these cases cannot tell the teacher from the student alone"
    return f"Whether distillation will help is undecided: {why} ({_difference(above)})."


def _difference(finding: Finding) -> str:
    found = finding.estimate
    return f"{found.value:+.3f}, 95 % interval {found.low:+.3f} to {found.high:+.3f}, n = {found.n:,}"


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' if count > 1 else ''}"


def _metric(found: Estimate | None) -> Metric | None:
    return None if found is None else Metric(value=found.value, low=found.low, high=found.high, n=found.n)
