"""Energy of one answer and the life of a battery, estimated from what was measured on parts of the device's class.

    E         = MACs x nJ per MAC                                   energy of one answer on the device, mJ = MACs x nJ x 1e-6
    t         = E / active power                                    what an answer takes there, s = mJ / mW
    busy      = wakes per hour x answers per wake x t / 3600 s      the share of time in which the device computes, at most 1
    mean      = base power + busy x active power                    mW; busy = 1 where it answers all the time
    hours     = battery x 1000 / mean                               h = Wh x 1000 / mW
All of these say ``estimated``. This machine's latency times another device's power is never formed: t is the device's own.
What was measured on the device itself takes the place of E and is not an estimate; a battery life is one in any case,
since the duty is only assumed.

Horowitz (ISSCC 2014, 45 nm, 0.9 V): int8 multiply 0.2 pJ, add 0.03; float16 1.1 and 0.4; float32 3.7 and 0.9; DRAM 1300 to
2600 pJ per 64 bits. Arithmetic, and every weight read once from DRAM, is a relative lower bound: it says which of two files
moves less charge, and its arithmetic understates a microcontroller by three to four powers of ten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose

from galenic.record.artifact import Artifact
from galenic.record.bench import BatteryLife, DeviceMeasurement, Duty, Energy
from galenic.record.errors import InputError
from galenic.record.measurement import Measurement, Place
from galenic.record.profile import Power, Profile

CONTINUOUS = Duty(name="continuous")
BATCHED = Duty(name="batched", wakes_per_hour=1, answers_per_wake=60)
EVENTS_PER_HOUR = 6.0
"""Of the trigger in the duty ``on demand``, where nothing else is said."""

MAC_PJ: Mapping[str, float] = {"int8": 0.2 + 0.03, "float16": 1.1 + 0.4, "float32": 3.7 + 0.9}
"""A multiply and an add of Horowitz's table, pJ."""
DRAM_PJ_PER_BYTE = 1300 / 8
HOUR_S = 3600
QUANTITIES = ("energy_mj", "active_power_mw", "p90_ms", "memory_mb")
"""What a DeviceMeasurement may hold."""


def duties(events_per_hour: float = EVENTS_PER_HOUR) -> tuple[Duty, ...]:
    """All the time; sixty answers once an hour; one answer whenever an event trigger asks for it.

    Raises:
        InputError: the number of events is not above zero.
    """
    if not 0 < events_per_hour < float("inf"):
        raise InputError(f"{events_per_hour:g} events an hour", "a number above 0", "give for instance 6")
    return CONTINUOUS, BATCHED, Duty(name="on demand", wakes_per_hour=events_per_hour)


def energy_of(
    artifact: Artifact,
    profile: Profile,
    given: DeviceMeasurement | None = None,
    events_per_hour: float = EVENTS_PER_HOUR,
) -> Energy:
    """The energy of one answer of ``artifact`` on the profile's device, and how long its battery lasts.

    Args:
        artifact: whose MACs and hash are used.
        profile: what its device has for energy.
        given: what was measured of this very file on that device, if anything was.
        events_per_hour: of the trigger.
    """
    power = profile.power
    bound = lower_bound_mj(artifact.macs, artifact.parameters, artifact.precision)
    if given is not None and given.energy_mj is not None:
        answer = _measured(given, artifact)
        source = f"measured on {given.device}: {given.method}"
    else:
        missing = _missing(artifact, profile)
        if power is None or missing:
            return Energy(lower_bound_mj=bound, reason=missing)
        answer = _estimated(artifact, profile, power)
        source = f"estimated: {power.source}{_other_numbers(artifact)}"
    active_mw = (given.active_power_mw if given else None) or (power.active_power_mw if power else None)
    if power is None or power.battery_wh is None or active_mw is None:
        reason = (
            f"the profile {profile.name} says nothing of {'a battery' if active_mw else 'the power while computing'}"
        )
        return Energy(per_answer=answer, lower_bound_mj=bound, source=source, reason=reason)
    battery, too_often = [], []
    for duty in duties(events_per_hour):
        life = battery_life(duty, answer, power.battery_wh, active_mw, power.base_power_mw, profile.device)
        if life is None:
            too_often.append(duty.name)
        else:
            battery.append(life)
    reason = f"{profile.device} cannot answer as often as: {', '.join(too_often)}" if too_often else ""
    return Energy(per_answer=answer, battery=tuple(battery), lower_bound_mj=bound, source=source, reason=reason)


def answer_mj(macs: int, nj_per_mac: float) -> float:
    """MACs x nJ per MAC, in mJ."""
    return macs * nj_per_mac * 1e-6


def busy_share(duty: Duty, energy_mj: float, active_mw: float) -> float:
    """The share of time in which the device computes; above 1 where it cannot answer that often."""
    if duty.wakes_per_hour is None:
        return 1.0
    return duty.wakes_per_hour * duty.answers_per_wake * (energy_mj / active_mw) / HOUR_S


def battery_life(
    duty: Duty, answer: Measurement, battery_wh: float, active_mw: float, base_mw: float, device: str
) -> BatteryLife | None:
    """How long the battery lasts, from the energy of one answer and its interval; None where the device is too slow for it."""
    if busy_share(duty, answer.value, active_mw) > 1:
        return None

    def mean_mw(energy_mj: float) -> float:
        return base_mw + min(busy_share(duty, energy_mj, active_mw), 1.0) * active_mw

    hours, low, high = (battery_wh * 1000 / mean_mw(mj) for mj in (answer.value, answer.high, answer.low))
    place = Place(machine=device, runtime=answer.place.runtime if answer.place else "", estimated=True, device=device)
    found = Measurement(value=hours, unit="h", low=low, high=high, n=0, place=place)
    return BatteryLife(duty=duty, hours=found, mean_power_mw=mean_mw(answer.value))


def lower_bound_mj(macs: int, parameters: int, precision: str) -> float | None:
    """Horowitz's arithmetic and one reading of every weight from DRAM, mJ; None where MACs or the precision are not known."""
    if not macs or precision not in MAC_PJ:
        return None
    weight_bytes = {"int8": 1, "float16": 2, "float32": 4}[precision]
    return (macs * MAC_PJ[precision] + parameters * weight_bytes * DRAM_PJ_PER_BYTE) * 1e-9


def device_measurement(
    given: Sequence[DeviceMeasurement], artifact: Artifact, profile: Profile, threads: int = 1
) -> DeviceMeasurement | None:
    """What was measured of this file in its runtime with so many threads on the profile's device; None where nothing was.

    Several measurements become one with the quantities of all: it rests on the fewest answers of any, and names every method.

    Raises:
        InputError: two of them say different things of one quantity.
    """
    fitting = [one for one in given if is_about(one, artifact.sha256, artifact.runtime, threads, profile.device)]
    if not fitting:
        return None
    found: dict[str, float | int | str] = {}
    for key in QUANTITIES:
        values = [value for one in fitting if (value := getattr(one, key)) is not None]
        if values and not isclose(min(values), max(values)):
            raise InputError(
                given=f"{key} of {artifact.path.name} in {artifact.runtime} on {profile.device} as {values}",
                expected="one value of a quantity for each file, runtime, number of threads and device",
                todo="keep the one that counts",
            )
        found |= {key: values[0]} if values else {}
    found["runs"] = min(one.runs for one in fitting)
    found["method"] = "; ".join(dict.fromkeys(one.method for one in fitting))
    return fitting[0].model_copy(update=found)


def is_about(given: DeviceMeasurement, sha256: str, runtime: str, threads: int, device: str) -> bool:
    """Whether a measurement is of this file, run like this, on this device."""
    return (given.sha256, given.runtime, given.threads, given.device) == (sha256, runtime, threads, device)


def _missing(artifact: Artifact, profile: Profile) -> str:
    """Why nothing can be estimated; empty where it can be."""
    if profile.power is None or profile.power.nj_per_mac is None:
        return f"no measured energy per multiply-accumulate is known for {profile.name}: measure it on the device (--measured)"
    if not artifact.macs:
        return "the file's card does not say how many multiply-accumulates it does"
    return ""


def _other_numbers(artifact: Artifact) -> str:
    """MLPerf Tiny's nets are INT8, and a microcontroller takes longer for floats."""
    return f"; it is that of INT8 nets, and this file is {artifact.precision}" if "float" in artifact.precision else ""


def _estimated(artifact: Artifact, profile: Profile, power: Power) -> Measurement:
    assert power.nj_per_mac is not None
    ends = (power.nj_per_mac, power.nj_per_mac_low or power.nj_per_mac, power.nj_per_mac_high or power.nj_per_mac)
    value, low, high = (answer_mj(artifact.macs, nj) for nj in ends)
    place = Place(machine=profile.device, runtime=artifact.runtime, estimated=True, device=profile.device)
    return Measurement(value=value, unit="mJ", low=low, high=high, n=0, place=place)


def _measured(given: DeviceMeasurement, artifact: Artifact) -> Measurement:
    assert given.energy_mj is not None
    place = Place(machine=given.device, runtime=artifact.runtime, device=given.device)
    mj = given.energy_mj
    return Measurement(value=mj, unit="mJ", low=mj, high=mj, n=given.runs, place=place)
