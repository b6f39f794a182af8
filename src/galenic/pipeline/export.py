"""``galenic export``: the last model of a recipe as a file for each runtime, with its card and its parity on validation.

What is trained on the way are the stages that ``galenic compress`` of the same recipe needs; the test set is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from galenic.exporters.exporter import Exporter
from galenic.exporters.load import exporter_for
from galenic.pipeline.card import write_card
from galenic.pipeline.file_stages import export_stage, parity_of
from galenic.pipeline.plan import Plan, check_plan_against, make_plan
from galenic.pipeline.recipes import load_recipe
from galenic.pipeline.run_folder import place_file
from galenic.pipeline.setting import Setting
from galenic.pipeline.walk import LastModel, last_model
from galenic.pipeline.web import WebWish, check_wish, write_web
from galenic.record.base import content_hash
from galenic.record.errors import ModelError
from galenic.record.export import ExportedFile, ExportResult
from galenic.record.progress import Progress, silent
from galenic.record.recipe import Recipe
from galenic.record.report import Report
from galenic.record.task import SplitName
from galenic.record.web import WebBuild
from galenic.reporting.json_report import read_report
from galenic.runtimes.load import require_runtime
from galenic.store.files import write_text
from galenic.store.stages import Store
from galenic.tasks.load import load_task

ID_DIGITS = 10


@dataclass(frozen=True)
class Exportable:
    """A recipe, and the report that it was taken from, None where it came from a TOML file."""

    recipe: Recipe
    report: Report | None = None


@dataclass(frozen=True)
class Exported:
    """What was written: the result, and the folder that holds the files, ``export.json`` included."""

    result: ExportResult
    folder: Path


def load_exportable(path: Path) -> Exportable:
    """A recipe in TOML, or a report.json with the recipe in it.

    Raises:
        InputError, RecipeError: as ``load_recipe``.
    """
    return Exportable(load_recipe(path), read_report(path) if path.suffix == ".json" else None)


def export(
    given: Exportable,
    store: Store,
    runtimes: Sequence[str] = (),
    output: Path | None = None,
    wish: WebWish | None = None,
    progress: Progress = silent,
) -> Exported:
    """Make the recipe's last model and write its files, and its page where one is wished for.

    Args:
        given: the recipe.
        store: where stages lie.
        runtimes: one file for each; where none is named, the recipe's own runtime, or none where a page is wished for.
        output: the folder; a run's folder in the store where None.
        wish: the page.
        progress: told how far it is.

    Raises:
        RecipeError: a runtime that is not known, or a recipe that cannot be run.
        ModelError: the model cannot be a file of one of the runtimes.
        MissingPackage: a runtime, its converter, or what a page needs is not installed.
        InputError: the page's folder holds something else.
    """
    recipe = given.recipe
    named = tuple(dict.fromkeys(runtimes)) or (() if wish else (recipe.runtime,))
    for name in named:
        require_runtime(name)
        exporter_for(name).require()
    plan = make_plan(recipe)
    for name in named:
        _check_exporter(exporter_for(name), plan)
    if wish is not None:
        check_wish(wish)
    progress("loading the task", 0, 1)
    data = recipe.task
    task = load_task(data.source, overlap=data.overlap, transfer=data.transfer, **data.options)
    progress("loading the task", 1, 1)
    if wish is not None:
        task.preprocessing.of_pictures()
    check_plan_against(task, plan)
    setting = Setting(task, store, recipe.seed, recipe.threads, progress)
    made = last_model(setting, plan)
    folder = output or _folder(setting, made, named)
    files = tuple(_write_file(setting, made, name, folder) for name in named)
    page = write_web(setting, made, replace(wish, report=given.report)) if wish is not None else None
    result = _result(made, files, page)
    if files:
        write_text(folder / "export.json", result.model_dump_json(indent=2) + "\n")
    return Exported(result, folder)


def _check_exporter(exporter: Exporter, plan: Plan) -> None:
    """ModelError where a runtime cannot hold what the recipe makes, before any work."""
    for rule in (method.rule for phase in plan.phases for method in phase.methods if method.rule is not None):
        exporter.check_rule(rule)
    if exporter.float_runtime and not any(phase.quantizes for phase in plan.phases):
        raise ModelError(
            given=f"the recipe {plan.recipe.name}, in which nothing quantizes, for {exporter.runtime}",
            expected=f"a net on integers: {exporter.runtime} has no floats",
            todo=f"add a [[phase]] with static_int8, or choose {exporter.float_runtime}",
        )


def _write_file(setting: Setting, made: LastModel, runtime: str, folder: Path) -> ExportedFile:
    setting.progress(f"exporting for {runtime}", 0, 1)
    artifact = export_stage(setting, made.model, runtime)
    parity = parity_of(setting, made.model, artifact)
    path = folder / "files" / f"{made.recipe.name}-{runtime}{artifact.path.suffix}"
    place_file(artifact.path, path)
    write_card(artifact, path)
    setting.progress(f"exporting for {runtime}", 1, 1)
    return ExportedFile(
        path=path.relative_to(folder).as_posix(),
        runtime=runtime,
        precision=artifact.precision,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        integer_ops=artifact.integer_ops,
        parity=parity,
        caveat=require_runtime(runtime).caveat,
    )


def _result(made: LastModel, files: tuple[ExportedFile, ...], page: WebBuild | None) -> ExportResult:
    return ExportResult(
        name=made.recipe.name,
        title=" + ".join(made.model.lineage) or made.model.spec.architecture,
        split=SplitName.VALIDATION.value,
        files=files,
        page=page,
        notes=made.model.quant.notes if made.model.quant else (),
        recipe=made.recipe,
    )


def _folder(setting: Setting, made: LastModel, runtimes: Sequence[str]) -> Path:
    """Where the export of this recipe leaves what is for people."""
    parts = [made.recipe.model_dump(mode="json"), setting.task.content_hash, list(runtimes)]
    digest = content_hash(parts)[:ID_DIGITS]
    return setting.store.run_folder(f"{made.recipe.name}-exported", digest)
