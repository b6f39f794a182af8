"""The chain of models from the reference to the last phase, each as a file that was run and measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from galenic.compress.distill.answers import refuse_other_classes
from galenic.compress.method import Teacher
from galenic.compress.supervised import Supervised
from galenic.pipeline.advice import sparsity_sentences, speed_sentence
from galenic.pipeline.costs import LatencyCost
from galenic.pipeline.file_stages import Measured, duel_stage, export_stage, measure_stage, parity_of, predict_stage
from galenic.pipeline.plan import Phase, Plan
from galenic.pipeline.probe import Distilling, probe
from galenic.pipeline.reference import Trusted, as_teacher, build_model, prepare_reference, prepare_teachers
from galenic.pipeline.rehearsal import rehearse
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import resolved_methods, resolved_training, run_phase
from galenic.record.artifact import Artifact
from galenic.record.base import Record
from galenic.record.measurement import Ratio
from galenic.record.predictions import Predictions
from galenic.record.recipe import ModelRecipe, PhaseRecipe, Recipe
from galenic.record.report import Parity, ProbeResult
from galenic.record.task import SplitName
from galenic.zoo.model import Model


@dataclass(frozen=True)
class Finished:
    """One file of the chain with what was found on validation.

    Attributes:
        id: unique in the run, such as ``2-soft_target``.
        title: for people.
        artifact: the file.
        measured: latency and memory on this host.
        validation: its predictions there.
        parity: against the torch model it came from, None for an outside file.
        plain: of a quantized file the float file of the same model, for the same runtime.
        speedup: how many times faster than that one it is.
        notes: about the model that it came from.
    """

    id: str
    title: str
    artifact: Artifact
    measured: Measured
    validation: Predictions
    parity: Parity | None
    plain: Finished | None = None
    speedup: Ratio | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chain:
    """All files of a run, oldest first; ``last`` are those of the last phase; ``recipe`` has every measured choice.

    ``teachers`` are those of the phases that distil, with their AUC on validation; ``probe`` was asked before the first one.
    """

    reference: Finished
    alone: Finished | None
    steps: tuple[Finished, ...]
    last: tuple[Finished, ...]
    recipe: Recipe
    notes: tuple[str, ...]
    teachers: tuple[Teacher, ...] = ()
    probe: ProbeResult | None = None

    @property
    def all(self) -> tuple[Finished, ...]:
        """Every file, the reference's own first."""
        return (self.reference, *((self.alone,) if self.alone else ()), *self.steps)


@dataclass(frozen=True)
class Student:
    """What the phases begin with, what it became when it was trained alone, and its part of the recipe, resolved."""

    start: Model
    alone: Finished | None
    recipe: ModelRecipe | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Teachers:
    """Whom the student learns from, and what they said about validation, in the same order."""

    taught_by: tuple[Teacher, ...] = ()
    answers: tuple[Predictions, ...] = ()


@dataclass(frozen=True)
class Walked:
    """What the phases made: all files, those of the last phase, the phases resolved, and the probe before distillation."""

    steps: tuple[Finished, ...]
    last: tuple[Finished, ...]
    phases: tuple[PhaseRecipe, ...]
    probe: ProbeResult | None


def run_chain(setting: Setting, plan: Plan) -> Chain:
    """Prepare the reference and the student, run every phase, and export, predict and measure each model on the way."""
    recipe = plan.recipe
    rehearse(setting, plan)
    trusted = prepare_reference(setting, recipe.reference, recipe.runtime)
    named = prepare_teachers(setting, recipe)
    teachers = teachers_of(setting, plan, named or (trusted,))
    title = f"{recipe.reference.title}, reference"
    reference = finish(setting, recipe, trusted.artifact, trusted.model, "reference", title)
    student = _prepare_student(setting, recipe, trusted)
    walked = _run_phases(setting, plan, reference, student, teachers)
    resolved = {
        "reference": trusted.recipe,
        "teacher": tuple(one.recipe for one in named),
        "student": student.recipe,
        "phase": walked.phases,
    }
    return Chain(
        reference=reference,
        alone=student.alone,
        steps=walked.steps,
        last=walked.last or (reference,),
        recipe=recipe.model_copy(update=resolved),
        notes=(
            *(note for one in (trusted, *named) for note in one.notes),
            *student.notes,
            *_scores(teachers.taught_by),
            *_speeds(walked.steps),
            *(note for step in walked.steps for note in step.notes),
        ),
        teachers=teachers.taught_by,
        probe=walked.probe,
    )


def teachers_of(setting: Setting, plan: Plan, trusted: Sequence[Trusted]) -> Teachers:
    """The teachers of the plan's methods with their scores, each answered by its own file; none where no method distils."""
    if not any(method.needs_teacher for phase in plan.phases for method in phase.methods):
        return Teachers()
    for one in trusted:
        refuse_other_classes(one.recipe.title, one.artifact.classes, setting.task)
    return Teachers(
        tuple(as_teacher(setting, one.artifact, one.recipe.title, one.model, scored=True) for one in trusted),
        tuple(predict_stage(setting, one.artifact, SplitName.VALIDATION) for one in trusted),
    )


def finish(
    setting: Setting, recipe: Recipe, artifact: Artifact, model: Model | None, name: str, title: str
) -> Finished:
    """Run a file on validation and measure it."""
    setting.progress(f"measuring {title}", 0, 1)
    finished = Finished(
        id=name,
        title=title,
        artifact=artifact,
        measured=measure_stage(setting, artifact, recipe.measure),
        validation=predict_stage(setting, artifact, SplitName.VALIDATION),
        parity=parity_of(setting, model, artifact) if model is not None else None,
    )
    setting.progress(f"measuring {title}", 1, 1)
    return finished


def _prepare_student(setting: Setting, recipe: Recipe, trusted: Trusted) -> Student:
    wanted = recipe.student
    if wanted is None:
        assert trusted.model is not None  # the plan has refused a file without a student
        return Student(trusted.model, None, None)
    start, notes = build_model(setting, wanted)
    if wanted.training is None:
        return Student(start, None, wanted, notes)
    training = resolved_training(setting, wanted.training, start)
    (model,) = run_phase(setting, [Supervised()], start, training)
    artifact = export_stage(setting, model, recipe.runtime)
    alone = finish(setting, recipe, artifact, model, "alone", f"{wanted.model} alone")
    return Student(start, alone, wanted.model_copy(update={"training": training}), notes)


def _run_phases(setting: Setting, plan: Plan, reference: Finished, student: Student, teachers: Teachers) -> Walked:
    """Run every phase on what the one before it made."""
    models, probed = {"": student.start}, None
    known = (reference, *([student.alone] if student.alone else []))
    steps, last, resolved = list[Finished](), list[Finished](), list[PhaseRecipe]()
    cost = LatencyCost(setting, plan.recipe.runtime, plan.recipe.measure)
    for number, (planned, recipe) in enumerate(zip(plan.phases, plan.recipe.phase, strict=True), 1):
        phase = measured_phase(setting, planned, models[""])
        resolved.append(written_back(recipe, planned, phase))
        if probed is None and any(method.needs_teacher for method in phase.methods):
            probed = _probe(setting, plan.recipe, phase, models[""], student.alone, teachers)
        grown = {
            label: (model, made)
            for name, model in models.items()
            for label, made in _labelled(
                name, run_phase(setting, phase.methods, model, phase.training, teachers.taught_by, cost)
            )
        }
        models = {label: made for label, (_, made) in grown.items()}
        last = [_finish_step(setting, plan.recipe, phase, number, label, made) for label, made in models.items()]
        if phase.quantizes:
            plain = [_plain(setting, plan.recipe, model, (*known, *steps)) for model, _ in grown.values()]
            finished = {one.id for one in (*known, *steps)}
            steps += [one for one in plain if one.id not in finished]
            last = [_timed(setting, plan.recipe, *pair) for pair in zip(last, plain, strict=True)]
        steps += last
    return Walked(tuple(steps), tuple(last), tuple(resolved), probed)


def measured_phase(setting: Setting, phase: Phase, model: Model) -> Phase:
    """The phase with every choice filled in that is made by measuring."""
    training = resolved_training(setting, phase.training, model) if phase.training else None
    return Phase(resolved_methods(setting, phase.methods, phase.training), training)


def written_back(recipe: PhaseRecipe, planned: Phase, measured: Phase) -> PhaseRecipe:
    """The phase of the recipe with the choices that were measured, so that it runs again without measuring."""
    options = {
        after.name: after.model_dump(mode="json")
        for before, after in zip(planned.methods, measured.methods, strict=True)
        if isinstance(after, Record) and after != before
    }
    return PhaseRecipe(method=recipe.method, options={**recipe.options, **options}, training=measured.training)


def _probe(
    setting: Setting, recipe: Recipe, phase: Phase, start: Model, alone: Finished | None, teachers: Teachers
) -> ProbeResult | None:
    """A short look at whether the teacher can help."""
    if not recipe.probe.epochs or phase.training is None:
        return None
    ahead = Distilling(phase.methods, phase.training, start, teachers.taught_by, teachers.answers, recipe.runtime)
    return probe(setting, ahead, recipe.probe.epochs, alone.validation if alone else None)


def _labelled(before: str, made: Sequence[Model]) -> Iterator[tuple[str, Model]]:
    """The models that came of one, each with what tells it apart: the last goes on under the name that it had."""
    for number, model in enumerate(made[:-1], 1):
        own = model.lineage[-1] if model.lineage[-1] != made[-1].lineage[-1] else str(number)
        yield f"{before}-{own}".strip("-"), model
    yield before, made[-1]


def _finish_step(setting: Setting, recipe: Recipe, phase: Phase, number: int, label: str, model: Model) -> Finished:
    setting.progress(f"exporting {phase.name}", 0, 1)
    artifact = export_stage(setting, model, recipe.runtime)
    setting.progress(f"exporting {phase.name}", 1, 1)
    name = "-".join([str(number), *(method.name for method in phase.methods), *([label] if label else [])])
    title = f"{model.lineage[0]}, {' + '.join(model.lineage[1:])}"
    finished = finish(setting, recipe, artifact, model, name, title)
    return replace(finished, notes=tuple(sparsity_sentences(title, model)))


def _plain(setting: Setting, recipe: Recipe, model: Model, known: Sequence[Finished]) -> Finished:
    """The float file of a model that is about to be quantized: one that is finished already, or a new one."""
    artifact = export_stage(setting, model, recipe.runtime)
    for one in known:
        if one.artifact.computation == artifact.computation:
            return one
    title = ", ".join([model.lineage[0], *([" + ".join(model.lineage[1:])] if model.lineage[1:] else [])])
    return finish(setting, recipe, artifact, model, "float", title)


def _timed(setting: Setting, recipe: Recipe, file: Finished, plain: Finished) -> Finished:
    """A quantized file with its own float file, timed in turn."""
    speedup = duel_stage(setting, plain.artifact, file.artifact, recipe.measure)
    return replace(file, plain=plain, speedup=speedup)


def _speeds(files: Sequence[Finished]) -> list[str]:
    """How fast each quantized file is beside its own float file."""
    return [
        f"{one.title}: {speed_sentence(one.plain.measured.latency, one.measured.latency, one.speedup)}"
        for one in files
        if one.plain is not None and one.speedup is not None
    ]


def _scores(teachers: Sequence[Teacher]) -> list[str]:
    if len(teachers) < 2:
        return []
    return [f"Teachers (AUC on validation): {', '.join(f'{one.name} {one.score:.3f}' for one in teachers)}."]
