"""What a bench says on a terminal and on its page: every number in its unit, estimates named as such, nothing executed."""

from __future__ import annotations

import json
import re
from html import escape
from io import StringIO

import pytest
from rich.console import Console

from galenic.record.bench import (
    BatteryLife,
    BenchResult,
    BenchRow,
    ColdStart,
    Duty,
    Energy,
    Mode,
    OpTime,
    OpTimes,
    RealTime,
    Stream,
    Versus,
)
from galenic.record.measurement import Breakdown, Footprint, Latency, Measurement, Place, Ratio
from galenic.record.profile import BudgetCheck, BudgetResult, BudgetStatus
from galenic.reporting.bench import print_bench
from galenic.reporting.bench_page import MOST_BARS, op_figure, render_bench
from galenic.reporting.bench_tables import battery_life, joules, tables, where

HERE = Place(machine="AMD EPYC, 2 cores", runtime="onnxruntime", versions={"onnxruntime": "1.31.1"}, threads=1)
OTHER = Place(machine="AMD EPYC, 2 cores", runtime="openvino", versions={"openvino": "2026.4.1"}, threads=2)
THERE = Place(machine="watch", runtime="onnxruntime", estimated=True)


def measured(value: float, low: float, high: float, unit: str, place: Place = HERE, n: int = 6) -> Measurement:
    return Measurement(value=value, unit=unit, low=low, high=high, n=n, place=place)


def operations(count: int = 3) -> OpTimes:
    total = sum(range(1, count + 1))
    ops = [OpTime(name=f"node {k}", op="Conv", milliseconds=k / 10, share=k / total) for k in range(count, 0, -1)]
    return OpTimes(ops=tuple(ops), whole_ms=total / 10 + 0.1, runs=50)


ROW = BenchRow(
    file="files/2-int8.onnx",
    runtime="onnxruntime",
    precision="int8",
    threads=1,
    device="cpu",
    sha256="a" * 64,
    size_bytes=1_230_000,
    macs=12_500_000,
    parameters=80_000,
    stream=Stream(
        latency=Latency(p50=1.11, p90=1.23, p99=2.34, runs=52_345, threads=1, where="here"),
        p90_low=1.21,
        p90_high=1.26,
        breakdown=Breakdown(preprocessing=0.12, inference=0.95, postprocessing=0.031),
        seconds=60.0,
        real_time=RealTime.HARD,
    ),
    throughput=measured(1234.0, 1200.0, 1260.0, "samples/s"),
    batch_rows=32,
    cold_start=ColdStart(
        total=812.0, low=790.0, high=903.0, imports=120.0, load=45.0, first_answer=3.0, n=5, place=HERE
    ),
    memory_peak=measured(76.5, 76.5, 76.5, "MB", n=1),
    versus=Versus(ratio=Ratio(value=1.87, low=1.81, high=1.92, rounds=100), place=HERE, against=OTHER),
    budget=BudgetResult(
        profile="watch",
        checks=(
            BudgetCheck(
                quantity="size", limit=5e6, value=1.23e6, unit="bytes", status=BudgetStatus.MET, where="any machine"
            ),
            BudgetCheck(
                quantity="RAM", limit=1e5, value=float("nan"), unit="bytes", status=BudgetStatus.NOT_MEASURED, where=""
            ),
            BudgetCheck(
                quantity="precision",
                limit=8,
                value=32,
                unit="bits",
                status=BudgetStatus.MISSED,
                where="bits of the weights",
            ),
        ),
    ),
    energy=Energy(
        per_answer=measured(6.1, 5.0, 7.9, "mJ", THERE, n=0),
        battery=(
            BatteryLife(
                duty=Duty(name="continuous"), hours=measured(5.9, 5.8, 6.0, "h", THERE, n=0), mean_power_mw=186.0
            ),
            BatteryLife(
                duty=Duty(name="on demand", wakes_per_hour=6),
                hours=measured(4320, 4000, 4500, "h", THERE, n=0),
                mean_power_mw=0.5,
            ),
        ),
        lower_bound_mj=0.0159,
        source="estimated: a Cortex-M7 class part, not a watch",
    ),
    op_times=operations(),
)
RESULT = BenchResult(
    mode=Mode.FULL,
    machine="AMD EPYC, 2 cores",
    started="2026-11-21T10:00:00+00:00",
    versions={"onnxruntime": "1.31.1"},
    seed=0,
    data="drawn with seed 0",
    profile="watch",
    against="files/1-float.onnx",
    rows=(ROW, ROW.model_copy(update={"threads": 2, "op_times": OpTimes(reason="LiteRT does not tell")})),
    sentence="Ship files/2-int8.onnx in onnxruntime with 1 thread.",
    notes=("a note",),
)


def shown(result: BenchResult) -> str:
    console = Console(file=StringIO(), width=240, color_system=None)
    print_bench(result, console)
    assert isinstance(console.file, StringIO)
    return re.sub(r"\s+", " ", console.file.getvalue())


@pytest.mark.parametrize(
    "words",
    [
        "files/2-int8.onnx · onnxruntime · 1 thread",
        "files/2-int8.onnx · onnxruntime · 2 threads",
        "MLPerf-style single stream; rows: drawn with seed 0; onnxruntime 1.31.1",
        "1.23 ms",
        "1.21 ms – 1.26 ms",
        "hard (< 10 ms)",
        "In turn with files/1-float.onnx",
        "1.87 100 onnxruntime 1.31.1, 1 thread, AMD EPYC, 2 cores openvino 2026.4.1, 2 threads, AMD EPYC, 2 cores",
        "1.81 – 1.92",
        "52,345",
        "31.0 µs",
        "812 ms",
        "790 ms – 903 ms",
        "76.5 MB",
        "1,200 – 1,260, batches of 32",
        "RAM 100 KB – not measured on the device",
        "precision 8 bits 32 bits missed bits of the weights",
        "6.1 mJ 5.9 h 180 days 15.9 µJ",
        "5 mJ – 7.9 mJ, estimated 5.8 h – 6.0 h, estimated 167 days – 188 days, estimated Horowitz, 45 nm",
        "relative lower bound",
        "energy estimated: a Cortex-M7 class part, not a watch.",
        "node 3 Conv 0.300 ms 50.0 %",
        "operations 0.600 ms of 0.700 ms, means of 50 rows, profiler included",
        "2 threads: LiteRT does not tell.",
        "Ship files/2-int8.onnx in onnxruntime with 1 thread.",
        "• a note",
    ],
)
def test_the_terminal_shows_every_number_in_its_unit(words: str) -> None:
    assert words in shown(RESULT)


def test_a_file_s_energy_is_shown_once_however_often_it_was_timed() -> None:
    assert shown(RESULT).count("6.1 mJ") == 1


def test_a_row_that_was_not_measured_has_dashes() -> None:
    bare = {
        "stream": None,
        "throughput": None,
        "cold_start": None,
        "memory_peak": None,
        "versus": None,
        "energy": None,
    }
    row = ROW.model_copy(update=bare | {"budget": None, "op_times": None, "reason": "it broke"})
    text = shown(RESULT.model_copy(update={"rows": (row,)}))
    assert "int8 1.23 MB – – – – – Ship" in text


def test_flash_and_ram_stand_where_they_are_known() -> None:
    footprint = Footprint(flash_bytes=18_400, static_bytes=9_000, stack_bytes=300, instructions=9, where="board")
    row = ROW.model_copy(update={"footprint": footprint, "stream": None})
    row = row.model_copy(update={"stored_bytes": 15_900})
    text = shown(RESULT.model_copy(update={"rows": (row,)}))
    assert "15.9 KB stored" in text
    assert "18.4 KB 9.30 KB 300 B 9 – board" in text
    arena = ROW.model_copy(update={"runtime": "tflite-micro", "arena_bytes": 5432})
    assert "– – – – 5.43 KB tflite-micro on this machine" in shown(RESULT.model_copy(update={"rows": (arena,)}))


def test_a_measured_energy_does_not_say_estimated() -> None:
    assert joules(measured(0.0381, 0.0381, 0.0381, "mJ", n=100)) == "38.1 µJ\nmeasured, n = 100"
    assert joules(None) == battery_life(None) == "–"


def test_a_quick_look_does_not_call_itself_mlperf_style() -> None:
    assert "quick look" in shown(RESULT.model_copy(update={"mode": Mode.QUICK}))


def test_bars_are_the_operations_and_the_rest_is_one_of_them() -> None:
    figure = op_figure(operations(MOST_BARS + 5))
    bars = figure["data"][0]
    assert len(bars["x"]) == MOST_BARS + 1
    assert bars["x"][0] == pytest.approx(2.5)
    assert bars["x"][-1] == pytest.approx(0.1 + 0.2 + 0.3 + 0.4 + 0.5)
    assert figure["layout"]["yaxis"]["ticktext"][-1] == "5 others"
    assert sum(float(text.rstrip("%")) for text in bars["text"]) == pytest.approx(100, abs=1.5)


def test_the_page_has_the_sentence_the_table_and_a_chart_and_asks_nobody() -> None:
    page = render_bench(RESULT)
    assert '<h1 id="ship">Ship files/2-int8.onnx in onnxruntime with 1 thread.</h1>' in page
    for words in ("1.23 ms", "hard (&lt; 10 ms)", "estimated", "LiteRT does not tell"):
        assert words in page
    data = re.search(r'<script type="application/json" id="ops-data">(.*?)</script>', page)
    assert data is not None
    assert [len(figure["data"][0]["x"]) for figure in json.loads(data[1])] == [3]
    assert page.count('class="plot ops-plot"') == 1
    assert "default-src 'none'" in page
    head = page[: page.index("<script>")]
    assert not re.search(r'(src|href)="(?!#|data:)', head)


def full() -> BenchResult:
    """Also a board that was played and a file that was not measured: neither has a stream."""
    board = Footprint(
        flash_bytes=18_400, static_bytes=9_000, stack_bytes=300, instructions=98_765, where="QEMU mps2-an386"
    )
    nothing = {
        "stream": None,
        "throughput": None,
        "cold_start": None,
        "memory_peak": None,
        "versus": None,
        "op_times": None,
    }
    played = ROW.model_copy(
        update=nothing | {"file": "net.c", "runtime": "c", "device": "cortex-m4", "footprint": board}
    )
    broken = ROW.model_copy(
        update=nothing | {"file": "bad.tflite", "budget": None, "energy": None, "reason": "it broke"}
    )
    stands = ROW.model_copy(update={"file": "net.mlpackage", "caveat": "graph checked, never run on Apple hardware"})
    return RESULT.model_copy(update={"rows": (*RESULT.rows, played, broken, stands)})


def test_the_page_has_every_table_and_every_row_of_the_terminal() -> None:
    page = re.sub(r"<[^>]+>|\s+", " ", render_bench(full()))
    titles = [table.title for table in tables(full())]
    assert titles == [
        "Whole answers, one after the other",
        "Medians of the parts of an answer",
        "Cold start: a fresh process, its disk's cache warm",
        "In turn with files/1-float.onnx",
        "On a microcontroller",
        "The limits of watch",
        "Energy on watch",
    ]
    for table in tables(full()):
        assert escape(table.title).replace("&#x27;", "&#39;") in page
        for cell in (cell for row in table.rows for cell in row):
            for line in cell.lower().split("\n"):
                assert escape(line).replace("&#x27;", "&#39;") in page.lower()
    assert [row[0].partition(" ")[0] for row in tables(full())[0].rows] == [
        "files/2-int8.onnx",
        "files/2-int8.onnx",
        "net.c",
        "bad.tflite",
        "net.mlpackage",
    ]
    for words in (
        "18.4 KB",
        "98,765",
        "QEMU mps2-an386",
        "graph checked, never run on Apple hardware",
        "1.87",
        "812 ms",
    ):
        assert words in page


def test_a_place_says_runtime_version_threads_and_machine() -> None:
    assert where(HERE) == "onnxruntime 1.31.1, 1 thread, AMD EPYC, 2 cores"
    assert where(Place(machine="board", runtime="c")) == "c, board"
    lite = Place(machine="here", runtime="litert", versions={"ai-edge-litert": "2.3.0"}, threads=2)
    assert where(lite) == "litert, ai-edge-litert 2.3.0, 2 threads, here"


def test_without_operations_the_page_carries_no_script() -> None:
    page = render_bench(RESULT.model_copy(update={"rows": (ROW.model_copy(update={"op_times": None}),)}))
    assert "<script" not in page


def test_hostile_names_stay_text() -> None:
    evil = "</script><script>alert(1)</script>"
    ops = OpTimes(ops=(OpTime(name=evil, op=evil, milliseconds=1.0, share=1.0),), whole_ms=1.0, runs=1)
    row = ROW.model_copy(update={"file": evil, "op_times": ops})
    page = render_bench(RESULT.model_copy(update={"rows": (row,), "sentence": evil, "notes": (evil,), "data": evil}))
    assert evil not in page
    assert "<script>alert" not in page
    label = op_figure(ops)["layout"]["yaxis"]["ticktext"][0]
    assert "<" not in label
