"""``galenic bench``: files timed on this machine, beside a profile's limits, with the energy on its device estimated. No torch.

    for every file, runtime and number of threads: single stream -> offline -> cold start -> memory -> turns with --against
A number that a place has a caveat for is shown with it; it is judged against nothing, and such a file is never named to ship.
One that cannot be measured stands in the result with its reason, as long as another one can.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from galenic.gating.budget import HOST, check_budget
from galenic.measuring import energy
from galenic.measuring.bench import FLOORS, offline, single_stream, stream_of
from galenic.measuring.cold_start import measure_cold_start
from galenic.measuring.duel import ANSWERS, duel
from galenic.measuring.memory import measure_memory
from galenic.measuring.op_times import op_times
from galenic.pipeline.bench_files import Target
from galenic.pipeline.bench_order import Bench
from galenic.pipeline.shipping import shipping_sentence, title
from galenic.record.artifact import Artifact
from galenic.record.bench import BenchResult, BenchRow, DeviceMeasurement, Mode
from galenic.record.errors import GalenicError, InputError
from galenic.record.measurement import Footprint
from galenic.record.profile import BudgetResult, Profile
from galenic.record.progress import Progress, silent
from galenic.record.session import Session
from galenic.runtimes import c
from galenic.runtimes.answer import prepare
from galenic.runtimes.c_cortex_m import BOARDS, CortexSession
from galenic.runtimes.check import CPU
from galenic.runtimes.load import open_session
from galenic.runtimes.place import machine_name

BATCH_ROWS = 32
PROCESSES = {Mode.FULL: 5, Mode.QUICK: 1}
ROUNDS = {Mode.FULL: 100, Mode.QUICK: 25}


def run_bench(bench: Bench, progress: Progress = silent) -> BenchResult:
    """Measure everything, one after the other.

    Raises:
        GalenicError: nothing at all could be measured; the first one's reason.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    cells = [(target, threads) for target in bench.targets for threads in bench.threads]
    rows: list[BenchRow] = []
    refusals: list[GalenicError] = []
    for target, threads in cells:
        row = _blank(bench, target, threads)
        progress(title(row), 0, 1)
        try:
            rows.append(_measured(bench, target.artifact, row))
        except GalenicError as error:
            refusals.append(error)
            rows.append(row.model_copy(update={"reason": _why(error)}))
        progress(title(row), 1, 1)
    if len(refusals) == len(cells):
        raise refusals[0]
    return BenchResult(
        mode=bench.order.mode,
        machine=machine_name(),
        started=started,
        versions={"python": platform.python_version()} | {k: v for row in rows for k, v in row.versions.items()},
        seed=bench.order.seed,
        data=f"validation rows of {bench.order.data}" if bench.order.data else f"drawn with seed {bench.order.seed}",
        profile=bench.profile.name if bench.profile else "",
        against=str(bench.order.against or ""),
        rows=tuple(rows),
        sentence=shipping_sentence(rows, bench.profile, bool(bench.reports)),
        notes=tuple(_notes(bench, rows)),
    )


def _measured(bench: Bench, artifact: Artifact, row: BenchRow) -> BenchRow:
    """The row with everything that can be measured of it; what cannot be after its latency stands there with its reason."""
    order, raw = bench.order, bench.rows(artifact)
    least = FLOORS[order.mode]
    with opened(artifact, row.threads, order.device) as session:
        caveat = session.place.caveat
        row = row.model_copy(update={"versions": session.place.versions, "caveat": caveat})
        if isinstance(session, CortexSession):
            return _judged(bench, artifact, row.model_copy(update={"footprint": _footprint(session, raw)}))
        _check_threads(bench, session, row.threads)
        found: dict[str, object] = {"arena_bytes": getattr(session, "arena_bytes", None)}
        found["stream"] = stream_of(single_stream(session, raw, least, kind=bench.kind), session)
        if not caveat:
            found["batch_rows"] = BATCH_ROWS
            found["throughput"] = offline(
                session, raw, batch_rows=BATCH_ROWS, window_seconds=least.offline_seconds, kind=bench.kind
            )
    reasons: list[str] = []
    for name, measure in _further(bench, artifact, row).items():
        try:
            found[name] = measure()
        except GalenicError as error:
            reasons.append(_why(error))
    return _judged(bench, artifact, row.model_copy(update=found | {"reason": "; ".join(reasons)}))


def _further(bench: Bench, artifact: Artifact, row: BenchRow) -> dict[str, Callable[[], object]]:
    """What is measured after the latency, in this order."""
    order, raw, threads = bench.order, bench.rows(artifact), row.threads
    further: dict[str, Callable[[], object]] = {}
    if not row.caveat:  # what stands for a device's runtime starts and weighs like itself
        processes = PROCESSES[order.mode]
        further["cold_start"] = lambda: measure_cold_start(
            artifact, raw, threads=threads, device=order.device, processes=processes
        )
        if order.device == CPU:
            further["memory_peak_mb"] = lambda: measure_memory(artifact, raw, threads=threads).peak_mb
    if bench.against is not None:
        against = bench.against
        further["versus"] = lambda: _in_turn(bench, against, artifact, threads, raw)
    if order.ops:
        further["op_times"] = lambda: op_times(artifact, raw, threads=threads, device=order.device)
    profile = bench.profile
    if profile is not None and artifact.runtime == c.NAME and profile.device in BOARDS:
        further["footprint"] = lambda: _linked(artifact, profile.device, raw)
    return further


def _check_threads(bench: Bench, session: Session, threads: int) -> None:
    """InputError where a runtime has no choice of threads, so that one number of them is not measured as another."""
    has = session.place.threads or bench.threads[0]
    if has != threads:
        raise InputError(
            given=f"{session.artifact.runtime} with {threads} threads",
            expected=f"{has}, whatever is asked for",
            todo=f"leave it at --threads {has}",
        )


def _linked(artifact: Artifact, device: str, raw: np.ndarray) -> Footprint:
    """What a C file takes of a microcontroller."""
    with opened(artifact, 1, device) as session:
        assert isinstance(session, CortexSession)
        return _footprint(session, raw)


def _footprint(session: CortexSession, raw: np.ndarray) -> Footprint:
    """Bytes and instructions of a program on a board that is played; its time is not measured."""
    session.run(prepare(session, raw[:1]))
    return session.footprint()


def _why(error: GalenicError) -> str:
    return f"{error.given}; {error.todo}"


def _in_turn(bench: Bench, against: Artifact, artifact: Artifact, threads: int, raw: np.ndarray) -> object:
    device, mode = bench.order.device, bench.order.mode
    with opened(against, threads, device) as other, opened(artifact, threads, device) as session:
        return duel(other, session, raw, rounds=ROUNDS[mode], answers=ANSWERS, kind=bench.kind)


def _judged(bench: Bench, artifact: Artifact, row: BenchRow) -> BenchRow:
    """The row beside the profile's limits, with the energy on its device, and with what the reports' gates said."""
    found: dict[str, object] = {}
    if bench.reports:
        found["gated"] = bench.gated.get((artifact.sha256, artifact.runtime, artifact.precision), False)
    if bench.profile is not None:
        given = energy.device_measurement(bench.measured, artifact, bench.profile)
        found["budget"] = _budget(bench.profile, row, given)
        if row.runtime in (bench.profile.runtimes or (row.runtime,)):
            found["energy"] = energy.energy_of(artifact, bench.profile, given, bench.order.events_per_hour)
    return row.model_copy(update=found)


def _budget(profile: Profile, row: BenchRow, given: DeviceMeasurement | None) -> BudgetResult:
    """What was measured on the device judges its limits; what was measured here, only those of the host."""
    linked = row.footprint
    size = {
        "size_bytes": row.size_bytes,
        "flash_bytes": linked.flash_bytes if linked else None,
        "ram_bytes": linked.ram_bytes if linked else None,
    }
    if given is not None and (given.p90_ms is not None or given.memory_mb is not None):
        return check_budget(
            profile,
            **size,  # type: ignore[arg-type]
            p90_ms=given.p90_ms,
            memory_mb=given.memory_mb,
            where=f"{given.device}: {given.method}",
            device=given.device,
        )
    return check_budget(
        profile,
        **size,  # type: ignore[arg-type]
        p90_ms=row.stream.latency.p90 if row.stream else None,
        memory_mb=row.memory_peak_mb,
        where=row.stream.latency.where if row.stream else "",
        caveat=row.caveat,
        device=HOST,
    )


def _blank(bench: Bench, target: Target, threads: int) -> BenchRow:
    artifact = target.artifact
    return BenchRow(
        file=target.given,
        runtime=artifact.runtime,
        precision=artifact.precision,
        threads=threads,
        device=bench.order.device,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        macs=artifact.macs,
        parameters=artifact.parameters,
    )


@contextmanager
def opened(artifact: Artifact, threads: int, device: str) -> Iterator[Session]:
    """A session that is closed afterwards, where it has something to close."""
    session = open_session(artifact, threads=threads, device=device)
    try:
        yield session
    finally:
        close = getattr(session, "close", None)
        if close is not None:
            close()


def _notes(bench: Bench, rows: Sequence[BenchRow]) -> Iterator[str]:
    if bench.order.mode is Mode.QUICK:
        yield "Quick mode: 64 answers and 2 s, so the p90 is rough. Without --quick it is MLPerf-style (1,024 answers, 60 s)."
    for row in rows:
        if row.caveat:
            yield f"{title(row)}: {row.caveat}. Its time is judged against no budget, and it is not named to ship."
        if row.reason:
            yield f"{title(row)} was not measured{' whole' if row.stream else ''}: {row.reason}."
    profile = bench.profile
    if profile is not None and profile.runtimes:
        others = dict.fromkeys(row.runtime for row in rows if row.runtime not in profile.runtimes)
        if others:
            yield f"{profile.name} does not run files of {', '.join(others)}, but of {', '.join(profile.runtimes)}."
