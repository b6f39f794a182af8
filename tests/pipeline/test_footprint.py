"""A whole run for a microcontroller: the chosen file is C, its board is QEMU's, and no time is claimed."""

import shutil

import pytest

from galenic.gating.profiles import load_profile
from galenic.pipeline.footprint import footprint_sentence, has_board
from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.run import compress
from galenic.record.errors import MissingPackage
from galenic.record.measurement import Footprint
from galenic.record.profile import BudgetStatus
from galenic.reporting.words import file_sentence
from galenic.runtimes import c_cortex_m
from galenic.store.stages import Store

RECIPE = """
name = "micro"
runtime = "c"
profile = "cortex-m4"
threads = 1
[task]
source = "rhythm"
[task.options]
windows = 6
length = 256
train_subjects = 20
validation_subjects = 6
test_subjects = 10
[reference]
model = "ds_conv1d"
options = { width = 4, depth = 2 }
[reference.training]
epochs = 1
[[phase]]
method = "static_int8"
[gate.margins]
auc = 0.1
[measure]
runs = 20
"""
ARM = pytest.mark.skipif(shutil.which(c_cortex_m.MACHINE) is None, reason=f"no QEMU: {c_cortex_m.INSTALL}")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micro")
    return compress(parse_recipe(RECIPE, "here"), Store(folder / "runs"))


@ARM
@pytest.mark.slow
def test_flash_and_ram_are_of_the_board_and_judged(outcome):
    checks = {check.quantity: check for check in outcome.report.budget.checks}
    assert {name: check.status for name, check in checks.items()} == {
        "flash": BudgetStatus.MET,
        "RAM": BudgetStatus.MET,
    }
    assert 1000 < checks["flash"].value < 20_000
    assert 500 < checks["RAM"].value < 16_384
    assert any("instructions an answer" in note for note in outcome.report.notes)


@ARM
@pytest.mark.slow
def test_the_float_files_are_for_tflite_micro_and_no_speed_is_claimed(outcome):
    report = outcome.report
    runtimes = {one.id: one.runtime for one in report.candidates}
    assert runtimes == {"reference": "tflite-micro", "1-static_int8": "c"}
    assert report.chosen == "1-static_int8"
    assert not any("timed in turn" in note for note in report.notes)
    assert all(one.latency_ms.caveat for one in report.candidates)
    sentence = file_sentence(report)
    assert "KB of text)" in sentence
    assert "larger" not in sentence
    assert (outcome.folder / "files" / "1-static_int8.c").read_text().startswith("/* ds_conv1d, made by galenic")


def test_only_c_for_a_board_is_played_here(monkeypatch):
    board, watch = load_profile("cortex-m4"), load_profile("watch")
    monkeypatch.setattr(c_cortex_m, "which", lambda name: name)
    assert has_board("c", board)
    assert not has_board("c", None)
    assert not has_board("c", watch)
    assert not has_board("tflite-micro", board)


def test_without_the_boards_programs_a_run_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(c_cortex_m, "which", lambda name: None)
    with pytest.raises(MissingPackage, match="arm-none-eabi-gcc"):
        has_board("c", load_profile("cortex-m7"))


def test_the_sentence_by_hand():
    taken = Footprint(
        flash_bytes=11_000, static_bytes=2800, stack_bytes=240, instructions=2_712_800, where="cortex-m4 in QEMU"
    )
    assert footprint_sentence(taken) == (
        "On cortex-m4 in QEMU: 11,000 bytes of flash for code and weights, 3,040 bytes of RAM (240 of them the deepest stack), "
        "2,712,800 instructions an answer."
    )
