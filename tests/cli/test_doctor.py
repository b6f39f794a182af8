"""``galenic doctor`` and ``galenic runtimes``: what is said of converters, boards and runtimes that are not here."""

from __future__ import annotations

from pathlib import Path

import pytest

from galenic.cli import doctor, lists, screen
from galenic.runtimes import c_cortex_m, tensorrt


@pytest.fixture
def shown(capsys, tmp_path: Path, monkeypatch):
    """The lines of a check, whose exit code is 0."""
    monkeypatch.setattr(screen.output, "_width", 400)

    def run() -> list[str]:
        doctor.command(tmp_path)
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return run


def named(lines: list[str], what: str) -> list[str]:
    return [line for line in lines if what in line]


def test_what_is_here_has_no_line_of_a_converter(shown) -> None:
    lines = shown()
    assert not named(lines, "export ")
    assert "ok runtime coreml needs no package" in lines
    assert "ok runtime litert installed" in lines


def test_each_runtime_whose_converter_is_missing_has_its_line(shown, monkeypatch) -> None:
    gone = {"coremltools", "executorch", "torchao", "litert_torch"}
    monkeypatch.setattr("galenic.exporters.exporter.find_spec", lambda name: None if name in gone else name)
    lines = named(shown(), "export ")
    assert [line.split()[:3] for line in lines] == [
        ["optional", "export", name] for name in ("litert", "executorch", "coreml", "tflite-micro", "c")
    ]
    assert lines[2] == (
        "optional export coreml not without the Python package coremltools; run: pip install 'galenic[coreml]'"
    )
    assert "packages executorch, torchao; run: pip install 'galenic[executorch]'" in lines[1]


def test_without_what_compresses_nothing_is_said_of_converters(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "NEEDED", {"galenic[forge]": ("a-package-that-is-not-there",)})
    monkeypatch.setattr("galenic.exporters.exporter.find_spec", lambda name: None)
    with pytest.raises(doctor.typer.Exit):
        doctor.command(tmp_path)
    assert "export " not in capsys.readouterr().out


def test_the_programs_of_a_board_are_named_here_or_not(shown, monkeypatch) -> None:
    monkeypatch.setattr(c_cortex_m, "which", lambda name: f"/bin/{name}")
    assert "ok cortex-m4 and cortex-m7 arm-none-eabi-gcc and qemu-system-arm are installed" in shown()
    monkeypatch.setattr(c_cortex_m, "which", lambda name: None if "qemu" in name else name)
    (line,) = named(shown(), "cortex-m4")
    assert line.startswith(
        "optional cortex-m4 and cortex-m7 not without the programs qemu-system-arm; run: apt-get install"
    )


def test_a_card_that_is_not_here_is_the_reason_in_both(shown, monkeypatch, capsys) -> None:
    monkeypatch.setattr(tensorrt, "CARDS", ())
    monkeypatch.setattr(tensorrt, "which", lambda name: None)
    reason = f"not run: no NVIDIA card here; elsewhere: {tensorrt.RUNTIME.install}"
    assert f"optional runtime tensorrt {reason}" in shown()
    lists.runtimes()
    listed = "".join(capsys.readouterr().out.split())
    assert "tensorrtnotrun:noNVIDIAcardhere;elsewhere:python-mvenv" in listed.replace("\n", "")
