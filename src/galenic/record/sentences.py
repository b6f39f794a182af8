"""The verdict in one plain sentence, for the report and the command line alike."""

from __future__ import annotations

from galenic.record.gate import CheckKind, GateCheck, GateResult, Verdict


def verdict_sentence(result: GateResult, artifact: str = "the exported file", reference: str = "the reference") -> str:
    """What the gate found, for a reader who knows no statistics; the two names are used as they are."""
    telling = [check for check in result.checks if check.verdict is result.verdict]
    sure = f"with {100 * (1 - result.alpha):g} % confidence"
    if result.verdict is Verdict.FAIL:
        return f"Fail: {sure}, {artifact} {_joined([_miss(check, reference) for check in telling])}."
    claim = _joined([_claim(check, reference) for check in telling])
    if result.verdict is Verdict.PASS:
        return f"Pass: {sure}, {artifact} {claim}."
    return f"Inconclusive: these test cases cannot show {sure} that {artifact} {claim}."


def _claim(check: GateCheck, reference: str) -> str:
    if check.kind is CheckKind.FLOOR:
        return f"reaches {_endpoint(check)} of at least {check.limit:g}"
    return f"loses less than {check.limit:g} of {_endpoint(check)} against {reference}"


def _miss(check: GateCheck, reference: str) -> str:
    if check.kind is CheckKind.FLOOR:
        return f"stays below {_endpoint(check)} of {check.limit:g}"
    return f"loses more than {check.limit:g} of {_endpoint(check)} against {reference}"


def _endpoint(check: GateCheck) -> str:
    return "AUC" if check.endpoint == "auc" else check.endpoint


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
