"""``galenic distill``: layers that fit, the probe alone, or the distilling phases alone. The test set is never read.

What is trained here are the stages that ``galenic compress`` of the same recipe needs: it finds them in the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from galenic.compress.distill import METHODS as DISTILLING
from galenic.compress.distill.attention import AttentionTransfer
from galenic.compress.distill.features import FeatureMatching, Matching
from galenic.compress.distill.hidden_states import HiddenStates
from galenic.compress.distill.pairs import sample_inputs
from galenic.compress.distill.suggest import LayerPair, Layout, layout_of, suggest_pairs
from galenic.gating.endpoints import ENDPOINTS
from galenic.gating.metrics import metrics
from galenic.pipeline.assemble import compare_with_teacher
from galenic.pipeline.card import write_card
from galenic.pipeline.chain import Chain, Finished, measured_phase, run_chain, teachers_of
from galenic.pipeline.plan import Phase, Plan, check_plan_against, make_plan
from galenic.pipeline.probe import Distilling, probe
from galenic.pipeline.reference import build_model, prepare_reference, prepare_teachers, untrained
from galenic.pipeline.rehearsal import rehearse
from galenic.pipeline.run_folder import place_file
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.record.base import content_hash
from galenic.record.distillation import DistillationResult, DistilledFile
from galenic.record.errors import ModelError, RecipeError
from galenic.record.predictions import Predictions
from galenic.record.preprocessing import Modality
from galenic.record.progress import Progress, silent
from galenic.record.recipe import ModelRecipe, Recipe
from galenic.record.report import Metric, ProbeResult
from galenic.record.task import SplitName
from galenic.stats.estimate import ALPHA
from galenic.store.files import write_text
from galenic.store.stages import Store
from galenic.tasks.load import load_task

ID_DIGITS = 10


@dataclass(frozen=True)
class Suggestion:
    """Pairs of layers between the student and one teacher, shallow ones first; ``methods`` can compare all of them."""

    student: str
    teacher: str
    pairs: tuple[LayerPair, ...]
    methods: tuple[str, ...]

    @property
    def options(self) -> str:
        """TOML to paste under a [[phase]]: the options of each method."""
        lines = [f'    {{ student = "{pair.student}", teacher = "{pair.teacher}" }},' for pair in self.pairs]
        pairs = "\n".join(["pairs = [", *lines, "]"])
        matching = f'matching = "{self._matching.value}"\n'
        tables = [
            f"[phase.options.{name}]\n{matching if name == FeatureMatching.name else ''}{pairs}"
            for name in self.methods
        ]
        return "\n\n".join(tables)

    @property
    def _matching(self) -> Matching:
        if any(pair.adaptive for pair in self.pairs):
            return Matching.ADAPTIVE
        return Matching.ONE_TO_ONE if len(self.pairs) == 1 else Matching.MULTI_LAYER


@dataclass(frozen=True)
class Distilled:
    """What a distillation found, and the folder that holds its files and ``comparison.json``."""

    result: DistillationResult
    folder: Path


def suggest(recipe: Recipe, store: Store, progress: Progress = silent) -> list[Suggestion]:
    """Layers that go together, for every teacher whose layers can be looked at. Nothing is trained, no weights are read.

    Raises:
        RecipeError: the recipe has no student.
        ModelError: every teacher is a file.
    """
    if recipe.student is None:
        raise RecipeError(
            given=f"the recipe {recipe.name} without a student",
            expected="a [student] whose layers are to be paired with the teacher's",
            todo='add [student] with model = "..." (`galenic models` lists them)',
        )
    teachers = list(_nets(recipe))
    if not teachers:
        raise ModelError(
            given=f"teachers that are files ({', '.join(one.model for one in _teachers(recipe))})",
            expected="a teacher by the name of its architecture: a file's layers cannot be looked at",
            todo="name its architecture and weights, or use a method that needs answers only (soft_target, dkd)",
        )
    setting = _setting(recipe, store, progress)
    inputs = sample_inputs(setting.task)
    student = untrained(setting, recipe.student).module
    found = []
    for prefix, teacher in teachers:
        pairs = suggest_pairs(student, untrained(setting, teacher).module, inputs)
        named = tuple(_inside(prefix, pair) for pair in pairs)
        fitting = _methods_for(pairs, inputs, setting.task.preprocessing.modality)
        found.append(Suggestion(recipe.student.title, teacher.title, named, fitting))
    return found


def distill(recipe: Recipe, store: Store, progress: Progress = silent) -> Distilled:
    """Run the recipe up to its last phase that distils, and compare on validation.

    Raises:
        RecipeError: no phase distils.
    """
    plan = up_to_distillation(make_plan(recipe))
    setting = _setting(recipe, store, progress)
    check_plan_against(setting.task, plan)
    chain = run_chain(setting, plan)
    return _written(setting, chain)


def probe_alone(recipe: Recipe, store: Store, progress: Progress = silent) -> ProbeResult:
    """The probe before the first phase that learns from a teacher, with short trainings whatever the recipe has.

    Raises:
        RecipeError: no phase learns from a teacher, or ``probe.epochs`` is 0.
    """
    plan = up_to_distillation(make_plan(recipe))
    number, ahead = _first_with_teacher(plan)
    if not recipe.probe.epochs:
        raise RecipeError(
            given="probe.epochs = 0 and --probe",
            expected="an epoch or more for each of the two short trainings",
            todo="remove [probe] from the recipe: it takes 3 epochs then",
        )
    setting = _setting(recipe, store, progress)
    check_plan_against(setting.task, plan)
    rehearse(setting, plan)
    trusted = prepare_teachers(setting, recipe) or (prepare_reference(setting, recipe.reference, recipe.runtime),)
    teachers = teachers_of(setting, plan, trusted)
    assert recipe.student is not None  # the plan has refused a distillation without one
    model, _ = build_model(setting, recipe.student)
    for before in plan.phases[:number]:
        phase = measured_phase(setting, before, model)
        model = run_phase(setting, phase.methods, model, phase.training)[-1]
    phase = measured_phase(setting, ahead, model)
    assert phase.training is not None  # the plan has refused a training phase without one
    question = Distilling(phase.methods, phase.training, model, teachers.taught_by, teachers.answers, recipe.runtime)
    return probe(setting, question, recipe.probe.epochs, always=True)


def _first_with_teacher(plan: Plan) -> tuple[int, Phase]:
    for number, phase in enumerate(plan.phases):
        if any(method.needs_teacher for method in phase.methods):
            return number, phase
    raise RecipeError(
        given=f"the recipe {plan.recipe.name}, in which no phase learns from a teacher's answers",
        expected="a [[phase]] whose teacher can be compared with the student",
        todo="run it without --probe",
    )


def up_to_distillation(plan: Plan) -> Plan:
    """The plan without the phases behind the last one that distils; RecipeError where none does."""
    distilling = [number for number, phase in enumerate(plan.phases, 1) if distils(phase)]
    if not distilling:
        names = ", ".join(phase.name for phase in plan.phases) or "no phase"
        raise RecipeError(
            given=f"the recipe {plan.recipe.name}, in which nothing distils ({names})",
            expected="a [[phase]] with a method that learns from a teacher, such as soft_target",
            todo="add one (`galenic methods` lists them), or run `galenic compress`",
        )
    last = distilling[-1]
    recipe = plan.recipe.model_copy(update={"phase": plan.recipe.phase[:last]})
    return Plan(recipe, plan.phases[:last], plan.profile)


def distils(phase: Phase) -> bool:
    """Whether a phase learns from a teacher, even a virtual one."""
    return any(method.needs_teacher or type(method) in DISTILLING for method in phase.methods)


def _methods_for(pairs: Sequence[LayerPair], inputs: torch.Tensor, modality: Modality) -> tuple[str, ...]:
    """Those that compare layers of this kind; text has one of its own, which leaves out padding."""
    if not pairs:
        return ()
    layouts = {layout_of(shape, inputs) for pair in pairs for shape in (pair.student_shape, pair.teacher_shape)}
    if modality is Modality.TEXT:
        return (HiddenStates.name,) if layouts == {Layout.TOKENS} else ()
    maps = layouts <= {Layout.MAP, Layout.SIGNAL}
    return (FeatureMatching.name, *([AttentionTransfer.name] if maps else []))


def _setting(recipe: Recipe, store: Store, progress: Progress) -> Setting:
    progress("loading the task", 0, 1)
    data = recipe.task
    task = load_task(data.source, overlap=data.overlap, transfer=data.transfer, **data.options)
    progress("loading the task", 1, 1)
    return Setting(task, store, recipe.seed, recipe.threads, progress)


def _teachers(recipe: Recipe) -> tuple[ModelRecipe, ...]:
    return recipe.teacher or (recipe.reference,)


def _nets(recipe: Recipe) -> Iterator[tuple[str, ModelRecipe]]:
    """Every teacher that is a net, an ensemble's members one by one, with the prefix of its layers' paths."""
    for teacher in _teachers(recipe):
        inside = [(f"members.{number}.", member) for number, member in enumerate(teacher.members)]
        yield from ((prefix, one) for prefix, one in inside or [("", teacher)] if not one.is_file)


def _inside(prefix: str, pair: LayerPair) -> LayerPair:
    path = f"{prefix}{pair.teacher}"
    return LayerPair(pair.student, path, pair.student_shape, pair.teacher_shape, pair.adaptive)


def _written(setting: Setting, chain: Chain) -> Distilled:
    recipe = chain.recipe
    digest = content_hash([recipe.model_dump(mode="json"), setting.task.content_hash])[:ID_DIGITS]
    folder = setting.store.run_folder(f"{recipe.name}-distilled", digest)
    comparison = compare_with_teacher(chain)
    result = DistillationResult(
        name=recipe.name,
        split=SplitName.VALIDATION.value,
        files=tuple(_file(one, chain.alone) for one in chain.all),
        sentence=comparison.sentence if comparison else "",
        probe=chain.probe,
        notes=chain.notes,
        recipe=recipe,
    )
    for one, file in zip(chain.all, result.files, strict=True):
        place_file(one.artifact.path, folder / file.path)
        write_card(one.artifact, folder / file.path)
    write_text(folder / "comparison.json", result.model_dump_json(indent=2) + "\n")
    return Distilled(result, folder)


def _file(one: Finished, alone: Finished | None) -> DistilledFile:
    return DistilledFile(
        id=one.id,
        title=one.title,
        path=f"files/{one.id}{one.artifact.path.suffix}",
        sha256=one.artifact.sha256,
        size_bytes=one.artifact.size_bytes,
        parameters=one.artifact.parameters,
        metrics=metrics(one.validation),
        gain=_gain(one.validation, alone.validation) if alone is not None and one is not alone else None,
    )


def _gain(one: Predictions, alone: Predictions) -> Metric:
    found = ENDPOINTS["auc"].paired(one, alone, ALPHA).estimate
    return Metric(value=found.value, low=found.low, high=found.high, n=found.n)
