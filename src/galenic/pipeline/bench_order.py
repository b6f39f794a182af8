"""What ``galenic bench`` is asked for, and all of what that names read and checked before anything is timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from galenic.gating.budget import accuracy_floor
from galenic.gating.profiles import load_profile
from galenic.measuring.energy import EVENTS_PER_HOUR, device_measurement, duties
from galenic.measuring.rows import drawn_rows
from galenic.pipeline.bench_files import Target, artifact_at, read_measurement, targets
from galenic.record.artifact import Artifact
from galenic.record.bench import DeviceMeasurement, Mode
from galenic.record.errors import InputError, RecipeError
from galenic.record.gate import Verdict
from galenic.record.profile import Power, Profile
from galenic.record.report import Report
from galenic.record.task import TaskKind
from galenic.reporting.json_report import read_report
from galenic.runtimes.check import CPU
from galenic.runtimes.place import available_cores
from galenic.tasks.load import load_task

ROWS = 64
ALL = "all"
THREADS = {Mode.FULL: ("1", ALL), Mode.QUICK: ("1",)}
"""What is timed where nothing is said; a quick look is at one thread."""


@dataclass(frozen=True)
class BenchOrder:
    """What is to be measured.

    Attributes:
        files: with their cards beside them or inside.
        runtimes: to time each file in; its card's own where empty.
        threads: numbers, or ``all`` for the cores that this process may use; None is the mode's: one and all, or one alone.
        device: ``cpu``, ``gpu``, or a runtime's own name of one.
        mode: MLPerf-style, or quick.
        against: a file that every other one is timed in turn with.
        profile: a name, or a path to a TOML.
        data: a source of rows as ``galenic tasks`` lists them, whose validation rows are used; drawn rows where empty.
        reports: report.json files, whose gates say which files may be named.
        measured: JSON files with what was measured on the profile's device.
        events_per_hour: of the event trigger, for the life of a battery.
        battery_wh: instead of the profile's.
        ops: whether the time of every operation is asked for.
        seed: of drawn rows.
    """

    files: tuple[Path, ...]
    runtimes: tuple[str, ...] = ()
    threads: tuple[str, ...] | None = None
    device: str = CPU
    mode: Mode = Mode.FULL
    against: Path | None = None
    profile: str = ""
    data: str = ""
    reports: tuple[Path, ...] = ()
    measured: tuple[Path, ...] = ()
    events_per_hour: float = EVENTS_PER_HOUR
    battery_wh: float | None = None
    ops: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Bench:
    """An order with everything read that it names, before anything is timed."""

    order: BenchOrder
    targets: tuple[Target, ...]
    threads: tuple[int, ...]
    against: Artifact | None
    profile: Profile | None
    reports: tuple[Report, ...]
    measured: tuple[DeviceMeasurement, ...]

    @property
    def kind(self) -> TaskKind:
        """The task's, where a report says it."""
        return TaskKind(self.reports[0].task.kind) if self.reports else TaskKind.SINGLE_LABEL

    @cached_property
    def given_rows(self) -> np.ndarray | None:
        """The validation rows of ``data``."""
        return load_task(self.order.data).validation.inputs[:ROWS] if self.order.data else None

    def rows(self, artifact: Artifact) -> np.ndarray:
        """Raw rows for one file."""
        given = self.given_rows
        return drawn_rows(artifact.preprocessing, ROWS, self.order.seed) if given is None else given

    def accuracy_floor(self, artifact: Artifact) -> float:
        """The highest floor of accuracy that a report's gate judged this very file by; 0 without one."""
        gates = [report.gate for report in self.reports if report.gate.artifact_sha256 == artifact.sha256]
        return max(map(accuracy_floor, gates), default=0.0)

    @cached_property
    def gated(self) -> Mapping[tuple[str, str, str], bool]:
        """What answers -> whether a report's gate passed it; the trusted references have passed."""
        found = {}
        for report in self.reports:
            for one in report.candidates:
                passed = one.id == report.chosen and report.gate.verdict is Verdict.PASS
                trusted = one.sha256 == report.reference.sha256 and one.runtime == report.reference.runtime
                found[one.sha256, one.runtime, one.precision] = passed or trusted
        return found


def prepared(order: BenchOrder) -> Bench:
    """Read everything that an order names.

    Raises:
        InputError: a file, its card, a number of threads or a measurement cannot be used, or two measurements disagree.
        RecipeError: an unknown profile or runtime.
    """
    duties(order.events_per_hour)
    profile = _with_battery(load_profile(order.profile), order.battery_wh) if order.profile else None
    if profile is None and (order.battery_wh is not None or order.measured):
        raise InputError(
            given="a battery or a device's measurement without a profile",
            expected="the profile of the device that they are about",
            todo="add --profile; `galenic profiles` lists them",
        )
    bench = Bench(
        order=order,
        targets=tuple(targets(order.files, order.runtimes)),
        threads=_threads(THREADS[order.mode] if order.threads is None else order.threads),
        against=artifact_at(order.against) if order.against is not None else None,
        profile=profile,
        reports=tuple(read_report(path) for path in order.reports),
        measured=tuple(read_measurement(path) for path in order.measured),
    )
    if profile is not None:
        for target in bench.targets:
            for threads in bench.threads:  # which of two measurements counts is to be known before minutes are spent
                device_measurement(bench.measured, target.artifact, profile, threads)
    return bench


def _threads(given: Sequence[str]) -> tuple[int, ...]:
    found = []
    for one in given:
        if one != ALL and not (one.isdecimal() and int(one)):
            raise InputError(f"{one!r} threads", f"numbers above 0, or {ALL}", f"give for instance --threads 1,{ALL}")
        found.append(available_cores() if one == ALL else int(one))
    if not found:
        raise InputError("no number of threads", f"numbers above 0, or {ALL}", f"give for instance --threads 1,{ALL}")
    return tuple(dict.fromkeys(found))


def _with_battery(profile: Profile, battery_wh: float | None) -> Profile:
    if battery_wh is None:
        return profile
    if not 0 < battery_wh < float("inf"):
        raise InputError(f"a battery of {battery_wh:g} Wh", "a number above 0", "give for instance --battery-wh 1.1")
    if profile.power is None:
        raise RecipeError(
            given=f"a battery for the profile {profile.name}, which says nothing of power",
            expected="a profile with a [power] table",
            todo="choose a wearable's or a microcontroller's profile, or write a profile of your own",
        )
    power: Power = profile.power.model_copy(update={"battery_wh": battery_wh})
    return profile.model_copy(update={"power": power})
