"""The runtimes of the page: which files of which npm packages they need, and where these go.

Module names are rewritten to relative paths, so the page needs no import map, and whoever embeds it none either. ``.mjs`` becomes
``.js``: many static servers do not know the former's type, and a browser then refuses to run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from galenic.record.errors import InputError


@dataclass(frozen=True)
class NpmFile:
    """One file of an npm package: ``source`` inside of it goes to ``target`` in the page, ``renamed`` says which imports change."""

    package: str
    source: str
    target: str
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WebRuntime:
    """One runtime of the page.

    Attributes:
        name: as an Artifact calls the runtime whose files it loads; also of its script in ``assets/js``.
        title: for people.
        package: the npm package whose version counts.
        files: what it needs.
        variants: stems of files of which a browser needs one; an offline page keeps that one alone.
    """

    name: str
    title: str
    package: str
    files: tuple[NpmFile, ...]
    variants: tuple[str, ...]


_CORE, _UTILS, _INTEROP, _ORT = "@litertjs/core", "@litertjs/wasm-utils", "@litertjs/tfjs-interop", "onnxruntime-web"
_LITERT_VARIANTS = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")
_ORT_WASM = "ort-wasm-simd-threaded"

LITERT = WebRuntime(
    name="litert",
    title="LiteRT.js",
    package=_CORE,
    files=(
        NpmFile(_CORE, "dist/index.js", "runtime/litert.js", {f'"{_UTILS}"': '"./wasm-utils.js"'}),
        NpmFile(_UTILS, "dist/index.js", "runtime/wasm-utils.js"),
        NpmFile(
            _INTEROP,
            "dist/index.js",
            "runtime/tfjs-interop.js",
            {f'"{_CORE}"': '"./litert.js"', '"@tensorflow/tfjs-core"': '"../js/tfjs-core.js"'},
        ),
        *(
            NpmFile(_CORE, f"wasm/{stem}{suffix}", f"runtime/{stem}{suffix}")
            for stem in _LITERT_VARIANTS
            for suffix in (".js", ".wasm")
        ),
    ),
    variants=_LITERT_VARIANTS,
)
ONNXRUNTIME = WebRuntime(
    name="onnxruntime",
    title="ONNX Runtime Web",
    package=_ORT,
    files=(
        NpmFile(_ORT, "dist/ort.wasm.min.mjs", "runtime/ort.js"),
        NpmFile(_ORT, f"dist/{_ORT_WASM}.mjs", f"runtime/{_ORT_WASM}.js"),
        NpmFile(_ORT, f"dist/{_ORT_WASM}.wasm", f"runtime/{_ORT_WASM}.wasm"),
    ),
    variants=(_ORT_WASM,),
)
WEB_RUNTIMES: tuple[WebRuntime, ...] = (LITERT, ONNXRUNTIME)


def web_runtime(name: str) -> WebRuntime:
    """The runtime of the page by that name; InputError where a page cannot have it."""
    for one in WEB_RUNTIMES:
        if one.name == name:
            return one
    raise InputError(
        given=f"the runtime '{name}' for a page",
        expected=f"one of {', '.join(one.name for one in WEB_RUNTIMES)}, which browsers run",
        todo="choose one of them with --web-runtime, or auto for the faster one",
    )
