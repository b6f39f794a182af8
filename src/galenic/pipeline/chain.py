"""The chain of models from the reference to the last phase, each as a file that was run and measured."""

from __future__ import annotations

from dataclasses import dataclass

from galenic.compress.distill.answers import refuse_other_classes
from galenic.compress.supervised import Supervised
from galenic.pipeline.file_stages import Measured, export_stage, measure_stage, parity_of, predict_stage
from galenic.pipeline.plan import Plan
from galenic.pipeline.reference import Trusted, as_teacher, build_model, prepare_reference
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import resolved_training, run_phase
from galenic.record.artifact import Artifact
from galenic.record.predictions import Predictions
from galenic.record.recipe import Recipe
from galenic.record.report import Parity
from galenic.record.task import SplitName
from galenic.record.training import TrainingConfig
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
    """

    id: str
    title: str
    artifact: Artifact
    measured: Measured
    validation: Predictions
    parity: Parity | None


@dataclass(frozen=True)
class Chain:
    """All files of a run, oldest first; ``last`` are those of the last phase; ``recipe`` has every measured choice."""

    reference: Finished
    alone: Finished | None
    steps: tuple[Finished, ...]
    last: tuple[Finished, ...]
    recipe: Recipe
    notes: tuple[str, ...]

    @property
    def all(self) -> tuple[Finished, ...]:
        """Every file, the reference's own first."""
        return (self.reference, *((self.alone,) if self.alone else ()), *self.steps)


def run_chain(setting: Setting, plan: Plan) -> Chain:
    """Prepare the reference and the student, run every phase, and export, predict and measure each model on the way."""
    recipe = plan.recipe
    trusted = prepare_reference(setting, recipe.reference, recipe.runtime)
    if any(method.needs_teacher for phase in plan.phases for method in phase.methods):
        refuse_other_classes(recipe.reference.model, trusted.artifact.classes, setting.task)
    resolved = recipe.model_copy(
        update={"reference": recipe.reference.model_copy(update={"training": trusted.training})}
    )
    reference = finish(
        setting, recipe, trusted.artifact, trusted.model, "reference", f"{recipe.reference.model}, reference"
    )
    start, notes, alone = trusted.model, trusted.notes, None
    if recipe.student is not None:
        start, more = build_model(setting, recipe.student)
        notes += more
        if recipe.student.training is not None:
            training = resolved_training(setting, recipe.student.training, start)
            student = recipe.student.model_copy(update={"training": training})
            resolved = resolved.model_copy(update={"student": student})
            (model,) = run_phase(setting, [Supervised()], start, training)
            alone = finish(
                setting,
                recipe,
                export_stage(setting, model, recipe.runtime),
                model,
                "alone",
                f"{recipe.student.model} alone",
            )
    assert start is not None  # the plan has refused a file without a student
    steps, last, trainings = _run_phases(setting, plan, start, trusted)
    phases = tuple(p.model_copy(update={"training": t}) for p, t in zip(recipe.phase, trainings, strict=True))
    return Chain(
        reference,
        alone,
        tuple(steps),
        tuple(last) or (reference,),
        resolved.model_copy(update={"phase": phases}),
        notes,
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


def _run_phases(
    setting: Setting, plan: Plan, start: Model, trusted: Trusted
) -> tuple[list[Finished], list[Finished], list[TrainingConfig | None]]:
    """All files that the phases made, those of the last phase, and each phase's resolved training."""
    recipe = plan.recipe
    teachers = [as_teacher(setting, trusted.artifact, recipe.reference.model, trusted.model)]
    models, steps, last = [start], list[Finished](), list[Finished]()
    trainings: list[TrainingConfig | None] = []
    for number, phase in enumerate(plan.phases, 1):
        training = resolved_training(setting, phase.training, models[0]) if phase.training else None
        trainings.append(training)
        models = [made for model in models for made in run_phase(setting, phase.methods, model, training, teachers)]
        last = []
        for index, model in enumerate(models):
            setting.progress(f"exporting {phase.name}", 0, 1)
            artifact = export_stage(setting, model, recipe.runtime)
            setting.progress(f"exporting {phase.name}", 1, 1)
            name = "-".join([str(number), *(m.name for m in phase.methods), *([str(index)] if len(models) > 1 else [])])
            title = f"{model.lineage[0]}, {' + '.join(model.lineage[1:])}"
            last.append(finish(setting, recipe, artifact, model, name, title))
        steps += last
    return steps, last, trainings
