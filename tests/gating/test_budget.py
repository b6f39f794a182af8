from math import isnan

import pytest

from galenic.gating.budget import check_budget
from galenic.record.errors import InputError
from galenic.record.profile import BudgetStatus, Profile

HOST = Profile(name="mine", summary="", device="host", size_bytes=1_000_000, p90_ms=10, memory_mb=100)
WATCH = HOST.model_copy(update={"name": "watch", "device": "watch"})


def statuses(profile, **changes):
    measured = {"size_bytes": 999_999, "p90_ms": 9.5, "memory_mb": 99.0, "where": "Xeon, 2 cores"} | changes
    return {check.quantity: check.status for check in check_budget(profile, **measured).checks}


def test_the_hosts_own_numbers_judge_the_hosts_budget():
    assert set(statuses(HOST).values()) == {BudgetStatus.MET}
    assert statuses(HOST, p90_ms=10.0)["p90 latency"] is BudgetStatus.MET
    assert statuses(HOST, p90_ms=10.01)["p90 latency"] is BudgetStatus.MISSED
    assert statuses(HOST, memory_mb=101.0)["peak memory"] is BudgetStatus.MISSED


@pytest.mark.parametrize("p90_ms", [0.1, 9.5, 500.0])
def test_a_host_number_never_judges_another_device(p90_ms):
    found = statuses(WATCH, p90_ms=p90_ms)
    assert found["p90 latency"] is BudgetStatus.NOT_MEASURED
    assert found["peak memory"] is BudgetStatus.NOT_MEASURED
    assert found["size"] is BudgetStatus.MET


def test_a_runtime_that_only_stands_for_the_devices_judges_no_time():
    found = statuses(HOST, caveat="graph checked, never run on Apple hardware")
    assert found == statuses(WATCH)


def test_size_is_the_same_everywhere_and_the_hosts_value_is_shown():
    result = check_budget(WATCH, size_bytes=1_000_001, p90_ms=3.5, memory_mb=42.0, where="Xeon, 2 cores")
    assert result.missed
    assert [(c.value, c.unit, c.where) for c in result.checks] == [
        (1_000_001, "bytes", "any machine"),
        (3.5, "ms", "Xeon, 2 cores"),
        (42.0, "MB", "Xeon, 2 cores"),
    ]


def test_what_is_not_limited_is_not_checked():
    only_time = Profile(name="fast", summary="", device="host", p90_ms=10)
    assert list(statuses(only_time)) == ["p90 latency"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(InputError, match="p90 latency"):
        statuses(HOST, p90_ms=value)


def test_what_was_measured_on_the_device_itself_judges_its_budget():
    found = statuses(WATCH, device="watch")
    assert set(found.values()) == {BudgetStatus.MET}
    assert statuses(WATCH, device="phone")["p90 latency"] is BudgetStatus.NOT_MEASURED
    assert statuses(HOST, device="watch")["p90 latency"] is BudgetStatus.NOT_MEASURED


def test_flash_and_ram_are_those_of_the_linked_program_wherever_it_was_linked():
    chip = Profile(name="chip", summary="", device="chip", flash_bytes=1000, ram_bytes=500)
    assert statuses(chip, flash_bytes=1000, ram_bytes=501) == {"flash": BudgetStatus.MET, "RAM": BudgetStatus.MISSED}
    assert set(statuses(chip).values()) == {BudgetStatus.NOT_MEASURED}


def test_a_limit_that_nothing_was_measured_for_stands_there_without_a_value():
    measured = {"size_bytes": 1, "p90_ms": None, "memory_mb": 5.0, "where": "here"}
    latency = check_budget(HOST, **measured).checks[1]
    assert latency.status is BudgetStatus.NOT_MEASURED
    assert isnan(latency.value)
