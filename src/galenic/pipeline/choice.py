"""Which of the last phase's files is judged by the gate, and why. Candidates are compared on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galenic.gating.metrics import metrics
from galenic.pipeline.advice import is_slower
from galenic.pipeline.chain import Finished
from galenic.record.profile import Profile
from galenic.record.recipe import Choice

INSTEAD = "It stands for its quantized file, which is slower here, and the size does not ask for that one."


@dataclass(frozen=True)
class Chosen:
    """A file and, in words, why it."""

    file: Finished
    because: str


def choose(choice: Choice, last: Sequence[Finished], profile: Profile | None) -> Chosen:
    """One of the last phase's files, the student being the last of them.

    Args:
        choice: the recipe's rule.
        last: the files, in order.
        profile: whose size limits what ``best`` may choose. A quantized file that is slower than its own float file counts only
            where that one is too large.
    """
    of_these = f"Of the {len(last)} files of the last phase"
    alone = "It is what the recipe's last phase made."
    if choice is Choice.STUDENT:
        return Chosen(last[-1], alone if len(last) == 1 else f"{of_these}, it is what the student became.")
    limit = profile.size_bytes if profile else None
    able = [_faster(one, limit) for one in last]
    if len(last) == 1:
        return Chosen(able[0], alone if able[0] is last[0] else INSTEAD)
    fitting = [one for one in able if _fits(one, limit)]
    if not fitting:
        smallest = min(last, key=lambda one: one.artifact.size_bytes)
        return Chosen(
            smallest, f"{of_these}, none is within the size of the profile ({limit:,} bytes); it is the smallest."
        )
    best = max(fitting, key=lambda one: (metrics(one.validation)["auc"].value, -one.artifact.size_bytes))
    within = f", {len(fitting)} within the size of the profile ({limit:,} bytes)" if limit is not None else ""
    because = f"{of_these}{within}, it has the highest AUC on validation."
    return Chosen(best, because if best.id in {one.id for one in last} else f"{because} {INSTEAD}")


def _faster(one: Finished, limit: int | None) -> Finished:
    """A quantized file, or its own float file where that is surely faster and its size does not speak against it."""
    if one.plain is not None and is_slower(one.speedup) and _fits(one.plain, limit):
        return one.plain
    return one


def _fits(one: Finished, limit: int | None) -> bool:
    return limit is None or one.artifact.size_bytes <= limit
