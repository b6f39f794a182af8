from math import isnan
from pathlib import Path

import pytest

from galenic.gating.budget import (
    Timed,
    accuracy_floor,
    check_budget,
    keeps_size_and_precision,
    most_bits,
    stored_size,
    weight_bits,
)
from galenic.gating.profiles import load_profile
from galenic.record.artifact import Artifact
from galenic.record.errors import InputError
from galenic.record.gate import CheckKind, GateCheck, GateResult, Verdict
from galenic.record.measurement import Footprint
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.profile import BudgetStatus, Profile

HOST = Profile(name="mine", summary="", device="host", size_bytes=1_000_000, p90_ms=10, memory_mb=100)
WATCH = HOST.model_copy(update={"name": "watch", "device": "watch"})
FILE = Artifact(
    path=Path("net.onnx"),
    runtime="onnxruntime",
    precision="float32",
    sha256="0" * 64,
    size_bytes=999_999,
    lineage=(),
    preprocessing=Preprocessing(modality=Modality.TABLE, raw_shape=(2,), scale=1.0, mean=(0.0, 0.0), std=(1.0, 1.0)),
    classes=("a", "b"),
)
HERE = Timed(p90_ms=9.5, memory_mb=99.0, where="Xeon, 2 cores")
MET, MISSED, UNKNOWN = BudgetStatus.MET, BudgetStatus.MISSED, BudgetStatus.NOT_MEASURED


def file(**changes):
    return FILE.model_copy(update=changes)


def linked(flash, ram=0):
    return Footprint(flash_bytes=flash, static_bytes=ram, stack_bytes=0, instructions=1, where="board")


def statuses(profile, timed=HERE, artifact=FILE, *, program=None):
    return {check.quantity: check.status for check in check_budget(profile, artifact, timed, program).checks}


def timed(**changes):
    return Timed(**({"p90_ms": 9.5, "memory_mb": 99.0, "where": "Xeon, 2 cores"} | changes))


def test_the_hosts_own_numbers_judge_the_hosts_budget():
    assert set(statuses(HOST).values()) == {MET}
    assert statuses(HOST, timed(p90_ms=10.01))["p90 latency"] is MISSED
    assert statuses(HOST, timed(memory_mb=101.0))["peak memory"] is MISSED


def test_under_a_limit_is_not_at_it():
    found = statuses(HOST, timed(p90_ms=10.0, memory_mb=100.0), file(size_bytes=1_000_000))
    assert set(found.values()) == {MISSED}
    assert set(statuses(HOST, timed(p90_ms=9.99, memory_mb=99.9)).values()) == {MET}


@pytest.mark.parametrize("p90_ms", [0.1, 9.5, 500.0])
def test_a_host_number_never_judges_another_device(p90_ms):
    found = statuses(WATCH, timed(p90_ms=p90_ms))
    assert found == {"size": MET, "p90 latency": UNKNOWN, "peak memory": UNKNOWN}


def test_a_runtime_that_only_stands_for_the_devices_judges_no_time():
    assert statuses(HOST, timed(caveat="graph checked, never run on Apple hardware")) == statuses(WATCH)


def test_size_is_the_same_everywhere_and_the_hosts_value_is_shown():
    result = check_budget(WATCH, file(size_bytes=1_000_001), timed(p90_ms=3.5, memory_mb=42.0))
    assert result.missed
    assert [(c.value, c.unit, c.where) for c in result.checks] == [
        (1_000_001, "bytes", "any machine"),
        (3.5, "ms", "Xeon, 2 cores"),
        (42.0, "MB", "Xeon, 2 cores"),
    ]


def test_what_is_not_limited_is_not_checked():
    assert list(statuses(Profile(name="fast", summary="", device="host", p90_ms=10))) == ["p90 latency"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(InputError, match="p90 latency"):
        statuses(HOST, timed(p90_ms=value))


def test_what_was_measured_on_the_device_itself_judges_its_budget():
    assert set(statuses(WATCH, timed(device="watch")).values()) == {MET}
    assert statuses(WATCH, timed(device="phone"))["p90 latency"] is UNKNOWN
    assert statuses(HOST, timed(device="watch"))["p90 latency"] is UNKNOWN


def test_flash_and_ram_are_those_of_the_linked_program_and_may_be_filled():
    chip = Profile(name="chip", summary="", device="chip", flash_bytes=1000, ram_bytes=500)
    assert statuses(chip, program=linked(1000, 500)) == {"flash": MET, "RAM": MET}
    assert statuses(chip, program=linked(1001, 501)) == {"flash": MISSED, "RAM": MISSED}
    assert set(statuses(chip).values()) == {UNKNOWN}


def test_a_c_file_is_as_large_as_its_program_or_what_it_stores_and_not_as_its_text():
    small = Profile(name="small", summary="", device="chip", size_bytes=5_000_000)
    text = file(size_bytes=6_600_000, precision="int8")
    assert statuses(small, artifact=text)["size"] is MISSED
    stored = text.model_copy(update={"stored_bytes": 1_500_000})
    (known,) = check_budget(small, stored, HERE).checks
    assert (known.value, known.status) == (1_500_000, MET)
    assert known.where.startswith("weights and tables")
    (program,) = check_budget(small, stored, HERE, linked(1_600_000)).checks
    assert (program.value, program.status, program.where) == (
        1_600_000,
        MET,
        "the program as it is linked for the device",
    )
    assert stored_size(text) == (6_600_000, "any machine")


@pytest.mark.parametrize(
    ("precision", "bits"),
    [
        ("float32", 32),
        ("float16", 16),
        ("bfloat16", 16),
        ("int8", 8),
        ("w4a8", 4),
        ("dynamic-int8", 8),
        ("weights-int4", 4),
        ("as given", None),
    ],
)
def test_a_precision_is_the_bits_of_its_weights(precision, bits):
    assert weight_bits(precision) == bits


def test_a_float_file_misses_a_watch_however_small_it_is():
    watch, phone = load_profile("watch"), load_profile("phone")
    assert (most_bits(watch), most_bits(phone), most_bits(load_profile("host"))) == (8, 8, None)
    four_megabytes = file(size_bytes=4_000_000)
    assert statuses(watch, artifact=four_megabytes)["precision"] is MISSED
    assert statuses(watch, artifact=four_megabytes)["size"] is MET
    assert statuses(watch, artifact=file(precision="w4a8"))["precision"] is MET
    assert statuses(phone, artifact=file(precision="int8"))["precision"] is MET
    assert statuses(phone, artifact=file(precision="float16"))["precision"] is MISSED
    assert statuses(watch, artifact=file(precision="as given"))["precision"] is UNKNOWN
    assert not keeps_size_and_precision(watch, four_megabytes)
    assert keeps_size_and_precision(watch, file(precision="as given"))
    assert not keeps_size_and_precision(watch, file(precision="int8", size_bytes=5_000_000))


def gate(**changes):
    check = GateCheck(
        endpoint="accuracy",
        kind=CheckKind.FLOOR,
        limit=0.95,
        value=0.97,
        low=0.96,
        high=0.98,
        n=900,
        method="Wilson",
        verdict=Verdict.PASS,
        reason="",
    ).model_copy(update=changes)
    return GateResult(
        verdict=Verdict.PASS, alpha=0.025, checks=(check,), reference_sha256="r", artifact_sha256="a", split_hash="s"
    )


def test_an_accuracy_that_no_gate_was_asked_for_stands_in_the_budget():
    retina = load_profile("poc-retina")
    check = check_budget(retina, FILE, HERE).checks[-1]
    assert (check.quantity, check.limit, check.unit, check.status) == ("accuracy, at least", 95.0, "%", UNKNOWN)
    assert isnan(check.value)
    assert "[gate.floors] accuracy = 0.95" in check.where
    judged = check_budget(retina, FILE, HERE, accuracy_judged=accuracy_floor(gate()))
    assert [one.quantity for one in judged.checks] == ["p90 latency"]
    lower = check_budget(retina, FILE, HERE, accuracy_judged=accuracy_floor(gate(limit=0.9)))
    assert lower.checks[-1].status is UNKNOWN
    assert accuracy_floor(gate(kind=CheckKind.MARGIN)) == accuracy_floor(gate(endpoint="auc")) == 0.0


def test_a_limit_that_nothing_was_measured_for_stands_there_without_a_value():
    latency = check_budget(HOST, FILE, Timed(p90_ms=None, memory_mb=5.0, where="here")).checks[1]
    assert latency.status is UNKNOWN
    assert isnan(latency.value)
