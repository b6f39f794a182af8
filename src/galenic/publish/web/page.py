"""The page itself: one folder of static files that any web server can hand out, written whole or not at all.

    index.html page.css icon.svg manifest.json sw.js    the page, and what keeps it for offline use
    model.json                                          record/web.py: PageModel
    model/FILE                                          the model, as its exporter wrote it
    js/                                                 ours: pictures to inputs, answers to bars; one script for the runtime
    runtime/                                            the runtime's, from npm
    build.json                                          record/web.py: WebBuild
The same model and packages give the same files but for build.json, whose ``build`` is a hash of all the others.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galenic.publish.web.packages import content_of, notice
from galenic.publish.web.runtimes import WEB_RUNTIMES, WebRuntime, web_runtime
from galenic.record.base import content_hash
from galenic.record.errors import InputError, MissingPackage
from galenic.record.web import PageModel
from galenic.store.files import storing

if TYPE_CHECKING:
    from jinja2 import Environment

BUILD_DIGITS = 16
PLAIN = ("page.css", "icon.svg")
MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
BUILD_FILE = "build.json"
ASSETS = Path(str(resources.files("galenic.publish.web") / "assets"))


@dataclass(frozen=True)
class Written:
    """What was written: ``build``, the hash of all files, and path -> sha256 of each."""

    build: str
    files: Mapping[str, str]


def fill_page(folder: Path, page: PageModel, model: Path, packages: Path) -> Written:
    """Write the files of a page into ``folder``, which exists.

    Args:
        folder: is filled; what lies there is overwritten.
        page: what the page says about its model.
        model: the model's file.
        packages: as ``packages.require_packages`` returned.

    Raises:
        MissingPackage: jinja2 is not installed, or the packages in the cache are damaged.
    """
    runtime = web_runtime(page.runtime)
    contents = {name: (ASSETS / name).read_bytes() for name in PLAIN}
    contents |= {f"js/{path.name}": path.read_bytes() for path in sorted(_scripts(runtime))}
    contents |= {file.target: content_of(packages, file) for file in runtime.files}
    contents["runtime/NOTICE.txt"] = notice(packages, runtime).encode()
    contents["LICENSE.txt"] = (metadata.distribution("galenic").read_text("licenses/LICENSE") or "").encode()
    contents[page.file] = model.read_bytes()
    contents["model.json"] = (page.model_dump_json(indent=1) + "\n").encode()
    contents["manifest.json"] = _manifest(page)
    contents["index.html"] = _rendered("index.html.j2", **_words(page, runtime)).encode()
    files = {name: sha256(data).hexdigest() for name, data in sorted(contents.items())}
    build = content_hash(files)[:BUILD_DIGITS]
    # The worker itself is fetched anew at every visit and so is no file that it keeps.
    contents["sw.js"] = _rendered("sw.js.j2", build=build, files=files, variants=runtime.variants).encode()
    for name, data in contents.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return Written(build, files | {"sw.js": sha256(contents["sw.js"]).hexdigest()})


def replace_folder(target: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write a folder beside ``target``, then put it in its place; a page that was there is replaced.

    Raises:
        InputError: something else than a page of ours lies at ``target``; it is left as it is.
        StoreError: the disk refuses.
    """
    refuse_others(target)
    with storing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            made = aside / "page"
            made.mkdir()
            fill(made)
            before = aside / "before"
            if target.exists():
                target.rename(before)
            try:
                made.rename(target)
            except OSError:
                if before.exists():
                    before.rename(target)
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def refuse_others(target: Path) -> None:
    """InputError unless ``target`` is free, empty, or a page that was written here before."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / BUILD_FILE).is_file() or not (target / "sw.js").is_file():
        raise InputError(
            given=f"{target}, which holds other files",
            expected="a new or empty folder, or a page that `galenic export --web` wrote there before",
            todo="choose another folder; nothing in it was changed",
        )


def _scripts(runtime: WebRuntime) -> list[Path]:
    others = {f"{one.name}.js" for one in WEB_RUNTIMES if one is not runtime}
    return [path for path in (ASSETS / "js").iterdir() if path.suffix == ".js" and path.name not in others]


def _words(page: PageModel, runtime: WebRuntime) -> dict[str, Any]:
    return {
        "page": page,
        "runtime_title": runtime.title,
        "megabytes": f"{page.size_bytes / 1e6:.2f}",
        "mark": MARKS[page.verdict.value] if page.verdict else "",
        "input_words": input_words(page),
    }


def input_words(page: PageModel) -> str:
    """What the model sees of a picture, in a sentence or two."""
    side, _, channels = page.preprocessing.raw_shape
    part = "the middle square of the picture" if page.picture.cropped else "the whole picture, squeezed to a square"
    kind = "colour" if channels == 3 else "grey"
    sentence = f"The model sees {part}, as {side} × {side} {kind} pixels ({page.picture.resample.value})."
    if page.preprocessing.picture is None:
        sentence += " How its own pictures were made smaller is not recorded; this is the usual way."
    return sentence


def _manifest(page: PageModel) -> bytes:
    values = {
        "name": f"{page.name} – galenic",
        "short_name": page.name[:12],
        "description": "for evaluation; not a medical device",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f6f6f3",
        "theme_color": "#0a5ea8",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}],
    }
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


def _rendered(template: str, **values: Any) -> str:
    text: str = _environment().get_template(template).render(**values)
    return text + "\n"


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingPackage(
            given="jinja2 is not installed",
            expected="it, to make a page",
            todo="install it with `pip install 'galenic[forge]'`",
        ) from error
    return Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
