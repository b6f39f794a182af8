"""The page's npm packages: pinned by hashes, fetched when asked, kept whole or not at all, and rewritten as they are known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from galenic.publish.web import packages as npm
from galenic.publish.web.packages import content_of, fetch_packages, notice, package_folder, require_packages, versions
from galenic.publish.web.runtimes import LITERT, ONNXRUNTIME, WEB_RUNTIMES, web_runtime
from galenic.record.errors import InputError, MissingPackage

LOCK = Path(npm.__file__).parent / "npm"
FAKE_NPM = """#!/bin/sh
test -f package-lock.json || exit 9
echo "$@" > {log}
{work}
"""


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, work: str) -> Path:
    """An npm that does ``work`` in the shell; returns the file with its arguments."""
    program, log = folder / "bin" / "npm", folder / "arguments"
    program.parent.mkdir()
    program.write_text(FAKE_NPM.format(log=log, work=work))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def test_the_lock_file_pins_every_package_by_hash_and_names_no_registry() -> None:
    wanted = json.loads((LOCK / "package.json").read_text())["dependencies"]
    lock = json.loads((LOCK / "package-lock.json").read_text())["packages"]
    assert {file.package for runtime in WEB_RUNTIMES for file in runtime.files} == set(wanted)
    for name, version in wanted.items():
        assert lock[f"node_modules/{name}"]["version"] == version
    for name, entry in lock.items():
        assert "resolved" not in entry
        assert not name or entry["integrity"].startswith("sha512-")
    assert "http" not in (LOCK / "package-lock.json").read_text()


def test_without_the_packages_the_one_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPackage, match="galenic export --web-setup"):
        require_packages(tmp_path)


def test_the_files_that_are_needed_are_kept_and_fetched_once(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packages / "@litertjs" / "core" / "more.js").write_text("not needed")
    log = fake_npm(tmp_path, monkeypatch, f"cp -r {packages} node_modules")
    cache, told = tmp_path / "cache", []
    folder = fetch_packages(cache, lambda *given: told.append(given[1:]))
    assert folder == package_folder(cache) == require_packages(cache)
    assert {"ci", "--ignore-scripts"} <= set(log.read_text().split())
    assert (folder / "@litertjs" / "core" / "dist" / "index.js").is_file()
    assert not (folder / "@litertjs" / "core" / "more.js").exists()
    assert told == [(0, 1), (1, 1)]
    log.unlink()
    assert fetch_packages(cache) == folder
    assert not log.exists(), "npm was not run again"
    assert sorted(path.name for path in cache.iterdir()) == [folder.name, f"{folder.name}.lock"]


@pytest.mark.parametrize(
    ("work", "words"),
    [("echo 'npm error code EINTEGRITY' >&2; exit 1", "npm error code EINTEGRITY"), ("exit 7", "exit code 7")],
)
def test_what_npm_says_is_told_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, words: str
) -> None:
    fake_npm(tmp_path, monkeypatch, work)
    with pytest.raises(InputError, match=words):
        fetch_packages(tmp_path / "cache")
    with pytest.raises(MissingPackage):
        require_packages(tmp_path / "cache")


def test_npm_itself_can_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackage, match="npm is not installed"):
        fetch_packages(tmp_path / "cache")


def test_names_of_modules_become_paths_beside_the_file(packages: Path) -> None:
    interop = next(file for file in LITERT.files if file.target == "runtime/tfjs-interop.js")
    assert content_of(packages, interop) == b'import "./litert.js";\nimport "../js/tfjs-core.js";\n'
    assert versions(packages, ONNXRUNTIME) == {"onnxruntime-web": "1.2.3"}
    text = notice(packages, LITERT)
    assert "@litertjs/core 1.2.3, MIT, git+x" in text
    assert "Changed: runtime/litert.js" in text


def test_a_package_that_is_not_as_it_is_known_is_refused(packages: Path) -> None:
    core = LITERT.files[0]
    (packages / core.package / core.source).write_text("import nothing;")
    with pytest.raises(MissingPackage, match="does not import"):
        content_of(packages, core)
    (packages / core.package / core.source).unlink()
    with pytest.raises(MissingPackage, match="galenic export --web-setup"):
        content_of(packages, core)


def test_a_page_has_the_runtimes_of_browsers_alone() -> None:
    assert web_runtime("litert") is LITERT
    with pytest.raises(InputError, match="litert, onnxruntime"):
        web_runtime("openvino")
