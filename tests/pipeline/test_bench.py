"""``galenic bench`` as a whole, with short floors: rows, reasons, budgets, gates, duels and caveats."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from dense_tflite import dense
from galenic.measuring.bench import Floor
from galenic.measuring.memory import Memory
from galenic.pipeline import bench as module
from galenic.pipeline import bench_order
from galenic.pipeline.bench import run_bench
from galenic.pipeline.bench_order import BenchOrder, prepared
from galenic.pipeline.card import write_card
from galenic.record.bench import BenchResult, ColdStart, Mode
from galenic.record.errors import DataError, InputError, ModelError, RecipeError
from galenic.record.gate import Verdict
from galenic.record.measurement import Place
from galenic.record.profile import BudgetStatus
from galenic.record.task import TaskKind
from galenic.reporting.json_report import report_json
from galenic.runtimes.c_cortex_m import CortexSession
from galenic.runtimes.load import open_session
from galenic.runtimes.place import available_cores
from galenic.runtimes.trial import try_in_child
from galenic.tasks.load import load_task
from reporting.sample import passing
from tiny_file import tiny_file

HERE = Place(machine="here", runtime="onnxruntime", threads=1)
START = ColdStart(total=100, low=90, high=110, imports=50, load=20, first_answer=5, n=1, place=HERE)
MEMORY = Memory(peak_mb=60.0, baseline_mb=50.0, place=HERE)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few answers, and no processes: a file's first look at in one of its own has tests of its own."""
    monkeypatch.setattr(module, "try_in_child", lambda *_, **__: None)
    monkeypatch.setattr(module, "FLOORS", {mode: Floor(8, 0.0, 1, 0.001) for mode in Mode})
    monkeypatch.setattr(module, "ROUNDS", dict.fromkeys(Mode, 6))
    monkeypatch.setattr(module, "measure_cold_start", lambda *_, **__: START)
    monkeypatch.setattr(module, "measure_memory", lambda *_, **__: MEMORY)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.onnx", tmp_path / "b.onnx"
    for number, path in enumerate(paths):
        tiny_file(path, factor=number + 1.0)
    return paths


def bench(*files: Path, **order: object) -> BenchResult:
    return run_bench(prepared(BenchOrder(files=files, **{"threads": ("1",)} | order)))  # type: ignore[arg-type]


def test_a_row_for_every_file_runtime_and_number_of_threads(files) -> None:
    told: list[tuple[str, int]] = []
    order = BenchOrder(files=files, runtimes=("onnxruntime", "openvino"), threads=("1", "2", "1"))
    result = run_bench(prepared(order), lambda work, done, total, note="": told.append((work, done)))
    assert [(Path(row.file).name, row.runtime, row.threads) for row in result.rows] == [
        (name, runtime, threads)
        for name in ("a.onnx", "b.onnx")
        for runtime in ("onnxruntime", "openvino")
        for threads in (1, 2)
    ]
    for row in result.rows:
        assert row.stream is not None
        assert row.stream.latency.runs == 8
        assert row.throughput is not None
        assert row.batch_rows == 32
        assert (row.cold_start, row.memory_peak) == (START, MEMORY.peak)
        assert (row.versus, row.budget, row.energy, row.gated, row.op_times) == (None,) * 5
        assert row.versions.keys() == {row.runtime}
    assert result.versions.keys() == {"python", "onnxruntime", "openvino"}
    assert result.sentence.startswith("Ship ")
    assert len(told) == 16
    assert BenchResult.model_validate_json(result.model_dump_json()) == result


def test_all_threads_are_the_cores_that_there_are(files) -> None:
    assert prepared(BenchOrder(files=files, threads=("all",))).threads == (available_cores(),)


def test_one_thread_and_all_where_nothing_is_said_and_one_for_a_quick_look(files, monkeypatch) -> None:
    monkeypatch.setattr(bench_order, "available_cores", lambda: 4)
    assert prepared(BenchOrder(files=files)).threads == (1, 4)
    assert prepared(BenchOrder(files=files, mode=Mode.QUICK)).threads == (1,)
    monkeypatch.setattr(bench_order, "available_cores", lambda: 1)
    assert prepared(BenchOrder(files=files)).threads == (1,)


def test_a_host_profile_is_judged_and_another_devices_is_not(files, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nsummary = ""\ndevice = "host"\nsize_bytes = 10\np90_ms = 1000\nmemory_mb = 59\n')
    row = bench(files[0], profile=str(own)).rows[0]
    assert row.budget is not None
    assert {one.quantity: one.status for one in row.budget.checks} == {
        "size": BudgetStatus.MISSED,
        "p90 latency": BudgetStatus.MET,
        "peak memory": BudgetStatus.MISSED,
    }
    there = bench(files[0], profile="watch")
    assert there.rows[0].budget is not None
    assert [one.status for one in there.rows[0].budget.checks] == [
        BudgetStatus.MET,
        BudgetStatus.NOT_MEASURED,
        BudgetStatus.NOT_MEASURED,
        BudgetStatus.MISSED,
    ]
    assert there.sentence.startswith("No file can be named")  # float32, where a watch's are INT8 or INT4
    tiny_file(files[0], precision="int8")
    there = bench(files[0], profile="watch")
    assert there.rows[0].budget is not None
    assert there.rows[0].budget.checks[3].status is BudgetStatus.MET
    assert "on watch nothing was timed" in there.sentence


def test_a_microcontrollers_memory_is_not_that_of_this_machines_process(files) -> None:
    budget = bench(files[0], profile="cortex-m4").rows[0].budget
    assert budget is not None
    assert {one.quantity: one.status for one in budget.checks} == {
        "flash": BudgetStatus.NOT_MEASURED,
        "RAM": BudgetStatus.NOT_MEASURED,
    }


def test_energy_is_estimated_for_the_profiles_device_and_the_battery_can_be_given(files) -> None:
    row = bench(files[0], profile="fitness-band", battery_wh=0.437, events_per_hour=30.0).rows[0]
    assert row.energy is not None
    assert row.energy.per_answer is not None
    assert row.energy.per_answer.value == pytest.approx(4 * 3.2e-6)  # 4 MACs
    lives = {one.duty.name: one for one in row.energy.battery}
    assert lives["continuous"].hours.value == pytest.approx(437 / (42 + 1.7))
    assert lives["on demand"].duty.wakes_per_hour == 30.0
    assert "estimated" in row.energy.source
    elsewhere = bench(files[0], profile="cortex-m4").rows[0]  # which runs no such file
    assert elsewhere.energy is None


def test_what_was_measured_on_the_device_judges_it_and_is_no_estimate(files, tmp_path: Path) -> None:
    made = tiny_file(files[0])
    told = {
        "device": "watch",
        "sha256": made.sha256,
        "runtime": "onnxruntime",
        "threads": 1,
        "method": "fuel gauge",
        "runs": 9,
        "energy_mj": 2.5,
        "p90_ms": 120.0,
    }
    path = tmp_path / "watch.json"
    path.write_text(json.dumps(told))
    first, second = bench(*files, profile="watch", measured=(path,)).rows
    assert first.budget is not None
    assert second.budget is not None
    assert [(one.quantity, one.status, one.where) for one in first.budget.checks[1:3]] == [
        ("p90 latency", BudgetStatus.MISSED, "watch: fuel gauge"),
        ("peak memory", BudgetStatus.NOT_MEASURED, "watch: fuel gauge"),
    ]
    assert second.budget.checks[1].status is BudgetStatus.NOT_MEASURED
    assert first.energy is not None
    assert first.energy.per_answer is not None
    assert first.energy.per_answer.value == 2.5
    assert first.energy.per_answer.place is not None
    assert not first.energy.per_answer.place.estimated


def test_a_measurement_of_another_runtime_or_number_of_threads_judges_nothing_and_is_said(
    files, tmp_path: Path
) -> None:
    made = tiny_file(files[0])
    told = {"device": "watch", "sha256": made.sha256, "runtime": "litert", "threads": 1, "method": "m", "runs": 9}
    paths = []
    for number, other in enumerate(({}, {"runtime": "onnxruntime", "threads": 2})):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(told | other | {"p90_ms": 1.0}))
    result = bench(files[0], profile="watch", measured=tuple(paths))
    assert result.rows[0].budget is not None
    assert result.rows[0].budget.checks[1].status is BudgetStatus.NOT_MEASURED
    said = [note for note in result.notes if "about none of these rows" in note]
    assert len(said) == 2
    assert f"{made.sha256[:12]} in onnxruntime with 2 threads on watch" in said[1]
    both = bench(files[0], profile="watch", measured=tuple(paths), threads=("1", "2"))
    assert [row.budget.checks[1].status for row in both.rows if row.budget] == [
        BudgetStatus.NOT_MEASURED,
        BudgetStatus.MET,
    ]


def test_two_measurements_that_disagree_are_refused_before_anything_is_timed(files, tmp_path: Path) -> None:
    made = tiny_file(files[0])
    told = {"device": "watch", "sha256": made.sha256, "runtime": "onnxruntime", "threads": 1, "method": "m", "runs": 9}
    paths = tuple(tmp_path / f"{number}.json" for number in range(2))
    for number, path in enumerate(paths):
        path.write_text(json.dumps(told | {"p90_ms": 10.0 + number}))
    with pytest.raises(InputError, match=r"p90_ms of a.onnx in onnxruntime on watch as \[10.0, 11.0\]"):
        prepared(BenchOrder(files=files, profile="watch", measured=paths))


def test_a_point_of_care_s_accuracy_is_said_until_a_gate_judged_this_file_by_it(files, tmp_path: Path) -> None:
    made = tiny_file(files[0])
    budget = bench(files[0], profile="poc-retina").rows[0].budget
    assert budget is not None
    assert (budget.checks[-1].quantity, budget.checks[-1].limit) == ("accuracy, at least", 95.0)
    assert (budget.checks[-1].status, budget.missed) == (BudgetStatus.NOT_MEASURED, False)
    path = report_of(tmp_path, Verdict.PASS, sha256=made.sha256, runtime=made.runtime, precision=made.precision)
    text = json.loads(path.read_text())
    text["gate"]["artifact_sha256"] = made.sha256
    text["gate"]["checks"][0] |= {"kind": "floor", "endpoint": "accuracy", "limit": 0.95}
    path.write_text(json.dumps(text))
    judged = bench(files[0], profile="poc-retina", reports=(path,)).rows[0].budget
    assert judged is not None
    assert [one.quantity for one in judged.checks] == ["p90 latency"]


def report_of(tmp_path: Path, verdict: Verdict, **candidate: object) -> Path:
    """The sample report whose chosen file is the given one."""
    report = passing()
    chosen = next(one for one in report.candidates if one.id == report.chosen)
    others = [one for one in report.candidates if one is not chosen]
    gate = report.gate.model_copy(update={"verdict": verdict})
    made = report.model_copy(update={"candidates": (*others, chosen.model_copy(update=candidate)), "gate": gate})
    path = tmp_path / "report.json"
    path.write_text(report_json(made))
    return path


@pytest.mark.parametrize(
    ("verdict", "gated"), [(Verdict.PASS, True), (Verdict.FAIL, False), (Verdict.INCONCLUSIVE, False)]
)
def test_only_what_a_report_s_gate_passed_is_named(files, tmp_path: Path, verdict: Verdict, gated: bool) -> None:
    made = tiny_file(files[1], factor=2.0)
    identity = {"sha256": made.sha256, "runtime": made.runtime, "precision": made.precision}
    result = bench(*files, reports=(report_of(tmp_path, verdict, **identity),))
    assert [row.gated for row in result.rows] == [False, gated]
    expected = f"Ship {files[1]} in onnxruntime" if gated else "No file can be named"
    assert result.sentence.startswith(expected)


def test_the_same_bytes_in_another_runtime_have_not_been_judged(files, tmp_path: Path) -> None:
    made = tiny_file(files[0])
    identity = {"sha256": made.sha256, "runtime": "onnxruntime", "precision": made.precision}
    path = report_of(tmp_path, Verdict.PASS, **identity)
    result = bench(files[0], runtimes=("openvino", "onnxruntime"), reports=(path,))
    assert [(row.runtime, row.gated) for row in result.rows] == [("openvino", False), ("onnxruntime", True)]


def test_the_trusted_reference_itself_may_be_named_whatever_the_gate_said_of_the_other(files, tmp_path: Path) -> None:
    made = tiny_file(files[0])
    report = passing()
    reference = report.reference.model_copy(update={"sha256": made.sha256, "runtime": "onnxruntime"})
    first = report.candidates[0].model_copy(
        update={"sha256": made.sha256, "runtime": "onnxruntime", "precision": "float32"}
    )
    gate = report.gate.model_copy(update={"verdict": Verdict.FAIL})
    update = {"reference": reference, "candidates": (first, *report.candidates[1:]), "gate": gate}
    path = tmp_path / "report.json"
    path.write_text(report_json(report.model_copy(update=update)))
    assert [row.gated for row in bench(*files, reports=(path,)).rows] == [True, False]


def test_a_report_says_how_labels_relate_to_classes(files, tmp_path: Path) -> None:
    assert prepared(BenchOrder(files=files)).kind is TaskKind.SINGLE_LABEL
    path = report_of(tmp_path, Verdict.PASS)
    text = json.loads(path.read_text())
    text["task"]["kind"] = "multi-label"
    path.write_text(json.dumps(text))
    assert prepared(BenchOrder(files=files, reports=(path,))).kind is TaskKind.MULTI_LABEL


def test_files_are_timed_in_turn_with_another(files) -> None:
    result = bench(files[0], against=files[1])
    assert result.against == str(files[1])
    versus = result.rows[0].versus
    assert versus is not None
    assert versus.ratio.rounds == 6
    assert versus.ratio.low <= versus.ratio.value <= versus.ratio.high
    assert versus.place.versions == versus.against.versions == result.rows[0].versions


def test_the_versions_of_the_other_file_s_runtime_are_those_of_the_result_too(files, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    tiny_file(other, factor=3.0, runtime="openvino")
    result = bench(files[0], against=other)
    versus = result.rows[0].versus
    assert versus is not None
    assert (versus.place.runtime, versus.against.runtime) == ("onnxruntime", "openvino")
    assert result.versions.keys() == {"python", "onnxruntime", "openvino"}


def test_one_that_cannot_be_measured_has_its_reason_and_the_others_go_on(files) -> None:
    files[0].write_bytes(b"another file")
    result = bench(*files)
    assert result.rows[0].stream is None
    assert "has changed" in result.rows[0].reason
    assert result.rows[1].stream is not None
    assert any("has changed" in note for note in result.notes)
    with pytest.raises(ModelError, match="has changed"):
        bench(files[0])


def standing_for(caveat: str, *paths: Path):
    """Sessions of which those of ``paths`` only stand for a device's."""

    class Stands:
        def __init__(self, session):
            self.artifact, self._session = session.artifact, session
            self.place = session.place.model_copy(update={"caveat": caveat})

        def run(self, inputs):
            return self._session.run(inputs)

    @contextmanager
    def opened(artifact, threads, device) -> Iterator[object]:
        session = open_session(artifact, threads, device)
        yield Stands(session) if artifact.path in paths else session

    return opened


@pytest.mark.parametrize("which", [0, 1])
def test_no_ratio_is_formed_where_the_time_of_either_file_is_not_a_device_s(files, monkeypatch, which: int) -> None:
    monkeypatch.setattr(module, "opened", standing_for("never run on Apple hardware", files[which]))
    row = bench(files[0], against=files[1]).rows[0]
    assert row.stream is not None
    assert row.versus is None
    assert row.reason.startswith(
        f"a ratio with {files[which].name} in onnxruntime: never run on Apple hardware; it says"
    )


def crashing(path: Path) -> Path:
    """A .tflite with one byte changed, so that LiteRT's parser ends the process that loads it; and its card."""
    data = bytearray(dense())
    data[18] = 0
    path.write_bytes(data)
    tiny = tiny_file(path.with_suffix(".onnx"), card=False)
    three = tiny.preprocessing.model_copy(update={"raw_shape": (3,), "mean": (0.0,) * 3, "std": (1.0,) * 3})
    sha256 = hashlib.sha256(data).hexdigest()
    made = {"runtime": "litert", "sha256": sha256, "size_bytes": len(data), "preprocessing": three}
    write_card(tiny.model_copy(update=made), path)
    return path


@pytest.mark.slow
def test_a_file_that_crashes_its_runtime_has_its_reason_and_the_others_go_on(
    files, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(module, "try_in_child", try_in_child)
    hostile = crashing(tmp_path / "hostile.tflite")
    result = bench(hostile, files[1])
    assert [row.stream is not None for row in result.rows] == [False, True]
    assert "ended its process by SIG" in result.rows[0].reason
    assert result.sentence.startswith(f"Ship {files[1]}")
    row = bench(files[1], against=hostile).rows[0]
    assert row.stream is not None
    assert (row.versus, "ended its process by SIG" in row.reason) == (None, True)


def written_again(path: Path, data: bytes) -> None:
    """Another file with a card that is its own: nobody notices before it is loaded."""
    made = tiny_file(path, card=False)
    path.write_bytes(data)
    write_card(made.model_copy(update={"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}), path)


def of_opset(version: int, path: Path) -> bytes:
    tiny_file(path)
    model = onnx.load(path)
    model.opset_import[0].version = version
    return model.SerializeToString()


@pytest.mark.parametrize("kind", ["truncated", "another version's", "another runtime's"])
def test_a_file_that_its_runtime_cannot_read_is_refused_in_a_few_words(files, kind: str) -> None:
    made = {
        "truncated": files[0].read_bytes()[:80],
        "another version's": of_opset(99, files[0]),
        "another runtime's": dense(),
    }
    written_again(files[0], made[kind])
    result = bench(*files)
    assert [row.stream is not None for row in result.rows] == [False, True]
    with pytest.raises(ModelError, match="is not a model that ONNX Runtime can load") as caught:
        bench(files[0])
    assert len(str(caught.value)) < 800
    assert caught.value.todo


def test_whatever_a_runtime_raises_is_that_row_s_reason(files, monkeypatch: pytest.MonkeyPatch) -> None:
    first = files[0].name

    @contextmanager
    def opened(artifact, threads, device):
        if artifact.path.name == first:
            raise RuntimeError("Invoke failed\nat node 3")
        yield open_session(artifact, threads, device)

    monkeypatch.setattr(module, "opened", opened)
    result = bench(*files)
    assert [row.stream is not None for row in result.rows] == [False, True]
    words = f"{files[0]} in onnxruntime with 1 thread, which broke off with RuntimeError: Invoke failed; make the file again"
    assert result.rows[0].reason.startswith(words)
    with pytest.raises(ModelError, match="broke off with RuntimeError") as caught:
        bench(files[0])
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_place_with_a_caveat_is_shown_judged_against_nothing_and_not_named(
    files, monkeypatch: pytest.MonkeyPatch
) -> None:
    caveat = "graph checked, never run on Apple hardware"

    monkeypatch.setattr(module, "opened", standing_for(caveat, files[0]))
    result = bench(files[0], profile="host")
    row = result.rows[0]
    assert row.caveat == caveat
    assert row.stream is not None
    assert row.stream.real_time is None
    assert (row.throughput, row.cold_start, row.memory_peak) == (None,) * 3
    assert row.budget is not None
    assert {one.quantity: one.status for one in row.budget.checks}["p90 latency"] is BudgetStatus.NOT_MEASURED
    assert result.sentence.startswith("No file can be named")
    assert any(caveat in note for note in result.notes)


def test_what_fails_after_the_latency_leaves_the_rest_with_its_reason(files, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_, **__):
        raise ModelError("a process that died", "one that lives", "free some memory")

    monkeypatch.setattr(module, "measure_memory", broken)
    result = bench(files[0])
    row = result.rows[0]
    assert row.stream is not None
    assert (row.cold_start, row.memory_peak) == (START, None)
    assert row.reason == "a process that died; free some memory"
    assert any("was not measured whole: a process that died" in note for note in result.notes)
    assert result.sentence.startswith("Ship ")


def test_a_runtime_with_threads_of_its_own_is_not_measured_under_another_number(files, monkeypatch) -> None:
    @contextmanager
    def opened(artifact, threads, device):
        yield open_session(artifact, 1, device)

    monkeypatch.setattr(module, "opened", opened)
    result = bench(files[0], threads=("1", "2"))
    assert [row.stream is not None for row in result.rows] == [True, False]
    assert result.rows[1].reason == (
        "2 threads for onnxruntime, which computes with 1 whatever is asked for; what it takes with 1 stands in its own row"
    )


class Board(CortexSession):
    """A board that answers without QEMU; its stack is known after the first row."""

    def run(self, inputs):
        assert inputs.shape == (1, 2)
        self.stack_bytes, self.instructions = 700, 12_345
        return np.zeros((1, 2), np.float32)


def test_a_c_file_is_linked_for_the_profile_s_microcontroller_and_judged_by_it(
    files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    @contextmanager
    def opened(artifact, threads, device):
        asked.append(device)
        if device == "cpu":
            yield open_session(artifact.model_copy(update={"runtime": "onnxruntime"}), threads, device)
        else:
            place = Place(machine="board", runtime="c", caveat="QEMU: instructions counted, no time measured")
            yield Board(artifact, place, 20_000, 300, None, b"")

    monkeypatch.setattr(module, "opened", opened)
    path = tmp_path / "net.c"
    tiny_file(path, runtime="c", precision="int8")
    row = bench(path, profile="cortex-m4").rows[0]
    assert asked == ["cpu", "cortex-m4"]
    assert row.footprint is not None
    assert (row.footprint.flash_bytes, row.footprint.ram_bytes, row.footprint.instructions) == (20_000, 1000, 12_345)
    assert row.budget is not None
    assert [(one.quantity, one.value, one.status) for one in row.budget.checks] == [
        ("flash", 20_000, BudgetStatus.MET),
        ("RAM", 1000, BudgetStatus.MET),
    ]
    played = bench(path, device="cortex-m4")
    assert played.rows[0].stream is None
    assert played.rows[0].footprint == row.footprint
    assert played.sentence.startswith("No file can be named")


def test_rows_can_come_from_data(files, tmp_path: Path) -> None:
    assert bench(files[0]).data == "drawn with seed 0"
    with pytest.raises(InputError, match="task 'digit'"):
        bench(files[0], data="digit")
    given = prepared(BenchOrder(files=files, data="wisconsin")).rows(tiny_file(files[0]))
    np.testing.assert_array_equal(given, load_task("wisconsin").validation.inputs[:64])
    with pytest.raises(DataError, match="rows of shape"):
        bench(files[0], data="wisconsin")  # 30 numbers, where the file takes two


def test_operations_are_told_where_they_are_asked_for(files) -> None:
    found = bench(files[0], ops=True).rows[0].op_times
    assert found is not None
    assert [one.name for one in found.ops] == ["dense"]


@pytest.mark.parametrize(
    ("order", "error", "words"),
    [
        ({"threads": ("0",)}, InputError, "'0' threads"),
        ({"threads": ("many",)}, InputError, "'many' threads"),
        ({"threads": ()}, InputError, "no number of threads"),
        ({"events_per_hour": 0.0}, InputError, "0 events an hour"),
        ({"battery_wh": 1.0}, InputError, "without a profile"),
        ({"battery_wh": -1.0, "profile": "watch"}, InputError, "-1 Wh"),
        ({"battery_wh": 1.0, "profile": "cloud"}, RecipeError, "cloud, which says nothing of power"),
        ({"profile": "wach"}, RecipeError, "'watch'"),
    ],
)
def test_a_wrong_order_is_refused_before_anything_is_timed(files, order, error, words) -> None:
    with pytest.raises(error, match=words):
        prepared(BenchOrder(files=files, **order))


def test_nothing_of_it_needs_torch(files) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import galenic.measuring.bench as measuring\n"
        "from galenic.pipeline import bench\n"
        "from galenic.pipeline.bench_order import BenchOrder, prepared\n"
        "from galenic.record.bench import Mode\n"
        "from galenic.reporting.bench import print_bench\n"
        "bench.FLOORS = {mode: measuring.Floor(8, 0.0, 1, 0.001) for mode in Mode}\n"
        "bench.PROCESSES = dict.fromkeys(Mode, 1)\n"
        "from galenic.pipeline import bench_order\n"
        "bench_order.THREADS = dict.fromkeys(Mode, ('1',))\n"
        f"print(bench.run_bench(prepared(BenchOrder(files=(Path({str(files[0])!r}),), profile='host'))).sentence)\n"
        "print(sorted({'torch', 'scipy', 'sklearn', 'pandas', 'plotly'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Ship ")
    assert said.rstrip().endswith("[]")
