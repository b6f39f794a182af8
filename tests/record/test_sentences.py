import pytest

from galenic.record.gate import CheckKind, GateCheck, GateResult, Verdict
from galenic.record.sentences import verdict_sentence


def check(endpoint, kind, limit, verdict):
    return GateCheck(
        endpoint=endpoint, kind=kind, limit=limit, value=0, low=0, high=0, n=9, method="", verdict=verdict, reason=""
    )


def result(verdict, *checks):
    return GateResult(
        verdict=verdict, alpha=0.025, checks=checks, reference_sha256="", artifact_sha256="", split_hash=""
    )


PASSED = check("auc", CheckKind.MARGIN, 0.02, Verdict.PASS)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            result(Verdict.PASS, PASSED, check("sensitivity", CheckKind.FLOOR, 0.9, Verdict.PASS)),
            "Pass: with 97.5 % confidence, the exported file loses less than 0.02 of AUC against the reference "
            "and reaches at least 0.9 of sensitivity.",
        ),
        (
            result(Verdict.PASS, PASSED, check("sensitivity", CheckKind.MARGIN, 0.05, Verdict.PASS)),
            "Pass: with 97.5 % confidence, the exported file loses less than 0.02 of AUC and 0.05 of sensitivity against "
            "the reference.",
        ),
        (
            result(Verdict.FAIL, PASSED, check("accuracy", CheckKind.MARGIN, 0.05, Verdict.FAIL)),
            "Fail: with 97.5 % confidence, the exported file loses more than 0.05 of accuracy against the reference.",
        ),
        (
            result(Verdict.FAIL, PASSED, check("accuracy", CheckKind.FLOOR, 0.9, Verdict.FAIL)),
            "Fail: with 97.5 % confidence, the exported file stays below 0.9 of accuracy.",
        ),
        (
            result(Verdict.INCONCLUSIVE, PASSED, check("sensitivity", CheckKind.MARGIN, 0.05, Verdict.INCONCLUSIVE)),
            "Inconclusive: these test cases cannot show with 97.5 % confidence that the exported file loses less than "
            "0.05 of sensitivity against the reference.",
        ),
    ],
)
def test_one_plain_sentence(given, sentence):
    assert verdict_sentence(given) == sentence


def test_names_are_used_as_given():
    assert "model.onnx loses less than 0.02 of AUC against DenseNet" in verdict_sentence(
        result(Verdict.PASS, PASSED), "model.onnx", "DenseNet"
    )
