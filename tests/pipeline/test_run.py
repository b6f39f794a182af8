"""The main job end to end on a small task: files that ran in their runtime, a report that is consistent, resuming."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from galenic.pipeline.recipes import load_recipe, parse_recipe
from galenic.pipeline.run import Outcome, compress
from galenic.record.artifact import Artifact
from galenic.record.errors import DataError, ExitCode, ModelError, StoreError
from galenic.record.gate import Verdict
from galenic.record.profile import BudgetCheck, BudgetResult, BudgetStatus
from galenic.record.recipe import Recipe
from galenic.store.files import file_sha256
from galenic.store.ledger import Ledger
from galenic.store.stages import Store

RECIPE = """
name = "small"
threads = 1
profile = "watch"
[task]
source = "digits"
[reference]
model = "resnet8"
[reference.training]
epochs = 3
learning_rate = 3e-3
flips = "none"
precision = "float32"
memory_format = "contiguous"
[student]
model = "resnet8"
options = { width = 0.5 }
[student.training]
epochs = 2
learning_rate = 3e-3
flips = "none"
precision = "float32"
memory_format = "contiguous"
[[phase]]
method = "soft_target"
[phase.options.soft_target]
views = 2
[phase.training]
epochs = 3
learning_rate = 3e-3
flips = "none"
precision = "float32"
memory_format = "contiguous"
[[phase]]
method = "static_int8"
[gate.margins]
auc = 0.1
accuracy = 0.5
[measure]
runs = 30
warmup = 2
"""


def recipe() -> Recipe:
    return parse_recipe(RECIPE, "small.toml")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def outcome(store: Store) -> Outcome:
    return compress(recipe(), store)


def test_every_file_of_the_chain_was_run_and_measured(outcome: Outcome) -> None:
    report = outcome.report
    assert [c.id for c in report.candidates] == ["reference", "alone", "1-soft_target", "2-static_int8"]
    for candidate in report.candidates:
        path = outcome.folder / candidate.path
        assert file_sha256(path) == candidate.sha256
        assert path.stat().st_size == candidate.size_bytes
        card = Artifact.model_validate_json(path.with_name(f"{path.name}.json").read_text())
        assert (card.sha256, card.path) == (candidate.sha256, Path(path.name))
        assert card.preprocessing.input_shape == (1, 8, 8)
        assert candidate.latency_ms.p50 <= candidate.latency_ms.p90 <= candidate.latency_ms.p99
        assert candidate.memory_peak_mb > 20
        assert candidate.parity is not None
    float_parity = [c.parity.max_difference for c in report.candidates if c.precision == "float32" and c.parity]
    assert max(float_parity) < 1e-3


def test_the_int8_file_is_integer_smaller_and_close(outcome: Outcome) -> None:
    report = outcome.report
    int8 = next(c for c in report.candidates if c.id == report.chosen)
    taught = next(c for c in report.candidates if c.id == "1-soft_target")
    assert int8.precision == "int8"
    assert int8.integer_ops is not None
    assert int8.integer_ops.integer == int8.integer_ops.expected > 5
    assert int8.size_bytes < taught.size_bytes
    assert int8.quant is not None
    assert len(int8.quant.points) > 10
    assert int8.parity is not None
    assert int8.parity.agreement > 0.8


def test_only_the_chosen_file_and_the_reference_show_test_metrics(outcome: Outcome) -> None:
    report = outcome.report
    assert {c.id: c.split for c in report.candidates} == {
        "reference": "validation",
        "alone": "validation",
        "1-soft_target": "validation",
        "2-static_int8": "test",
    }
    assert report.reference.split == "test"
    chosen = report.candidates[-1]
    assert chosen.metrics["accuracy"].n == report.task.sizes["test"]
    assert chosen.validation["accuracy"].n == report.task.sizes["validation"]


def test_the_teacher_was_compared_with_the_student_alone_before_distilling(outcome: Outcome) -> None:
    report = outcome.report
    assert report.probe is not None
    assert report.comparison is not None
    assert report.comparison.student_alone is not None
    assert report.probe.epochs is None, "the recipe trains the student alone in full"
    gain = report.comparison.teacher - report.comparison.student_alone
    assert report.probe.teacher_gain is not None
    assert report.probe.teacher_gain.value == pytest.approx(gain, abs=1e-12)
    assert report.probe.teacher_gain.n == report.task.sizes["validation"]


def test_the_gate_is_bound_to_the_files_and_entered_once(outcome: Outcome, store: Store) -> None:
    report = outcome.report
    assert report.gate.artifact_sha256 == report.candidates[-1].sha256
    assert report.gate.reference_sha256 == report.reference.sha256
    reads = Ledger(store.root / "ledger.jsonl").reads(report.gate.split_hash)
    assert [(r.purpose, r.subject, r.margins.auc) for r in reads] == [("gate", report.gate.artifact_sha256, 0.1)]
    assert report.gate.reads == 1


def test_the_report_fits_its_schema_and_renders(outcome: Outcome) -> None:
    schema = Path(__file__).parents[2] / "src" / "galenic" / "reporting" / "report.schema.json"
    written = json.loads((outcome.folder / "report.json").read_text())
    jsonschema.validate(written, json.loads(schema.read_text()))
    page = (outcome.folder / "report.html").read_text()
    assert outcome.report.candidates[-1].sha256[:12] in page


def test_the_same_recipe_is_not_done_again(outcome: Outcome, store: Store) -> None:
    told: list[str] = []
    again = compress(recipe(), store, lambda work, done, total, note="": told.append(work))
    assert not {"supervised", "soft_target"} & set(told), "trained again"
    assert "gate on the test set" not in told
    same = {"run"}
    assert again.report.model_dump(exclude=same) == outcome.report.model_dump(exclude=same)
    assert again.folder == outcome.folder


@pytest.mark.slow
def test_the_recipe_in_the_report_gives_the_same_files_in_a_new_store(outcome: Outcome, tmp_path: Path) -> None:
    stored = load_recipe(outcome.folder / "report.json")
    again = compress(stored, Store(tmp_path))
    assert [c.sha256 for c in again.report.candidates] == [c.sha256 for c in outcome.report.candidates]
    assert again.report.run.id == outcome.report.run.id


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_files(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    command = [sys.executable, "-m", "galenic.cli.main", "compress", str(path), "--store", str(tmp_path / "store")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    for last_words in ("supervised", "measuring resnet8 alone", "soft_target loss"):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stderr is not None
            for line in child.stderr:
                if last_words in line:
                    os.kill(child.pid, signal.SIGKILL)
                    break
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == outcome.exit_code, done.stderr
    reports = list((tmp_path / "store" / "runs").glob("*/report.json"))
    assert len(reports) == 1
    files = [c["sha256"] for c in json.loads(reports[0].read_text())["candidates"]]
    assert files == [c.sha256 for c in outcome.report.candidates]


def test_a_file_is_a_reference_and_a_teacher(outcome: Outcome, tmp_path: Path, store: Store) -> None:
    reference = outcome.folder / "files" / "reference.onnx"
    values = recipe().model_dump(mode="json") | {"reference": {"model": f"file:{reference}"}}
    values["student"]["training"] = None
    report = compress(Recipe.model_validate(values), Store(tmp_path)).report
    assert report.reference.sha256 == outcome.report.reference.sha256
    assert report.candidates[0].parity is None
    assert report.candidates[-1].sha256 == outcome.report.candidates[-1].sha256, "the same teacher, the same student"


def test_a_teacher_with_another_number_of_classes_is_refused(
    outcome: Outcome, tmp_path: Path, three_classes_npz: Path
) -> None:
    reference = outcome.folder / "files" / "reference.onnx"
    values = recipe().model_dump(mode="json") | {"reference": {"model": f"file:{reference}"}}
    values["task"] = {"source": f"npz:{three_classes_npz}"}
    with pytest.raises(ModelError) as caught:
        compress(Recipe.model_validate(values), Store(tmp_path / "store"))
    assert "10" in caught.value.given
    assert "3" in caught.value.expected


def test_a_damaged_file_in_the_store_is_noticed(outcome: Outcome, store: Store) -> None:
    candidate = outcome.report.candidates[-1]
    values = recipe().model_dump(mode="json")
    values["measure"]["runs"] = 21  # so that the file is opened again
    stage = next(p for p in store.root.glob("stages/file-*/model.onnx") if file_sha256(p) == candidate.sha256)
    intact = stage.read_bytes()
    damaged = bytearray(intact)
    damaged[len(damaged) // 2] ^= 1
    stage.unlink()
    stage.write_bytes(damaged)
    try:
        with pytest.raises(ModelError, match="sha256"):
            compress(Recipe.model_validate(values), store)
    finally:
        stage.write_bytes(intact)


def test_a_full_disk_stops_with_a_remedy_and_the_next_run_goes_on(full_disk: Path, tmp_path: Path) -> None:
    (full_disk / "filler").write_bytes(bytes(900_000))
    with pytest.raises(StoreError, match="free some space"):
        compress(recipe(), Store(full_disk / "store"))
    (full_disk / "filler").unlink()
    assert not list(full_disk.glob("store/stages/*/.*")), "no half-written file is left"


def test_overlapping_splits_are_refused_before_any_training(tmp_path: Path, overlapping_npz: Path) -> None:
    values = recipe().model_dump(mode="json") | {"task": {"source": f"npz:{overlapping_npz}"}}
    with pytest.raises(DataError, match="drop-train"):
        compress(Recipe.model_validate(values), Store(tmp_path))
    assert not list(tmp_path.glob("stages/*"))


def test_exit_codes(outcome: Outcome) -> None:
    def with_verdict(verdict: Verdict, missed: bool) -> ExitCode:
        status = BudgetStatus.MISSED if missed else BudgetStatus.MET
        check = BudgetCheck(quantity="size", limit=1, value=2, unit="bytes", status=status, where="any machine")
        report = outcome.report.model_copy(
            update={
                "gate": outcome.report.gate.model_copy(update={"verdict": verdict}),
                "budget": BudgetResult(profile="p", checks=(check,)),
            }
        )
        return Outcome(report, outcome.folder).exit_code

    assert with_verdict(Verdict.PASS, missed=False) == 0
    assert with_verdict(Verdict.FAIL, missed=True) == 1
    assert with_verdict(Verdict.INCONCLUSIVE, missed=False) == 3
    assert with_verdict(Verdict.PASS, missed=True) == 4
