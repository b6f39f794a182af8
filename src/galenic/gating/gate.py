"""The gate: is the exported file, on the test set, no worse than the reference by more than was declared?

    margin   artifact - reference has the interval [low, high]      pass: low > -margin    fail: high < -margin
    floor    the artifact's own value has [low, high]               pass: low >= floor     fail: high < floor

and inconclusive otherwise. ``alpha`` is one-sided, so intervals have confidence 1 - 2 alpha. A check that rests on too
few independent cases can fail but never pass. Overall: fail where any check fails, pass where all pass.
"""

from __future__ import annotations

from galenic.gating.checks import check_pair
from galenic.gating.endpoints import ENDPOINTS, Finding
from galenic.record.errors import GateError
from galenic.record.gate import CheckKind, Floors, GateCheck, GateResult, Margins, Verdict
from galenic.record.predictions import Predictions
from galenic.stats.estimate import ALPHA


def judge(
    artifact: Predictions,
    reference: Predictions,
    margins: Margins,
    floors: Floors,
    alpha: float = ALPHA,
    reads: int = 1,
) -> GateResult:
    """Judge the artifact's test predictions against the reference's, case by case.

    Raises GateError where nothing is declared or where the two cannot be compared; ``reads`` is only passed on.
    """
    if not margins.declared() and not floors.declared():
        raise GateError(
            given="neither a margin nor a floor",
            expected="at least one, declared before the test set is read",
            todo="add for example [gate.margins] auc = 0.02 to the recipe",
        )
    if not 0 < alpha < 0.5:
        raise GateError(
            given=f"alpha = {alpha}",
            expected="a one-sided error between 0 and 0.5",
            todo="use 0.025 unless you must not",
        )
    check_pair(artifact, reference)
    compared = (
        _margin_check(name, margin, ENDPOINTS[name].paired(artifact, reference, alpha), alpha)
        for name, margin in margins.declared().items()
    )
    floored = (
        _floor_check(name, floor, ENDPOINTS[name].alone(artifact, alpha), alpha)
        for name, floor in floors.declared().items()
    )
    checks = (*compared, *floored)
    return GateResult(
        verdict=overall(tuple(check.verdict for check in checks)),
        alpha=alpha,
        checks=checks,
        reference_sha256=reference.made_by,
        artifact_sha256=artifact.made_by,
        split_hash=artifact.split_hash,
        reads=reads,
    )


def overall(verdicts: tuple[Verdict, ...]) -> Verdict:
    """Fail where any fails, pass where all (and at least one) pass, inconclusive otherwise."""
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.PASS if verdicts and set(verdicts) == {Verdict.PASS} else Verdict.INCONCLUSIVE


def _margin_check(name: str, margin: float, finding: Finding, alpha: float) -> GateCheck:
    estimate = finding.estimate
    verdict = _verdict(estimate.low > -margin, estimate.high < -margin, finding.weakness)
    change = f"{ENDPOINTS[name].title} changes by {estimate.value:+.4f}"
    interval = f"{_percent(alpha)} interval {estimate.low:+.4f} to {estimate.high:+.4f}, n = {estimate.n}"
    outcome = {
        Verdict.PASS: f"so a loss of {margin:.4f} or more is excluded",
        Verdict.FAIL: f"so the loss is more than the allowed {margin:.4f}",
        Verdict.INCONCLUSIVE: f"so a loss of more than {margin:.4f} is neither shown nor excluded",
    }[verdict]
    return _check(name, CheckKind.MARGIN, margin, finding, verdict, f"{change} ({interval}), {outcome}")


def _floor_check(name: str, floor: float, finding: Finding, alpha: float) -> GateCheck:
    estimate = finding.estimate
    verdict = _verdict(estimate.low >= floor, estimate.high < floor, finding.weakness)
    own = f"{ENDPOINTS[name].title} is {estimate.value:.4f}"
    interval = f"{_percent(alpha)} interval {estimate.low:.4f} to {estimate.high:.4f}, n = {estimate.n}"
    outcome = {
        Verdict.PASS: f"so it is at least {floor:.4f}",
        Verdict.FAIL: f"so it is below {floor:.4f}",
        Verdict.INCONCLUSIVE: f"so it is not shown to reach {floor:.4f}, nor to miss it",
    }[verdict]
    return _check(name, CheckKind.FLOOR, floor, finding, verdict, f"{own} ({interval}), {outcome}")


def _verdict(passes: bool, fails: bool, weakness: str) -> Verdict:
    if fails:
        return Verdict.FAIL
    return Verdict.PASS if passes and not weakness else Verdict.INCONCLUSIVE


def _check(name: str, kind: CheckKind, limit: float, finding: Finding, verdict: Verdict, reason: str) -> GateCheck:
    estimate = finding.estimate
    return GateCheck(
        endpoint=name,
        kind=kind,
        limit=limit,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        method=estimate.method,
        verdict=verdict,
        reason=f"{reason}; {finding.weakness}." if finding.weakness else f"{reason}.",
    )


def _percent(alpha: float) -> str:
    return f"{100 * (1 - 2 * alpha):g} %"
