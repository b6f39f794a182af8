"""The verdict in one plain sentence, for the report and the command line alike."""

from __future__ import annotations

from collections.abc import Sequence

from galenic.record.gate import CheckKind, GateCheck, GateResult, Verdict


def verdict_sentence(result: GateResult, artifact: str = "the exported file", reference: str = "the reference") -> str:
    """What the gate found, for a reader who knows no statistics; the two names are used as they are."""
    telling = [check for check in result.checks if check.verdict is result.verdict]
    sure = f"with {100 * (1 - result.alpha):g} % confidence"
    if result.verdict is Verdict.FAIL:
        return f"Fail: {sure}, {artifact} {_claims(telling, reference, 'loses more than', 'stays below')}."
    claim = _claims(telling, reference, "loses less than", "reaches at least")
    if result.verdict is Verdict.PASS:
        return f"Pass: {sure}, {artifact} {claim}."
    return f"Inconclusive: these test cases cannot show {sure} that {artifact} {claim}."


def _claims(checks: Sequence[GateCheck], reference: str, loses: str, reaches: str) -> str:
    """All margins in one clause, all floors in another."""
    limits = {
        kind: [f"{check.limit:g} of {_endpoint(check)}" for check in checks if check.kind is kind] for kind in CheckKind
    }
    margins = f"{loses} {_joined(limits[CheckKind.MARGIN])} against {reference}" if limits[CheckKind.MARGIN] else ""
    floors = f"{reaches} {_joined(limits[CheckKind.FLOOR])}" if limits[CheckKind.FLOOR] else ""
    return " and ".join(clause for clause in (margins, floors) if clause)


def _endpoint(check: GateCheck) -> str:
    return "AUC" if check.endpoint == "auc" else check.endpoint


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
