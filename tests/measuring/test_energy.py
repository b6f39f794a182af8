"""Energies and battery lives by hand, what is an estimate and what is not, and what cannot be said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.gating.profiles import load_profile
from galenic.measuring.energy import (
    BATCHED,
    CONTINUOUS,
    answer_mj,
    battery_life,
    busy_share,
    device_measurement,
    duties,
    energy_of,
    lower_bound_mj,
)
from galenic.record.bench import DeviceMeasurement, Duty
from galenic.record.errors import InputError
from galenic.record.measurement import Measurement, Place
from galenic.record.profile import Power, Profile

POWER = Power(
    source="a datasheet",
    battery_wh=0.5,
    base_power_mw=2.0,
    active_power_mw=40.0,
    nj_per_mac=3.0,
    nj_per_mac_low=0.5,
    nj_per_mac_high=4.0,
)
CHIP = Profile(name="chip", summary="", device="chip", power=POWER)
MEASURED = DeviceMeasurement(
    device="chip", sha256="a" * 64, runtime="onnxruntime", threads=1, method="a shunt, 10 s", runs=50, energy_mj=7.0
)


@pytest.fixture
def net(artifact):
    return artifact.model_copy(update={"macs": 10_000_000, "parameters": 1000, "precision": "int8", "sha256": "a" * 64})


def of(mj: float, low: float | None = None, high: float | None = None) -> Measurement:
    place = Place(machine="chip", runtime="c")
    return Measurement(value=mj, unit="mJ", low=low or mj, high=high or mj, n=0, place=place)


def test_an_answer_is_macs_times_nanojoules():
    assert answer_mj(12_500_000, 3.2) == pytest.approx(40.0)  # MLPerf Tiny's ResNet-8 on a Cortex-M4, portable kernels


def test_the_busy_share_by_hand():
    # 40 mJ at 40 mW is 1 s; 36 wakes of 10 answers are 360 s of an hour
    assert busy_share(Duty(name="d", wakes_per_hour=36, answers_per_wake=10), 40.0, 40.0) == pytest.approx(0.1)
    assert busy_share(CONTINUOUS, 40.0, 40.0) == 1.0
    assert busy_share(Duty(name="d", wakes_per_hour=3601), 40.0, 40.0) > 1


def test_a_battery_by_hand():
    # base 2 mW and a tenth of 40 mW are 6 mW: 0.6 Wh last 100 h; the ends with 20 and 80 mJ are 4 and 10 mW
    life = battery_life(Duty(name="d", wakes_per_hour=360), of(40.0, 20.0, 80.0), 0.6, 40.0, 2.0, "chip")
    assert life.mean_power_mw == pytest.approx(6.0)
    assert (life.hours.low, life.hours.value, life.hours.high) == pytest.approx((60.0, 100.0, 150.0))
    assert life.days == pytest.approx(100 / 24)
    assert life.hours.place.estimated


def test_all_the_time_is_the_active_power_whatever_an_answer_takes():
    assert battery_life(CONTINUOUS, of(1.0), 0.42, 40.0, 2.0, "chip").hours.value == pytest.approx(10.0)


def test_a_duty_that_the_device_is_too_slow_for_has_no_battery_life():
    assert battery_life(Duty(name="d", wakes_per_hour=3601), of(40.0), 1.0, 40.0, 0.0, "chip") is None


@settings(deadline=None)
@given(
    st.floats(0.001, 1e4),
    st.floats(0.1, 1e5),
    st.floats(0.01, 100),
    st.floats(0.1, 1e4),
    st.floats(0, 1e3),
    st.floats(1, 10),
)
def test_more_events_never_last_longer_and_all_the_time_is_the_shortest(mj, events, wh, active, base, more):
    rare = battery_life(Duty(name="d", wakes_per_hour=events), of(mj), wh, active, base, "chip")
    often = battery_life(Duty(name="d", wakes_per_hour=events * more), of(mj), wh, active, base, "chip")
    always = battery_life(CONTINUOUS, of(mj), wh, active, base, "chip")
    if often is not None:
        assert rare.hours.value >= often.hours.value >= always.hours.value * (1 - 1e-9)


def test_the_estimate_says_that_it_is_one_and_holds_the_classes_interval(net):
    found = energy_of(net, CHIP)
    answer = found.per_answer
    assert (answer.low, answer.value, answer.high) == pytest.approx((5.0, 30.0, 40.0))
    assert answer.place.estimated
    assert answer.place.machine == "chip"
    assert answer.n == 0
    assert found.source == "estimated: a datasheet"
    assert [life.duty.name for life in found.battery] == ["continuous", "batched", "on demand"]
    assert all(life.hours.place.estimated for life in found.battery)
    # one hour: 60 answers of 30 mJ are 1800 mJ / 3600 s = 0.5 mW
    assert found.battery[1].mean_power_mw == pytest.approx(2.5)
    assert found.battery[1].hours.value == pytest.approx(200.0)


def test_floats_are_said_to_be_no_int8(net):
    found = energy_of(net.model_copy(update={"precision": "float32"}), CHIP)
    assert found.source.endswith("it is that of INT8 nets, and this file is float32")


def test_what_was_measured_on_the_device_is_no_estimate(net):
    found = energy_of(net, CHIP, MEASURED)
    assert (found.per_answer.value, found.per_answer.n) == (7.0, 50)
    assert not found.per_answer.place.estimated
    assert found.source == "measured on chip: a shunt, 10 s"
    assert found.battery[0].hours.place.estimated  # since the duty is assumed


def test_a_measured_active_power_takes_the_profiles_place(net):
    found = energy_of(net, CHIP, MEASURED.model_copy(update={"active_power_mw": 98.0}))
    assert found.battery[0].mean_power_mw == pytest.approx(100.0)
    assert found.battery[0].hours.value == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("macs", "profile", "words"),
    [
        (0, CHIP, "card does not say how many"),
        (10, CHIP.model_copy(update={"power": None}), "no measured energy per multiply-accumulate is known for chip"),
        (10, load_profile("phone"), "no measured energy per multiply-accumulate is known for phone"),
    ],
)
def test_what_is_not_known_is_not_guessed(net, macs, profile, words):
    found = energy_of(net.model_copy(update={"macs": macs}), profile)
    assert found.per_answer is None
    assert found.battery == ()
    assert words in found.reason


def test_a_chip_without_a_battery_has_an_energy_all_the_same(net):
    found = energy_of(net, load_profile("cortex-m4"))
    assert found.per_answer.value == pytest.approx(32.0)
    assert found.battery == ()
    assert found.reason == "the profile cortex-m4 says nothing of a battery"


def test_what_the_device_cannot_do_is_named(net):
    # 30 mJ at 40 mW are 0.75 s an answer
    found = energy_of(net, CHIP, events_per_hour=5000)
    assert [life.duty.name for life in found.battery] == ["continuous", "batched"]
    assert found.reason == "chip cannot answer as often as: on demand"


def test_horowitz_by_hand():
    # 1000 int8 MACs of 0.23 pJ and 8 weights read at 1300 pJ for 8 bytes: 230 + 1300 pJ
    assert lower_bound_mj(1000, 8, "int8") == pytest.approx(1530e-9)
    # float32: 4.6 pJ, and the same weights are four times as many bytes
    assert lower_bound_mj(1000, 8, "float32") == pytest.approx((4600 + 5200) * 1e-9)
    assert lower_bound_mj(0, 8, "int8") is None
    assert lower_bound_mj(1000, 8, "as given") is None


def test_a_measurement_is_of_one_file_on_one_device(net):
    other = MEASURED.model_copy(update={"sha256": "b" * 64})
    elsewhere = MEASURED.model_copy(update={"device": "watch"})
    assert device_measurement([other, elsewhere, MEASURED], net, CHIP) == MEASURED
    assert device_measurement([other, elsewhere], net, CHIP) is None


def test_a_measurement_is_of_one_runtime_and_number_of_threads(net):
    assert device_measurement([MEASURED], net, CHIP, threads=2) is None
    assert device_measurement([MEASURED], net.model_copy(update={"runtime": "litert"}), CHIP) is None
    two = MEASURED.model_copy(update={"threads": 2, "energy_mj": 9.0})
    assert device_measurement([MEASURED, two], net, CHIP, threads=2) == two


def test_measurements_of_several_quantities_are_taken_together(net):
    times = MEASURED.model_copy(update={"method": "a timer", "runs": 20, "energy_mj": None, "p90_ms": 12.0})
    memory = times.model_copy(update={"p90_ms": None, "memory_mb": 3.5})
    found = device_measurement([times, MEASURED, memory], net, CHIP)
    assert (found.energy_mj, found.p90_ms, found.memory_mb, found.active_power_mw) == (7.0, 12.0, 3.5, None)
    assert (found.runs, found.method) == (20, "a timer; a shunt, 10 s")


@pytest.mark.parametrize("key", ["energy_mj", "active_power_mw", "p90_ms", "memory_mb"])
def test_two_values_of_one_quantity_are_a_conflict(net, key):
    one, same, other = (MEASURED.model_copy(update={key: value}) for value in (8.0, 8.0, 9.0))
    assert getattr(device_measurement([one, same], net, CHIP), key) == 8.0
    with pytest.raises(InputError, match=rf"{key} of dense.onnx in onnxruntime on chip as \[8.0, 9.0\]"):
        device_measurement([one, other], net, CHIP)


@pytest.mark.parametrize("events", [0.0, -1.0, float("inf"), float("nan")])
def test_a_trigger_that_never_comes_is_refused(events):
    with pytest.raises(InputError, match="events an hour"):
        duties(events)


def test_the_duties_are_these():
    assert duties(12.0) == (CONTINUOUS, BATCHED, Duty(name="on demand", wakes_per_hour=12.0))
