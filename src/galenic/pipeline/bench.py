"""``galenic bench``: files timed on this machine, beside a profile's limits, with the energy on its device estimated. No torch.

    for every file, runtime and number of threads:
        once in a child process -> single stream -> offline -> cold start -> memory -> turns with --against
A number that a place has a caveat for is shown with it; it is judged against nothing, and such a file is never named to ship.
One that cannot be measured, or whose child process died of it, stands in the result with its reason, as long as another can.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from galenic.gating.budget import Timed, check_budget
from galenic.measuring.bench import FLOORS, offline, single_stream, stream_of
from galenic.measuring.cold_start import measure_cold_start
from galenic.measuring.duel import ANSWERS, duel
from galenic.measuring.energy import device_measurement, energy_of, is_about
from galenic.measuring.memory import measure_memory
from galenic.measuring.op_times import op_times
from galenic.pipeline.bench_files import Target
from galenic.pipeline.bench_order import Bench
from galenic.pipeline.shipping import shipping_sentence, title
from galenic.record.artifact import Artifact
from galenic.record.bench import BenchResult, BenchRow, DeviceMeasurement, Mode, Versus
from galenic.record.errors import GalenicError, InputError, ModelError
from galenic.record.measurement import Footprint
from galenic.record.progress import Progress, silent
from galenic.record.session import Session
from galenic.runtimes import c
from galenic.runtimes.answer import prepare
from galenic.runtimes.c_cortex_m import BOARDS, CortexSession
from galenic.runtimes.check import CPU
from galenic.runtimes.load import open_session
from galenic.runtimes.place import machine_name
from galenic.runtimes.trial import try_in_child

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
        except Exception as error:
            refusals.append(_refusal(row, error))
            rows.append(row.model_copy(update={"reason": _why(refusals[-1])}))
        progress(title(row), 1, 1)
    if len(refusals) == len(cells):
        raise refusals[0]
    return BenchResult(
        mode=bench.order.mode,
        machine=machine_name(),
        started=started,
        versions={"python": platform.python_version()} | {k: v for row in rows for k, v in _versions(row).items()},
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
    try_in_child(artifact, threads=row.threads, device=order.device)
    with opened(artifact, row.threads, order.device) as session:
        caveat = session.place.caveat
        row = row.model_copy(update={"versions": session.place.versions, "caveat": caveat})
        _check_threads(bench, session, row.threads)
        if isinstance(session, CortexSession):
            return _judged(bench, artifact, row.model_copy(update={"footprint": _footprint(session, raw)}))
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
        except Exception as error:
            reasons.append(_why(_refusal(row, error)))
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
            further["memory_peak"] = lambda: measure_memory(artifact, raw, threads=threads).peak
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
            given=f"{threads} threads for {session.artifact.runtime}, which computes with {has} whatever is asked for",
            expected=f"--threads {has}",
            todo=f"what it takes with {has} stands in its own row",
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


def _refusal(row: BenchRow, error: Exception) -> GalenicError:
    """Why a row has no numbers. A damaged file makes a runtime raise anything, and it is never another file's fault."""
    if isinstance(error, GalenicError):
        return error
    words = str(error).strip().splitlines()
    refusal = ModelError(
        given=f"{title(row)}, which broke off with {type(error).__name__}: {words[0][:200] if words else 'no words'}",
        expected="a file that answers as often as it is asked",
        todo="make the file again, or leave it out",
    )
    refusal.__cause__ = error
    return refusal


def _why(error: GalenicError) -> str:
    return f"{error.given}; {error.todo}"


def _versions(row: BenchRow) -> dict[str, str]:
    """Of everything that a row's numbers came from."""
    return {**(row.versus.against.versions if row.versus else {}), **row.versions}


def _in_turn(bench: Bench, against: Artifact, artifact: Artifact, threads: int, raw: np.ndarray) -> Versus:
    """Two files in turn; InputError where one of them is timed in what only stands for a device's runtime."""
    device, mode = bench.order.device, bench.order.mode
    try_in_child(against, threads=threads, device=device)
    with opened(against, threads, device) as other, opened(artifact, threads, device) as session:
        for one in (other, session):
            if one.place.caveat:
                raise InputError(
                    given=f"a ratio with {one.artifact.path.name} in {one.artifact.runtime}: {one.place.caveat}",
                    expected="two files that are timed in the runtime that a device would have",
                    todo="it says nothing of which file is faster on a device, so none is formed",
                )
        ratio = duel(other, session, raw, rounds=ROUNDS[mode], answers=ANSWERS, kind=bench.kind)
        return Versus(ratio=ratio, place=session.place, against=other.place)


def _judged(bench: Bench, artifact: Artifact, row: BenchRow) -> BenchRow:
    """The row beside the profile's limits, with the energy on its device, and with what the reports' gates said."""
    found: dict[str, object] = {}
    if bench.reports:
        found["gated"] = bench.gated.get((artifact.sha256, artifact.runtime, artifact.precision), False)
    if bench.profile is not None:
        given = device_measurement(bench.measured, artifact, bench.profile, row.threads)
        found["budget"] = check_budget(
            bench.profile, artifact, _timed(row, given), row.footprint, bench.accuracy_floor(artifact)
        )
        if row.runtime in (bench.profile.runtimes or (row.runtime,)):
            found["energy"] = energy_of(artifact, bench.profile, given, bench.order.events_per_hour)
    return row.model_copy(update=found)


def _timed(row: BenchRow, given: DeviceMeasurement | None) -> Timed:
    """What was measured on the device judges its limits; what was measured here, only those of the host."""
    if given is not None and (given.p90_ms is not None or given.memory_mb is not None):
        where = f"{given.device}: {given.method}"
        return Timed(p90_ms=given.p90_ms, memory_mb=given.memory_mb, where=where, device=given.device)
    return Timed(
        p90_ms=row.stream.latency.p90 if row.stream else None,
        memory_mb=row.memory_peak.value if row.memory_peak else None,
        where=row.stream.latency.where if row.stream else "",
        caveat=row.caveat,
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
        stored_bytes=artifact.stored_bytes,
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
    device = profile.device if profile else ""
    for given in bench.measured:
        if not any(is_about(given, row.sha256, row.runtime, row.threads, device) for row in rows):
            how = f"{given.runtime} with {given.threads} thread{'s' if given.threads > 1 else ''} on {given.device}"
            yield f"What was measured of {given.sha256[:12]} in {how} is about none of these rows, so it was not used."
    if profile is not None and profile.runtimes:
        others = dict.fromkeys(row.runtime for row in rows if row.runtime not in profile.runtimes)
        if others:
            yield f"{profile.name} does not run files of {', '.join(others)}, but of {', '.join(profile.runtimes)}."
