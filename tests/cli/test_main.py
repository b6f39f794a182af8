"""The command line: lists, exit codes, and every error on one screen without a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from galenic.cli import doctor, lists
from galenic.cli import main as cli
from galenic.compress.methods import METHODS
from galenic.gating.profiles import all_profiles
from galenic.runtimes import runtime as runtime_module
from galenic.runtimes.load import RUNTIMES
from galenic.tasks.load import SOURCES
from galenic.zoo.build import available_models

ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def galenic(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "galenic.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | environment, check=False)


def test_help_names_every_verb() -> None:
    shown = CliRunner().invoke(cli.app, ["--help"]).output
    for verb in (
        "compress",
        "distill",
        "quantize",
        "export",
        "predict",
        "bench",
        "demo",
        "report",
        "doctor",
        *lists.COMMANDS,
    ):
        assert verb in shown


@pytest.mark.parametrize(
    ("verb", "names"),
    [
        ("tasks", [source.prefix for source in SOURCES]),
        ("models", [model.name for model in available_models()]),
        ("methods", [method.name for method in METHODS]),
        ("profiles", [profile.name for profile in all_profiles()]),
        ("runtimes", [runtime.name for runtime in RUNTIMES]),
    ],
)
def test_a_list_shows_everything_there_is(verb: str, names: list[str]) -> None:
    shown = galenic(verb)
    assert shown.returncode == 0, shown.stderr
    for name in names:
        assert name in shown.stdout


def test_a_sources_options_are_listed_and_a_misspelt_source_is_refused() -> None:
    shown = galenic("tasks", "npz")
    assert shown.returncode == 0, shown.stderr
    for option in ("positive", "cluster_key", "groups_csv"):
        assert option in shown.stdout
    assert "lesions" in galenic("tasks", "lesion").stderr


def test_the_demos_recipe_can_be_printed_and_is_a_recipe() -> None:
    shown = galenic("demo", "--print-recipe")
    assert shown.returncode == 0
    assert 'source = "lesions"' in shown.stdout


def test_doctor_finds_this_environment_healthy(tmp_path: Path) -> None:
    shown = galenic("doctor", "--store", tmp_path / "not" / "yet")
    assert shown.returncode == 0, shown.stdout
    assert "onnxruntime" in shown.stdout
    assert "missing" not in shown.stdout


def test_the_command_that_installs_something_is_shown_whole(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime_module, "find_spec", lambda name: None)
    lists.runtimes()
    assert "galenic[onnxruntime]" in capsys.readouterr().out
    with pytest.raises(typer.Exit) as caught:  # without any runtime nothing can be run
        doctor.command(tmp_path)
    assert caught.value.exit_code == 2
    assert "missing   runtime onnxruntime" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "NEEDED", {"galenic[forge]": ("a-package-that-is-not-there",)})
    with pytest.raises(typer.Exit) as caught:
        doctor.command(tmp_path)
    assert caught.value.exit_code == 2
    assert "pip install 'galenic[forge]'" in capsys.readouterr().out


def test_doctor_names_a_runtime_that_is_not_here_and_needs_only_one(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime_module, "find_spec", lambda name: name if name == "onnxruntime" else None)
    doctor.command(tmp_path)
    shown = capsys.readouterr().out
    assert "missing" not in shown
    absent = [runtime.name for runtime in RUNTIMES if not runtime.available]
    assert {"openvino", "litert", "executorch"} <= set(absent)
    for name in absent:
        assert f"optional  runtime {name}" in shown


BAD_RECIPES = {
    "a misspelt key": ('name = "r"\n[tsk]\nsource = "digits"\n', "did you mean 'task'"),
    "not TOML": ("name = \n", "not valid TOML"),
    "an impossible order": (
        'name = "r"\n[task]\nsource = "digits"\n[reference]\nmodel = "resnet8"\n[reference.training]\n'
        '[[phase]]\nmethod = "static_int8"\n[[phase]]\nmethod = "supervised"\n[phase.training]\n[gate.margins]\nauc = 0.1\n',
        "in front of static_int8",
    ),
    "a data file that is not there": (
        'name = "r"\n[task]\nsource = "npz:none.npz"\n[reference]\nmodel = "resnet8"\n[reference.training]\n'
        '[[phase]]\nmethod = "static_int8"\n[gate.margins]\nauc = 0.1\n',
        "none.npz",
    ),
}


@pytest.mark.parametrize("name", BAD_RECIPES)
def test_bad_input_is_one_screen_with_exit_code_2_and_no_traceback(name: str, tmp_path: Path) -> None:
    text, words = BAD_RECIPES[name]
    path = tmp_path / "r.toml"
    path.write_text(text)
    shown = galenic("compress", path, "--store", tmp_path / "store")
    assert shown.returncode == 2
    assert words in shown.stderr
    for part in ("given", "expected", "do next"):
        assert part in shown.stderr
    assert "Traceback" not in shown.stderr
    assert len(shown.stderr.splitlines()) < 24
    assert not (tmp_path / "store").exists()


def test_bad_usage_is_exit_code_2() -> None:
    assert galenic("compres").returncode == 2
    assert galenic("compress").returncode == 2


def test_a_report_that_is_not_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"format_version": 999}))
    shown = galenic("report", path)
    assert shown.returncode == 2
    assert "999" in shown.stderr


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # neither found nor imported
from galenic.cli.main import main
main()
"""


def test_without_the_packages_that_compress_the_command_that_installs_them_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, "demo", "--store", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert shown.returncode == 2
    assert "pip install 'galenic[forge]'" in shown.stderr
    assert "Traceback" not in shown.stderr
    for verb in ("--help", "tasks", "profiles", "runtimes"):
        listed = subprocess.run([*command[:3], verb], capture_output=True, text=True, env=ENVIRONMENT, check=False)
        assert listed.returncode == 0, listed.stderr


def test_a_fault_of_ours_is_exit_code_5_with_what_to_do(monkeypatch, capsys) -> None:
    monkeypatch.delenv("GALENIC_DEBUG", raising=False)

    def broken() -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 5
    shown = capsys.readouterr().err
    assert "a fault of ours" in shown
    assert "GALENIC_DEBUG=1" in shown
