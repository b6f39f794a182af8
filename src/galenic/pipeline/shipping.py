"""Which of the measured files to ship on this machine, in a sentence: the lowest p90 among those that may be shipped.

May be shipped: timed here without a caveat, in a runtime that the profile has, within every limit that could be judged, and,
where a report was given, passed by its gate. Without a report nothing is known of quality, and the sentence says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from galenic.gating.budget import HOST
from galenic.record.bench import BenchRow, Stream
from galenic.record.profile import BudgetStatus, Profile
from galenic.reporting.numbers import milliseconds


def shipping_sentence(rows: Sequence[BenchRow], profile: Profile | None, judged: bool) -> str:
    """What to ship, or why nothing can be named.

    Args:
        rows: as measured.
        profile: whose limits they keep or not.
        judged: whether a report was given, so that ``gated`` counts.
    """
    timed = [(row, row.stream) for row in rows if row.stream is not None]
    honest = [(row, stream) for row, stream in timed if not row.caveat]
    if not honest:
        return f"No file can be named: none was timed in the runtime that a device would have.{_kept(rows, profile)}"
    fitting = [(row, stream) for row, stream in honest if fits(row, profile)]
    if not fitting:
        name = profile.name if profile else "this machine"
        return f"No file can be named: of those timed here none is within what {name} allows.{_kept(rows, profile)}"
    able = [(row, stream) for row, stream in fitting if row.gated or not judged]
    if not able:
        return "No file can be named: the given report's gate passed none of those that fit."
    best, stream = min(able, key=lambda one: one[1].latency.p90)
    p90, alone = milliseconds(stream.latency.p90), len(able) == 1
    conditions = [*([f"fit{'s' * alone} {profile.name}"] if profile else []), *(["passed the gate"] if judged else [])]
    where = " and ".join(conditions)
    if alone:
        why = f"the only one that {where}" if where else "and there was no other file to compare it with"
    else:
        why = f"the lowest here of the {len(able)} that {where}" if where else f"the lowest here of {len(able)}"
    sentences = [f"Ship {title(best)}: its p90 is {p90}, {why}."]
    close = [title(row) for row, other in able if row is not best and _overlap(stream, other)]
    if close:
        sentences.append(f"What was measured does not tell it from {', '.join(close)}.")
    if not judged:
        sentences.append("Of their quality nothing is known here: give the run's report.json (--report).")
    if profile is not None and profile.device != HOST:
        sentences.append(f"This is about this machine: on {profile.device} nothing was timed.")
    return " ".join(sentences)


def fits(row: BenchRow, profile: Profile | None) -> bool:
    """Whether a profile has the row's runtime, and no limit that could be judged was missed."""
    if profile is None:
        return True
    missed = row.budget is not None and any(one.status is BudgetStatus.MISSED for one in row.budget.checks)
    return not missed and (not profile.runtimes or row.runtime in profile.runtimes)


def _kept(rows: Sequence[BenchRow], profile: Profile | None) -> str:
    """Files that cannot be timed here but were linked for the device and keep all of its limits."""
    linked = [row for row in rows if row.caveat and row.footprint is not None and fits(row, profile) and row.budget]
    names = dict.fromkeys(f"{row.file} in {row.runtime}" for row in linked)
    if not names or profile is None:
        return ""
    return f" {', '.join(names)} fits in the flash and RAM of {profile.name}; its time there was not measured."


def title(row: BenchRow) -> str:
    """``files/model.onnx in openvino with 2 threads``."""
    return f"{row.file} in {row.runtime} with {row.threads} thread{'s' if row.threads > 1 else ''}"


def _overlap(one: Stream, other: Stream) -> bool:
    return one.p90_low <= other.p90_high and other.p90_low <= one.p90_high
