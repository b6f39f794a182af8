"""Which of the last phase's files is judged by the gate, and why. Candidates are compared on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galenic.gating.budget import keeps_size_and_precision, stored_size
from galenic.gating.metrics import metrics
from galenic.pipeline.advice import is_slower
from galenic.pipeline.chain import Finished
from galenic.record.profile import Profile
from galenic.record.recipe import Choice

INSTEAD = "It stands for its quantized file, which is slower here, and no limit asks for that one."


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
        profile: whose size and precision limit what ``best`` may choose. A quantized file that is slower than its own float file
            counts only where that one is not within them.
    """
    of_these = f"Of the {len(last)} files of the last phase"
    alone = "It is what the recipe's last phase made."
    if choice is Choice.STUDENT:
        return Chosen(last[-1], alone if len(last) == 1 else f"{of_these}, it is what the student became.")
    able = [_faster(one, profile) for one in last]
    if len(last) == 1:
        return Chosen(able[0], alone if able[0] is last[0] else INSTEAD)
    fitting = [one for one in able if _fits(one, profile)]
    allowed = _allowed(profile)
    if not fitting:
        smallest = min(last, key=lambda one: stored_size(one.artifact)[0])
        return Chosen(smallest, f"{of_these}, none is what the profile allows ({allowed}); it is the smallest.")
    best = max(fitting, key=lambda one: (metrics(one.validation)["auc"].value, -stored_size(one.artifact)[0]))
    within = f", {len(fitting)} within what the profile allows ({allowed})" if allowed else ""
    because = f"{of_these}{within}, it has the highest AUC on validation."
    return Chosen(best, because if best.id in {one.id for one in last} else f"{because} {INSTEAD}")


def _faster(one: Finished, profile: Profile | None) -> Finished:
    """A quantized file, or its own float file where that is surely faster and within the limits too."""
    if one.plain is not None and is_slower(one.speedup) and _fits(one.plain, profile):
        return one.plain
    return one


def _fits(one: Finished, profile: Profile | None) -> bool:
    return profile is None or keeps_size_and_precision(profile, one.artifact)


def _allowed(profile: Profile | None) -> str:
    """``under 5,000,000 bytes, int8 or int4``; empty where a profile limits neither."""
    if profile is None:
        return ""
    size = [] if profile.size_bytes is None else [f"under {profile.size_bytes:,} bytes"]
    return ", ".join([*size, *([" or ".join(profile.precisions)] if profile.precisions else [])])
