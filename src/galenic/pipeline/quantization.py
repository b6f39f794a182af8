"""``galenic quantize``: a recipe up to its quantization, the file beside its own float file. The test set is never read.

What is made here are the stages that ``galenic compress`` of the same recipe needs: it finds them in the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galenic.gating.endpoints import ENDPOINTS
from galenic.gating.metrics import metrics
from galenic.pipeline.advice import comparison_sentences
from galenic.pipeline.card import write_card
from galenic.pipeline.chain import measured_phase, teachers_of, written_back
from galenic.pipeline.costs import LatencyCost
from galenic.pipeline.file_stages import duel_stage, export_stage, measure_stage, parity_of, predict_stage
from galenic.pipeline.plan import Phase, Plan, check_plan_against, make_plan
from galenic.pipeline.reference import build_model, prepare_reference, prepare_teachers
from galenic.pipeline.rehearsal import rehearse
from galenic.pipeline.run_folder import place_file
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.record.artifact import Artifact
from galenic.record.base import content_hash
from galenic.record.errors import RecipeError
from galenic.record.predictions import Predictions
from galenic.record.progress import Progress, silent
from galenic.record.quantization import QuantizationResult, QuantizedFile
from galenic.record.recipe import Recipe
from galenic.record.report import Metric
from galenic.record.task import SplitName
from galenic.stats.estimate import ALPHA
from galenic.store.files import write_text
from galenic.store.stages import Store
from galenic.tasks.load import load_task
from galenic.zoo.model import Model

ID_DIGITS = 10


@dataclass(frozen=True)
class Walked:
    """A recipe up to its quantization: the phase, resolved, the float model that it begins with, and what it made.

    ``recipe`` has every measured choice of its phases; ``number`` is the phase's, counted from 1.
    """

    setting: Setting
    recipe: Recipe
    number: int
    phase: Phase
    before: Model
    made: Model


@dataclass(frozen=True)
class Quantized:
    """What a quantization came to, and the folder that holds its files and ``comparison.json``."""

    result: QuantizationResult
    folder: Path


def quantize(recipe: Recipe, store: Store, progress: Progress = silent) -> Quantized:
    """Run the recipe up to its phase that quantizes, export, and compare with the float file on validation.

    Raises:
        RecipeError: no phase quantizes.
    """
    walked = walk(recipe, store, progress)
    files, artifacts = both_files(walked)
    result = QuantizationResult(
        name=recipe.name,
        runtime=recipe.runtime,
        split=SplitName.VALIDATION.value,
        files=files,
        sentences=comparison_sentences(*files),
        notes=walked.made.quant.notes if walked.made.quant else (),
        recipe=walked.recipe,
    )
    folder = folder_of(walked)
    for file, artifact in zip(files, artifacts, strict=True):
        place_file(artifact.path, folder / file.path)
        write_card(artifact, folder / file.path)
    write_text(folder / "comparison.json", result.model_dump_json(indent=2) + "\n")
    return Quantized(result, folder)


def up_to_quantization(plan: Plan) -> Plan:
    """The plan without the phases behind the one that quantizes; RecipeError where none does."""
    found = next((number for number, phase in enumerate(plan.phases, 1) if phase.quantizes), None)
    if found is None:
        names = ", ".join(phase.name for phase in plan.phases) or "no phase"
        raise RecipeError(
            given=f"the recipe {plan.recipe.name}, in which nothing quantizes ({names})",
            expected="a [[phase]] with a method that makes integers, such as static_int8",
            todo="add one (`galenic methods` lists them), or run `galenic compress`",
        )
    recipe = plan.recipe.model_copy(update={"phase": plan.recipe.phase[:found]})
    return Plan(recipe, plan.phases[:found], plan.profile)


def walk(recipe: Recipe, store: Store, progress: Progress = silent) -> Walked:
    """Prepare what the phases need and run them up to the one that quantizes; what is in the store is read from there."""
    plan = up_to_quantization(make_plan(recipe))
    progress("loading the task", 0, 1)
    data = recipe.task
    task = load_task(data.source, overlap=data.overlap, transfer=data.transfer, **data.options)
    progress("loading the task", 1, 1)
    setting = Setting(task, store, recipe.seed, recipe.threads, progress)
    check_plan_against(task, plan)
    rehearse(setting, plan)
    distils = any(method.needs_teacher for phase in plan.phases for method in phase.methods)
    named = prepare_teachers(setting, recipe) if distils else ()
    needed = recipe.student is None or (distils and not named)
    trusted = prepare_reference(setting, recipe.reference, recipe.runtime) if needed else None
    teachers = teachers_of(setting, plan, named or ([trusted] if trusted else []))
    start = build_model(setting, recipe.student)[0] if recipe.student else trusted.model if trusted else None
    assert start is not None  # the plan has refused a file without a student
    before = made = start
    cost = LatencyCost(setting, recipe.runtime, recipe.measure)
    phases, resolved = list[Phase](), []
    for planned, own in zip(plan.phases, plan.recipe.phase, strict=True):
        before, phase = made, measured_phase(setting, planned, made)
        made = run_phase(setting, phase.methods, before, phase.training, teachers.taught_by, cost)[-1]
        phases.append(phase)
        resolved.append(written_back(own, planned, phase))
    known = recipe.model_copy(update={"phase": tuple(resolved)})
    return Walked(setting, known, len(phases), phases[-1], before, made)


def both_files(walked: Walked) -> tuple[tuple[QuantizedFile, QuantizedFile], tuple[Artifact, Artifact]]:
    """The float file and the quantized one, run on validation and measured on this host."""
    setting, recipe = walked.setting, walked.recipe
    found, artifacts, plain = list[QuantizedFile](), list[Artifact](), None  # plain: the float file's answers
    for name, model in (("float", walked.before), (f"{walked.number}-{walked.phase.name}", walked.made)):
        setting.progress(f"measuring {name}", 0, 1)
        artifact = export_stage(setting, model, recipe.runtime)
        answered = predict_stage(setting, artifact, SplitName.VALIDATION)
        one = QuantizedFile(
            id=name.replace(" + ", "-"),
            title=" + ".join(model.lineage) or model.spec.architecture,
            path=f"files/{name.replace(' + ', '-')}{artifact.path.suffix}",
            precision=artifact.precision,
            sha256=artifact.sha256,
            size_bytes=artifact.size_bytes,
            metrics=metrics(answered),
            latency_ms=measure_stage(setting, artifact, recipe.measure).latency,
            integer_ops=artifact.integer_ops,
            agreement=parity_of(setting, model, artifact) if plain is not None else None,
            speedup=duel_stage(setting, artifacts[0], artifact, recipe.measure) if plain is not None else None,
            change=_change(answered, plain) if plain is not None else None,
        )
        plain = plain or answered
        found.append(one)
        artifacts.append(artifact)
        setting.progress(f"measuring {name}", 1, 1)
    return (found[0], found[1]), (artifacts[0], artifacts[1])


def folder_of(walked: Walked) -> Path:
    """Where the quantization of this recipe leaves what is for people."""
    recipe, task = walked.recipe, walked.setting.task
    digest = content_hash([recipe.model_dump(mode="json"), task.content_hash])[:ID_DIGITS]
    return walked.setting.store.run_folder(f"{recipe.name}-quantized", digest)


def _change(answered: Predictions, plain: Predictions) -> Metric:
    found = ENDPOINTS["auc"].paired(answered, plain, ALPHA).estimate
    return Metric(value=found.value, low=found.low, high=found.high, n=found.n)
