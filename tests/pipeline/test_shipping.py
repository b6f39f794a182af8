"""Which file is named to ship: the fastest of those that may, and in which words nobody is named."""

from __future__ import annotations

import pytest

from galenic.pipeline.shipping import fits, shipping_sentence
from galenic.record.bench import BenchRow, RealTime, Stream
from galenic.record.measurement import Breakdown, Footprint, Latency
from galenic.record.profile import BudgetCheck, BudgetResult, BudgetStatus, Profile

HOST = Profile(name="host", summary="", device="host", p90_ms=10)
WATCH = Profile(name="watch", summary="", device="watch", runtimes=("litert", "onnxruntime"))


def row(file: str, p90: float, **changes: object) -> BenchRow:
    spread = changes.pop("spread", 0.01)
    latency = Latency(p50=p90, p90=p90, p99=p90, runs=1024, threads=1, where="here")
    stream = Stream(
        latency=latency,
        p90_low=p90 * (1 - spread),
        p90_high=p90 * (1 + spread),
        breakdown=Breakdown(preprocessing=0, inference=p90, postprocessing=0),
        seconds=60,
        real_time=RealTime.HARD,
    )
    base = {"runtime": "onnxruntime", "precision": "int8", "threads": 1, "device": "cpu", "sha256": file * 64}
    made = BenchRow(file=file, **base, size_bytes=1, macs=1, parameters=1, stream=stream)
    return made.model_copy(update=changes)


def checked(status: BudgetStatus) -> BudgetResult:
    return BudgetResult(
        profile="p",
        checks=(BudgetCheck(quantity="size", limit=1, value=1, unit="bytes", status=status, where="any machine"),),
    )


MISSED, KEPT = checked(BudgetStatus.MISSED), checked(BudgetStatus.MET)


def test_the_lowest_p90_is_named_and_quality_is_said_to_be_unknown() -> None:
    said = shipping_sentence([row("a", 2.0), row("b", 1.0, threads=2), row("c", 3.0)], None, judged=False)
    assert said == (
        "Ship b in onnxruntime with 2 threads: its p90 is 1.00 ms, the lowest here of 3. "
        "Of their quality nothing is known here: give the run's report.json (--report)."
    )


def test_only_what_keeps_the_profile_and_passed_the_gate_is_named() -> None:
    rows = [
        row("a", 1.0, budget=MISSED, gated=True),
        row("b", 2.0, budget=KEPT, gated=False),
        row("c", 4.0, budget=KEPT, gated=True),
        row("d", 3.0, budget=KEPT, gated=True),
    ]
    assert shipping_sentence(rows, HOST, judged=True) == (
        "Ship d in onnxruntime with 1 thread: its p90 is 3.00 ms, the lowest here of the 2 that fit host and passed the gate."
    )
    assert "the only one that fits host and passed the gate." in shipping_sentence(rows[:3], HOST, judged=True)


def test_a_file_with_a_caveat_is_never_named() -> None:
    mac = row("a", 0.1, caveat="graph checked, never run on Apple hardware")
    assert shipping_sentence([mac, row("b", 5.0)], None, judged=False).startswith("Ship b ")
    assert shipping_sentence([mac], None, judged=False).startswith(
        "No file can be named: none was timed in the runtime"
    )
    assert shipping_sentence([mac.model_copy(update={"gated": True})], None, judged=True).startswith(
        "No file can be named"
    )


def test_a_runtime_that_the_device_does_not_have_does_not_fit() -> None:
    rows = [row("a", 1.0, runtime="openvino", budget=KEPT), row("b", 2.0, budget=KEPT)]
    assert [fits(one, WATCH) for one in rows] == [False, True]
    said = shipping_sentence(rows, WATCH, judged=False)
    assert said.startswith("Ship b in onnxruntime")
    assert said.endswith("This is about this machine: on watch nothing was timed.")


def test_files_that_the_measurement_does_not_tell_apart_are_said() -> None:
    said = shipping_sentence(
        [row("a", 1.00, spread=0.03), row("b", 1.05, spread=0.03), row("c", 2.0)], None, judged=False
    )
    assert "What was measured does not tell it from b in onnxruntime with 1 thread." in said


@pytest.mark.parametrize(
    ("rows", "profile", "judged", "words"),
    [
        ([row("a", 1.0, budget=MISSED)], HOST, False, "of those timed here none is within what host allows"),
        ([row("a", 1.0, gated=False)], None, True, "the given report's gate passed none of those that fit"),
        ([row("a", 1.0, stream=None, reason="it broke")], None, False, "none was timed"),
    ],
)
def test_why_nobody_is_named(rows: list[BenchRow], profile: Profile | None, judged: bool, words: str) -> None:
    assert words in shipping_sentence(rows, profile, judged)


def test_a_linked_program_that_keeps_its_flash_and_ram_is_said_where_nothing_can_be_named() -> None:
    chip = Profile(name="chip", summary="", device="chip", runtimes=("c",), flash_bytes=10)
    footprint = Footprint(flash_bytes=5, static_bytes=1, stack_bytes=1, instructions=9, where="board")
    linked = row("n.c", 1.0, runtime="c", caveat="compiled for this machine", footprint=footprint, budget=KEPT)
    said = shipping_sentence([linked], chip, judged=False)
    assert said.endswith("n.c in c fits in the flash and RAM of chip; its time there was not measured.")
    missed = linked.model_copy(update={"budget": MISSED})
    assert "fits in" not in shipping_sentence([missed], chip, judged=False)


def test_one_file_alone_has_nobody_to_be_compared_with() -> None:
    said = shipping_sentence([row("a", 1.0)], None, judged=False)
    assert "its p90 is 1.00 ms, and there was no other file to compare it with." in said
