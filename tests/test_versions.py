"""A method's version is raised when its code changes: the hash of each versioned module is recorded beside its version.

After a change that alters results, raise the module's version; then (or after one that does not) write the table anew with
    GALENIC_RECORD_VERSIONS=1 python -m pytest tests/test_versions.py
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import os
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

from galenic import exporters
from galenic.compress import shared
from galenic.compress.methods import METHODS
from galenic.exporters.load import EXPORTERS
from galenic.training import augment, loop

TABLE = Path(__file__).parent / "versions.json"


def versioned() -> dict[str, tuple[ModuleType, int | list[int]]]:
    found: dict[str, tuple[ModuleType, int | list[int]]]
    found = {m.__module__: (importlib.import_module(m.__module__), m.version) for m in METHODS}
    found |= {module.__name__: (module, module.VERSION) for module in (augment, loop)}
    found |= {name: (importlib.import_module(name), shared.VERSION) for name in shared.MODULES}
    found |= {name: (importlib.import_module(name), shared.QUANTIZING_VERSION) for name in shared.QUANTIZING_MODULES}
    found |= {e.lower.__module__: (importlib.import_module(e.lower.__module__), e.version) for e in EXPORTERS}
    for part in (f"galenic.exporters.{info.name}" for info in pkgutil.iter_modules(exporters.__path__)):
        # what exporters share, whose versions are theirs
        found.setdefault(part, (importlib.import_module(part), [exporter.version for exporter in EXPORTERS]))
    return found


def code_hash(module: ModuleType) -> str:
    """Of the code alone: comments, layout and docstrings do not count."""
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def test_every_versioned_module_is_as_it_was_recorded() -> None:
    now = {name: [version, code_hash(module)] for name, (module, version) in sorted(versioned().items())}
    if os.environ.get("GALENIC_RECORD_VERSIONS"):
        TABLE.write_text(json.dumps(now, indent=1) + "\n")
    recorded = json.loads(TABLE.read_text())
    changed = [name for name in now if recorded.get(name) != now[name]]
    assert not changed, f"{changed} changed: raise the version if results change, then record the table anew"
    assert recorded.keys() == now.keys()


@pytest.mark.parametrize("change", ["'''words'''", "# words"])
def test_words_do_not_count(change: str) -> None:
    plain, other = ModuleType("plain"), ModuleType("other")
    sources = {plain: "def f():\n    '''old'''\n    return 1\n", other: f"def f():\n    {change}\n    return 1\n"}
    if change.startswith("#"):
        sources[plain] = "def f():\n    return 1\n"
    original = inspect.getsource
    try:
        inspect.getsource = lambda module: sources[module]  # type: ignore[assignment, index]
        assert code_hash(plain) == code_hash(other)
    finally:
        inspect.getsource = original
