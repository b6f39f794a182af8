"""``galenic bench`` on the command line: a real quick run of a tiny file, what is written, exit codes, and profiles by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from galenic.cli.main import app
from galenic.measuring.bench import Floor
from galenic.measuring.memory import Memory
from galenic.pipeline import bench as module
from galenic.record.bench import BenchResult, ColdStart, Mode
from galenic.record.errors import InputError
from galenic.record.measurement import Place
from tiny_file import tiny_file

ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
HERE = Place(machine="here", runtime="onnxruntime", threads=1)
START = ColdStart(total=100, low=90, high=110, imports=50, load=20, first_answer=5, n=1, place=HERE)


def galenic(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "galenic.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLOORS", {mode: Floor(8, 0.0, 1, 0.001) for mode in Mode})
    monkeypatch.setattr(module, "measure_cold_start", lambda *_, **__: START)
    monkeypatch.setattr(module, "measure_memory", lambda *_, **__: Memory(peak_mb=60.0, baseline_mb=50.0, place=HERE))
    monkeypatch.setattr(module, "try_in_child", lambda *_, **__: None)


def test_a_quick_run_measures_everything_and_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    tiny_file(path)
    written, page = tmp_path / "bench.json", tmp_path / "bench.html"
    shown = galenic("bench", path, "--quick", "--profile", "host", "--ops", "--output", written, "--html", page)
    assert shown.returncode == 0, shown.stderr
    assert f"Ship {path} in onnxruntime with 1 thread" in " ".join(shown.stdout.split())
    assert "measuring" in shown.stderr
    result = BenchResult.model_validate_json(written.read_text())
    row = result.rows[0]
    assert result.mode is Mode.QUICK
    assert row.stream is not None
    assert row.stream.latency.runs >= 64
    assert row.stream.seconds > 0.5  # what its answers took of at least 2 s
    assert row.throughput is not None
    assert row.throughput.value > 0
    assert row.cold_start is not None
    assert row.cold_start.total > row.cold_start.imports + row.cold_start.load + row.cold_start.first_answer > 0
    assert row.memory_peak is not None
    assert 10 < row.memory_peak.value < 1000
    assert row.memory_peak.place == row.cold_start.place
    assert row.memory_peak.place is not None
    assert row.memory_peak.place.versions == row.versions
    assert row.op_times is not None
    assert row.op_times.ops
    assert "ops-data" in page.read_text()


def test_a_missed_budget_is_exit_code_4(tmp_path: Path, short: None) -> None:
    path, own = tmp_path / "tiny.onnx", tmp_path / "own.toml"
    tiny_file(path)
    own.write_text('name = "own"\nsummary = ""\ndevice = "host"\nsize_bytes = 10\n')
    shown = CliRunner().invoke(app, ["bench", str(path), "--profile", str(own)])
    assert shown.exit_code == 4
    assert "of those timed here none is within what own allows" in " ".join(shown.output.split())


def test_runtimes_and_threads_are_lists(tmp_path: Path, short: None) -> None:
    path, written = tmp_path / "tiny.onnx", tmp_path / "bench.json"
    tiny_file(path)
    order = ["bench", str(path), "--runtime", "onnxruntime, openvino", "--threads", "1,2", "--output", str(written)]
    shown = CliRunner().invoke(app, order)
    assert shown.exit_code == 0, shown.output
    rows = json.loads(written.read_text())["rows"]
    assert [(row["runtime"], row["threads"]) for row in rows] == [
        ("onnxruntime", 1),
        ("onnxruntime", 2),
        ("openvino", 1),
        ("openvino", 2),
    ]


def test_a_file_without_a_card_is_one_screen_with_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    tiny_file(path, card=False)
    shown = galenic("bench", path, "--quick")
    assert shown.returncode == 2
    assert "tiny.onnx.json" in shown.stderr
    assert "Traceback" not in shown.stderr
    assert len(shown.stderr.splitlines()) < 24


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["truncated", "changed", "a damaged card"])
def test_a_bad_file_is_one_screen_with_exit_code_2(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tiny.onnx"
    tiny_file(path, card=kind != "truncated")
    if kind == "a damaged card":
        (tmp_path / "tiny.onnx.json").write_text("{")
    else:
        path.write_bytes(path.read_bytes()[:80])
    shown = galenic("bench", path, "--quick")
    words = {"truncated": "is not a whole", "changed": "has changed", "a damaged card": "no card of galenic's"}
    assert shown.returncode == 2
    assert words[kind] in " ".join(shown.stderr.split())
    assert "Traceback" not in shown.stderr
    assert len(shown.stderr.splitlines()) < 24


def test_a_wrong_number_of_threads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    tiny_file(path)
    found = CliRunner().invoke(app, ["bench", str(path), "--threads", "some"])
    assert isinstance(found.exception, InputError)


def test_the_list_of_profiles_has_flash_and_ram() -> None:
    shown = galenic("profiles")
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.startswith(("profile ", "cortex-m4"))}
    assert "flash" in lines["profile"]
    assert "RAM" in lines["profile"]
    assert "512 KiB" in lines["cortex-m4"]
    assert "128 KiB" in lines["cortex-m4"]


def test_a_profile_is_shown_with_its_presets_as_parts_of_a_recipe(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["profiles", "phone"])
    assert shown.exit_code == 0, shown.output
    assert "# preset android: distillation, INT8, LiteRT" in shown.output
    assert 'profile = "phone"\nruntime = "litert"\n' in shown.output
    assert "# preset ios" in shown.output
    assert "50,000,000" in shown.output
    own = tmp_path / "pump.toml"
    own.write_text('name = "pump"\nsummary = "An infusion pump"\ndevice = "pump"\np90_ms = 5\n')
    assert "An infusion pump" in CliRunner().invoke(app, ["profiles", str(own)]).output
    misspelt = CliRunner().invoke(app, ["profiles", "phones"])
    assert "the nearest is 'phone'" in str(misspelt.exception)
