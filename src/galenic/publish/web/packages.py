"""The npm packages of the page, fetched by a lock file with the hash of every package, and only when the user asks.

    CACHE/LOCK/PACKAGE/...     the files that the page needs, and package.json, of each package; LOCK is the hash of the lock file

The registry is whichever npm is set to; the lock file names none. No script of a package is run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from galenic.publish.web.runtimes import WEB_RUNTIMES, NpmFile, WebRuntime
from galenic.record.errors import InputError, MissingPackage
from galenic.record.progress import Progress, silent
from galenic.store.files import locked, storing

LOCK_FILES = ("package.json", "package-lock.json")
SETUP = "galenic export --web-setup"
MOST_SECONDS = 900
DIGITS = 12
# The interop's peer, TensorFlow.js itself, is brought by the page that embeds ours.
NPM = ("ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel=error")


def package_folder(cache: Path) -> Path:
    """Where the packages of this version's lock file lie in ``cache``, or will."""
    digest = hashlib.sha256(b"".join(_lock_file(name) for name in LOCK_FILES)).hexdigest()
    return cache / digest[:DIGITS]


def require_packages(cache: Path) -> Path:
    """The folder of the packages; MissingPackage with the one command that fetches them where they are not there."""
    folder = package_folder(cache)
    if not folder.is_dir():
        raise MissingPackage(
            given=f"the page's runtimes are not in {cache}",
            expected=f"{' and '.join(f'{one.title} ({one.package})' for one in WEB_RUNTIMES)}, of the pinned versions",
            todo=f"run once, with network: {SETUP}",
        )
    return folder


def fetch_packages(cache: Path, progress: Progress = silent) -> Path:
    """Fetch the packages with ``npm ci`` where they are not in ``cache`` yet; this uses the network.

    Raises:
        MissingPackage: npm is not installed.
        InputError: npm failed; what it said is in the error.
        StoreError: the cache cannot be written.
    """
    folder, work = package_folder(cache), "fetching the page's runtimes"
    npm = shutil.which("npm")
    if npm is None:
        raise MissingPackage("npm is not installed", "npm, which comes with Node.js", "install Node.js, then run again")
    with storing(folder), locked(cache / f"{folder.name}.lock"):
        progress(work, 0, 1)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=f".{folder.name}.") as aside:
                _install(npm, Path(aside))
                kept = Path(aside) / "kept"
                for file in _needed():
                    source = Path(aside) / "node_modules" / file.package / file.source
                    place = kept / file.package / file.source
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, place)
                kept.rename(folder)
        progress(work, 1, 1)
    return folder


def versions(folder: Path, runtime: WebRuntime) -> dict[str, str]:
    """Package -> version, of those that a runtime of the page needs."""
    return {name: _about(folder, name)["version"] for name in dict.fromkeys(file.package for file in runtime.files)}


def notice(folder: Path, runtime: WebRuntime) -> str:
    """What of others is in the page, under which licence, and what was changed."""
    lines = ["Files in this folder come from npm packages:", ""]
    for name in versions(folder, runtime):
        about = _about(folder, name)
        home = about.get("repository", {})
        where = home.get("url", "") if isinstance(home, dict) else home
        lines.append(f"{name} {about['version']}, {about.get('license', 'licence not named')}, {where}".rstrip(", "))
    changed = [f"{file.target} (names of imported modules)" for file in runtime.files if file.renamed]
    lines += ["", f"Changed: {'; '.join(changed) or 'nothing but names of files'}.", ""]
    return "\n".join(lines)


def content_of(folder: Path, file: NpmFile) -> bytes:
    """The bytes of a package's file with the names of imported modules rewritten.

    Raises:
        MissingPackage: the file is not in the cache, or is not what this version of galenic knows.
    """
    try:
        data = (folder / file.package / file.source).read_bytes()
    except OSError as error:
        raise _damaged(folder, file, error.strerror or "it cannot be read") from error
    for before, after in file.renamed.items():
        if data.count(before.encode()) != 1:
            raise _damaged(folder, file, f"it does not import {before} once")
        data = data.replace(before.encode(), after.encode())
    return data


def _install(npm: str, folder: Path) -> None:
    for name in LOCK_FILES:
        (folder / name).write_bytes(_lock_file(name))
    try:
        done = subprocess.run(
            [npm, *NPM], cwd=folder, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(f"it was not done within {MOST_SECONDS} s") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if "npm error" in line]
        raise _failed(" ".join(said)[:400] or f"exit code {done.returncode}")


def _failed(why: str) -> InputError:
    return InputError(
        given=f"npm could not fetch the page's runtimes ({why})",
        expected="a registry that has the packages of the lock file, with the hashes that stand there",
        todo="check the network and npm's settings, then run again; nothing was kept",
    )


def _damaged(folder: Path, file: NpmFile, why: str) -> MissingPackage:
    return MissingPackage(
        given=f"{folder / file.package / file.source}: {why}",
        expected="the files that npm fetched by the lock file",
        todo=f"delete {folder} and run: {SETUP}",
    )


def _needed() -> list[NpmFile]:
    files = [file for runtime in WEB_RUNTIMES for file in runtime.files]
    packages = dict.fromkeys(file.package for file in files)
    return [*files, *(NpmFile(package, "package.json", "") for package in packages)]


def _about(folder: Path, package: str) -> dict:
    found: dict = json.loads((folder / package / "package.json").read_text(encoding="utf-8"))
    return found


def _lock_file(name: str) -> bytes:
    return (resources.files("galenic.publish.web") / "npm" / name).read_bytes()
