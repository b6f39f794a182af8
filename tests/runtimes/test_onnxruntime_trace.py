"""ONNX Runtime's trace by hand: what is counted, summed over runs, and named."""

from __future__ import annotations

import pytest

from galenic.runtimes.onnxruntime_trace import interquartile_mean, read_trace
from galenic.runtimes.profiled import op_table


def run(ts: int, dur: int) -> dict:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur}


def node(name: str, op: str, ts: int, dur: int) -> dict:
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": {"op_name": op}}


EVENTS = [
    {"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 9999},
    node("conv1", "Conv", 101, 900),  # the events of a run are written before it
    run(100, 950),
    node("conv1", "Conv", 2001, 60),
    node("head", "Gemm", 2070, 20),
    node("head", "Gemm", 2095, 10),  # twice in one run, as in a loop
    run(2000, 110),
    node("conv1", "Conv", 3001, 40),
    node("head", "Gemm", 3050, 10),
    run(3000, 70),
    node("conv1", "Conv", 4001, 5000),
    node("head", "Gemm", 9010, 12),
    run(4000, 5050),
    node("conv1", "Conv", 10_001, 50),
    node("head", "Gemm", 10_060, 14),
    run(10_000, 90),
]


def test_the_first_runs_are_left_out_and_the_middle_half_of_the_others_counts():
    found = read_trace(EVENTS, warmup=1)
    assert (found.runs, found.statistic) == (4, "interquartile mean")
    assert [(one.name, one.op) for one in found.ops] == [("conv1", "Conv"), ("head", "Gemm")]
    # 60, 40, (interrupted) 5000 and 50 us; 20 + 10, 10, 12 and 14 us
    assert [one.milliseconds for one in found.ops] == pytest.approx([0.055, 0.013])
    assert [one.share for one in found.ops] == pytest.approx([55 / 68, 13 / 68])
    assert found.whole_ms == pytest.approx(0.100)


def test_the_middle_half_by_hand():
    assert interquartile_mean([9.0, 1.0, 2.0, 100.0]) == 5.5
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0  # a quarter of three is none
    assert interquartile_mean([7.0]) == 7.0


def test_a_trace_without_a_run_is_a_reason():
    assert read_trace(EVENTS, warmup=5).reason == "ONNX Runtime's profiler saw no inference"


def test_without_a_whole_it_is_the_sum_and_nothing_at_all_divides_by_nothing():
    found = op_table({("a", "A"): 1.0, ("b", "B"): 3.0}, runs=2, statistic="mean")
    assert (found.whole_ms, [one.name for one in found.ops]) == (4.0, ["b", "a"])
    assert op_table({("a", "A"): 0.0}, runs=2, statistic="mean").ops[0].share == 0.0
