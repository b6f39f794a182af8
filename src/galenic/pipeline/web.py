"""The page of ``galenic export --web``: the model in both runtimes that browsers have, the faster one taken where they were timed.

Every file is first run in Chromium beside Python on validation rows: a page is not written with a runtime that answers otherwise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from galenic.exporters.load import exporter_for
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.setting import Setting
from galenic.pipeline.walk import LastModel
from galenic.pipeline.web_cache import web_cache
from galenic.preprocess.picture import picture_rows
from galenic.preprocess.transform import to_inputs
from galenic.publish.web.chromium import find_chromium, require_chromium
from galenic.publish.web.packages import require_packages, versions
from galenic.publish.web.page import BUILD_FILE, fill_page, refuse_others, replace_folder
from galenic.publish.web.runtimes import WEB_RUNTIMES, web_runtime
from galenic.publish.web.timing import Candidate, Pictures, Timed, refuse_other_pictures, time_candidates, why_wrong
from galenic.record.artifact import Artifact
from galenic.record.errors import InputError, ModelError
from galenic.record.preprocessing import Preprocessing
from galenic.record.report import Report
from galenic.record.web import PageModel, PageVerdict, WebBuild
from galenic.runtimes.answer import run_raw
from galenic.runtimes.load import open_session
from galenic.runtimes.place import machine_name

AUTO = "auto"
COMPARED_ROWS, BATCH_ROWS = 256, 16
"""Validation rows whose answers are compared, and how many Python answers at once."""
PICTURE_SIZES = ((90, 70), (70, 90), (1, 3), (300, 40))
"""Width and height of the pictures on which the page's own resizing is compared with Pillow's."""


@dataclass(frozen=True)
class WebWish:
    """A page that is wished for.

    Attributes:
        folder: where it goes.
        runtime: ``auto`` for the faster one as timed in Chromium here, or one by name.
        cache: where the npm packages lie.
        report: of the run whose recipe this is; its verdict is shown if it is about this very file.
    """

    folder: Path
    runtime: str = AUTO
    cache: Path = field(default_factory=web_cache)
    report: Report | None = None

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Those that the page may have."""
        return tuple(one.name for one in WEB_RUNTIMES) if self.runtime == AUTO else (self.runtime,)


def check_wish(wish: WebWish) -> None:
    """Refuse what can be refused before anything is trained.

    Raises:
        InputError: a runtime that browsers do not have, or a folder that holds something else.
        MissingPackage: the npm packages are not there, or Chromium is not and the runtime was left to it.
    """
    for name in wish.runtimes:
        web_runtime(name)
    if wish.runtime == AUTO:
        require_chromium()
    require_packages(wish.cache)
    refuse_others(wish.folder)


def write_web(setting: Setting, made: LastModel, wish: WebWish) -> WebBuild:
    """Write the page of a model.

    Raises:
        DataError: the task is not about 8-bit pictures.
        ModelError: no runtime of a browser can have the model, or none answers as Python does.
    """
    packages = require_packages(wish.cache)
    pages, left_out = _candidates(setting, made, wish, packages)
    timed = _timed(setting, list(pages.values()), packages)
    left_out |= _wrong(timed, pages)
    usable = [name for name in pages if name not in left_out]
    if not usable:
        told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise ModelError(
            given=f"{made.recipe.name}, which no runtime of a browser can have ({told})",
            expected=f"a model that one of {', '.join(wish.runtimes)} computes",
            todo="choose another quantization, or none, in the recipe",
        )
    taken, because = _choice(usable, timed, left_out, wish)
    candidate = pages[taken]
    build: list[WebBuild] = []

    def fill(folder: Path) -> None:
        written = fill_page(folder, candidate.page, candidate.file, packages)
        build.append(
            WebBuild(
                build=written.build,
                runtime=taken,
                because=because,
                timings=timed.timings if timed else (),
                left_out=left_out,
                picture_difference=timed.picture_difference if timed else None,
                packages=versions(packages, web_runtime(taken)),
                files=written.files,
            )
        )
        (folder / BUILD_FILE).write_text(build[0].model_dump_json(indent=1) + "\n", encoding="utf-8")

    setting.progress("writing the page", 0, 1)
    replace_folder(wish.folder, fill)
    setting.progress("writing the page", 1, 1)
    return build[0]


def drawn_pictures(spec: Preprocessing) -> Pictures:
    """A few PNG files, and the raw rows that Python makes of them."""
    random, files = np.random.default_rng(0), []
    for width, height in PICTURE_SIZES:
        data = BytesIO()
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(data, "PNG")
        files.append(data.getvalue())
    rows = np.concatenate([picture_rows(spec, file, "a drawn picture") for file in files])
    return Pictures(files, rows)


def _candidates(
    setting: Setting, made: LastModel, wish: WebWish, packages: Path
) -> tuple[dict[str, Candidate], dict[str, str]]:
    """The model in each runtime that can have it, and why the others cannot; an error where the only one wished for cannot."""
    rows = setting.task.validation.inputs[:COMPARED_ROWS]
    found, left_out = dict[str, Candidate](), dict[str, str]()
    for name in wish.runtimes:
        setting.progress(f"exporting for {name}", 0, 1)
        try:
            exporter_for(name).require()
            artifact = export_stage(setting, made.model, name)
            logits = run_raw(open_session(artifact, threads=setting.threads), rows, BATCH_ROWS)
        except InputError as error:
            if wish.runtime != AUTO:
                raise
            left_out[name] = error.given
        else:
            found[name] = Candidate(_page(setting, made, artifact, wish.report, packages), artifact.path, logits)
        setting.progress(f"exporting for {name}", 1, 1)
    return found, left_out


def _timed(setting: Setting, candidates: Sequence[Candidate], packages: Path) -> Timed | None:
    """What Chromium found, None where there is no Chromium or no candidate."""
    if not candidates or find_chromium() is None:
        return None
    pictures = drawn_pictures(setting.task.preprocessing)
    setting.progress("timing in Chromium", 0, 1)
    inputs = to_inputs(setting.task.preprocessing, setting.task.validation.inputs[:COMPARED_ROWS])
    with tempfile.TemporaryDirectory() as folder:
        timed = time_candidates(candidates, inputs, pictures, packages, Path(folder), machine_name())
    setting.progress("timing in Chromium", 1, 1)
    refuse_other_pictures(timed.picture_difference)
    return timed


def _wrong(timed: Timed | None, pages: Mapping[str, Candidate]) -> dict[str, str]:
    """The runtimes that did not run in the browser, or whose answers there are not those of Python, with the reason."""
    if timed is None:
        return {}
    reasons = {one.runtime: why_wrong(one, pages[one.runtime].page) for one in timed.timings}
    return dict(timed.failed) | {name: why for name, why in reasons.items() if why}


def _choice(usable: Sequence[str], timed: Timed | None, left_out: Mapping[str, str], wish: WebWish) -> tuple[str, str]:
    """The runtime of the page, and why in a sentence."""
    if wish.runtime != AUTO:
        checked = "was asked for" if timed else "was asked for; no Chromium was here to check or time it"
        return wish.runtime, f"{web_runtime(wish.runtime).title} {checked}"
    assert timed is not None  # check_wish has refused auto without Chromium
    fastest = min((one for one in timed.timings if one.runtime in usable), key=lambda one: one.p50_ms)
    title = web_runtime(fastest.runtime).title
    if left_out:
        return fastest.runtime, f"{title} alone can have it ({'; '.join(f'{n}: {why}' for n, why in left_out.items())})"
    times = ", ".join(f"{web_runtime(one.runtime).title} {one.p50_ms:.2f} ms" for one in timed.timings)
    return fastest.runtime, f"{title} was the faster of the two here: median {times}"


def _page(setting: Setting, made: LastModel, artifact: Artifact, report: Report | None, packages: Path) -> PageModel:
    task, runtime = setting.task, web_runtime(artifact.runtime)
    return PageModel(
        name=made.recipe.name,
        task=task.name,
        synthetic=task.synthetic,
        kind=task.kind.value,
        runtime=artifact.runtime,
        runtime_version=versions(packages, runtime)[runtime.package],
        file=f"model/model{artifact.path.suffix}",
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        precision=artifact.precision,
        lineage=artifact.lineage or (made.model.spec.architecture,),
        classes=artifact.classes,
        preprocessing=artifact.preprocessing,
        picture=artifact.preprocessing.of_pictures(),
        verdict=_verdict(report, artifact),
    )


def _verdict(report: Report | None, artifact: Artifact) -> PageVerdict | None:
    """The gate's verdict, if it is about this very file."""
    if report is None or report.gate.artifact_sha256 != artifact.sha256:
        return None
    return PageVerdict(value=report.gate.verdict.value, sentence=report.sentence)
