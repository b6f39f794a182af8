"""``galenic export``: the last model of a recipe as a file for each runtime, with its card and its parity on validation.

What is trained on the way are the stages that ``galenic compress`` of the same recipe needs; the test set is never read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from galenic.exporters.exporter import Exporter
from galenic.exporters.load import exporter_for
from galenic.gating.profiles import check_runtime
from galenic.pipeline.card import write_card
from galenic.pipeline.file_stages import parity_of, timed_export
from galenic.pipeline.plan import Plan, check_plan_against, make_plan
from galenic.pipeline.recipes import load_recipe
from galenic.pipeline.run_folder import place_file
from galenic.pipeline.setting import Setting
from galenic.pipeline.walk import LastModel, last_model
from galenic.pipeline.web import WebWish, check_wish, write_web
from galenic.record.base import content_hash
from galenic.record.errors import ExitCode, InputError, ModelError
from galenic.record.export import ExportedFile, ExportResult, FailedExport
from galenic.record.progress import Progress, silent
from galenic.record.recipe import Recipe
from galenic.record.report import Report
from galenic.record.task import SplitName
from galenic.record.web import WebBuild
from galenic.reporting.json_report import read_report
from galenic.runtimes.load import runtime_named
from galenic.store.files import write_text
from galenic.store.stages import Store
from galenic.tasks.load import load_task

ID_DIGITS = 10
PAGE = "page"
"""What failed, where it is the page."""


@dataclass(frozen=True)
class Exportable:
    """A recipe, and the report that it was taken from, None where it came from a TOML file."""

    recipe: Recipe
    report: Report | None = None


@dataclass(frozen=True)
class Exported:
    """What was written: the result, the folder that holds the files and ``export.json``, and the command line's exit code."""

    result: ExportResult
    folder: Path

    @property
    def exit_code(self) -> ExitCode:
        """PASS where everything that was asked for was made."""
        return ExitCode.USAGE if self.result.failed else ExitCode.PASS


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

    A file or page that cannot be made stands in the result with its reason, and the others are made. A file whose runtime is
    not on this machine by its nature (TensorRT without a card) is written, and says that it was not run.

    Args:
        given: the recipe.
        store: where stages lie.
        runtimes: one file for each; where none is named, the recipe's own runtime, or none where a page is wished for.
        output: the folder; a run's folder in the store where None.
        wish: the page.
        progress: told how far it is.

    Raises:
        RecipeError: a runtime that is not known or that the profile's device does not have, or a recipe that cannot be run.
        ModelError: a runtime cannot hold the recipe's quantization, as far as that is known before any work.
        MissingPackage: a runtime, its converter, or what a page needs is not installed.
        InputError: the page's folder holds something else.
    """
    recipe = given.recipe
    named = tuple(dict.fromkeys(runtimes)) or (() if wish else (recipe.runtime,))
    for name in named:
        _check_installed(name)
    plan = make_plan(recipe, ships=False)
    for name in named:
        if plan.profile is not None:
            check_runtime(plan.profile, name)
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
    files, failed, page = list[ExportedFile](), list[FailedExport](), None
    for name in named:
        with _noted(failed, name):
            files.append(_write_file(setting, made, name, folder))
    if wish is not None:
        with _noted(failed, PAGE):
            page = write_web(setting, made, replace(wish, report=given.report))
    result = _result(made, files, failed, page)
    if named or failed:
        write_text(folder / "export.json", result.model_dump_json(indent=2) + "\n")
    return Exported(result, folder)


@contextmanager
def _noted(failed: list[FailedExport], what: str) -> Iterator[None]:
    """What cannot be made is noted with its reason, and the rest goes on."""
    try:
        yield
    except InputError as error:
        failed.append(FailedExport(what=what, given=error.given, expected=error.expected, todo=error.todo))


def _check_installed(runtime: str) -> None:
    """MissingPackage where its files cannot be written, or could be run on this machine and what runs them is not installed."""
    if not _absence(runtime):
        runtime_named(runtime).require()
    exporter_for(runtime).require()


def _absence(runtime: str) -> str:
    """Why this machine cannot run the runtime's files, whatever is installed; empty where it can."""
    found = runtime_named(runtime)
    return found.absence() if found.absence is not None else ""


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
    exported, absence = timed_export(setting, made.model, runtime), _absence(runtime)
    artifact = exported.artifact
    parity = parity_of(setting, made.model, artifact) if not absence else None
    path = folder / "files" / f"{made.recipe.name}-{runtime}{exporter_for(artifact.runtime).suffix}"
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
        caveat=absence or runtime_named(runtime).caveat,
        seconds=exported.seconds,
    )


def _result(
    made: LastModel, files: Sequence[ExportedFile], failed: Sequence[FailedExport], page: WebBuild | None
) -> ExportResult:
    return ExportResult(
        name=made.recipe.name,
        title=" + ".join(made.model.lineage) or made.model.spec.architecture,
        split=SplitName.VALIDATION.value,
        files=tuple(files),
        failed=tuple(failed),
        page=page,
        notes=made.model.quant.notes if made.model.quant else (),
        recipe=made.recipe,
    )


def _folder(setting: Setting, made: LastModel, runtimes: Sequence[str]) -> Path:
    """Where the export of this recipe leaves what is for people."""
    parts = [made.recipe.model_dump(mode="json"), setting.task.content_hash, list(runtimes)]
    digest = content_hash(parts)[:ID_DIGITS]
    return setting.store.run_folder(f"{made.recipe.name}-exported", digest)
