"""What the gate demands and what it answers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from galenic.record.base import Record
from galenic.record.errors import ExitCode


class Verdict(StrEnum):
    """Pass: not worse than the margin, with confidence. Fail: worse, with confidence. Inconclusive: too few cases."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_code(self) -> ExitCode:
        """The command line's exit code for this verdict."""
        return {
            Verdict.PASS: ExitCode.PASS,
            Verdict.FAIL: ExitCode.FAIL,
            Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
        }[self]


class EndpointLimits(Record):
    """One number in (0, 1) for each endpoint that is checked; None where it is not."""

    auc: float | None = Field(default=None, gt=0, lt=1)
    sensitivity: float | None = Field(default=None, gt=0, lt=1)
    specificity: float | None = Field(default=None, gt=0, lt=1)
    accuracy: float | None = Field(default=None, gt=0, lt=1)

    def declared(self) -> dict[str, float]:
        """Endpoint -> limit, for those that are checked."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Margins(EndpointLimits):
    """How much may be lost against the reference, as a difference of proportions or of AUC."""


class Floors(EndpointLimits):
    """What the lower confidence bound of the shipped file itself must reach."""


class CheckKind(StrEnum):
    """A margin compares with the reference, a floor with a number."""

    MARGIN = "margin"
    FLOOR = "floor"


class GateCheck(Record):
    """One endpoint judged.

    Attributes:
        endpoint: auc, sensitivity, specificity or accuracy.
        kind: margin (a difference, artifact minus reference) or floor (the artifact's own value).
        limit: the margin (a positive loss) or the floor.
        value, low, high: the difference or the value, with its two-sided 1 - 2 alpha interval.
        n: how many cases it rests on (positives for sensitivity, negatives for specificity).
        method: the interval's name.
        verdict: of this check.
        reason: one sentence.
    """

    endpoint: str
    kind: CheckKind
    limit: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    verdict: Verdict
    reason: str


class GateResult(Record):
    """All checks; pass only where every check passes, fail where any fails, inconclusive otherwise.

    ``alpha`` is one-sided. ``reads`` counts how often this test set has been read, this time included.
    """

    verdict: Verdict
    alpha: float
    checks: tuple[GateCheck, ...]
    reference_sha256: str
    artifact_sha256: str
    split_hash: str
    reads: int = 1
