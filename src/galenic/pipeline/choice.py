"""Which of the last phase's files is judged by the gate, and why. Candidates are compared on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galenic.gating.metrics import metrics
from galenic.pipeline.chain import Finished
from galenic.record.profile import Profile
from galenic.record.recipe import Choice


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
        profile: whose size limits what ``best`` may choose.
    """
    if len(last) == 1:
        return Chosen(last[0], "It is what the recipe's last phase made.")
    of_these = f"Of the {len(last)} files of the last phase"
    if choice is Choice.STUDENT:
        return Chosen(last[-1], f"{of_these}, it is what the student became.")
    limit = profile.size_bytes if profile else None
    fitting = [one for one in last if limit is None or one.artifact.size_bytes <= limit]
    if not fitting:
        smallest = min(last, key=lambda one: one.artifact.size_bytes)
        return Chosen(
            smallest, f"{of_these}, none is within the size of the profile ({limit:,} bytes); it is the smallest."
        )
    best = max(fitting, key=lambda one: (metrics(one.validation)["auc"].value, -one.artifact.size_bytes))
    within = f", {len(fitting)} within the size of the profile ({limit:,} bytes)" if limit is not None else ""
    return Chosen(best, f"{of_these}{within}, it has the highest AUC on validation.")
