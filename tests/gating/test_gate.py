from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from MLstatkit import Delong_test

from galenic.gating.gate import judge, overall
from galenic.record.errors import GateError
from galenic.record.gate import CheckKind, Floors, Margins, Verdict
from galenic.record.task import TaskKind
from galenic.stats.paired_proportions import PairedCounts, tango

ALL = Margins(auc=0.02, sensitivity=0.05, specificity=0.05, accuracy=0.05)


def test_a_near_copy_passes_and_every_check_says_so(pair):
    artifact, reference = pair(2000)
    result = judge(artifact, reference, ALL, Floors(auc=0.9), reads=3)
    assert result.verdict is Verdict.PASS
    assert [check.endpoint for check in result.checks] == ["auc", "sensitivity", "specificity", "accuracy", "auc"]
    assert [check.n for check in result.checks] == [2000, 1000, 1000, 2000, 2000]
    assert result.checks[-1].kind is CheckKind.FLOOR
    assert (result.reads, result.alpha) == (3, 0.025)
    assert (result.artifact_sha256, result.reference_sha256) == ("a" * 64, "b" * 64)


def test_the_auc_check_is_mlstatkits_delong(pair):
    artifact, reference = pair(300, noise=0.5)
    check = judge(artifact, reference, Margins(auc=0.02), Floors()).checks[0]
    scores = [p.logits[:, 1].astype(float) for p in (reference, artifact)]
    z, _, _, _, auc_reference, auc_artifact, _ = Delong_test(reference.labels, *scores)
    half = 1.959963984540054 * (auc_artifact - auc_reference) / z
    difference = auc_artifact - auc_reference
    assert (check.value, check.low, check.high) == pytest.approx((difference, difference - half, difference + half))
    assert check.method == "paired DeLong"


def test_the_sensitivity_check_is_tango_on_the_positives(pair):
    artifact, reference = pair(300, noise=0.5)
    check = judge(artifact, reference, Margins(sensitivity=0.05), Floors()).checks[0]
    ours, theirs = (p.decisions()[p.labels == 1] == 1 for p in (artifact, reference))
    counts = PairedCounts(sum(ours & theirs), sum(ours & ~theirs), sum(~ours & theirs), sum(~ours & ~theirs))
    assert (check.low, check.high) == pytest.approx((tango(counts).low, tango(counts).high))
    assert check.n == 150


def test_a_ruined_model_fails(pair):
    artifact, reference = pair(600, noise=6.0)
    result = judge(artifact, reference, ALL, Floors(auc=0.9))
    assert result.verdict is Verdict.FAIL
    assert {check.verdict for check in result.checks if check.endpoint == "auc"} == {Verdict.FAIL}


def test_few_cases_are_inconclusive(pair):
    artifact, reference = pair(60, noise=0.5)
    assert judge(artifact, reference, Margins(sensitivity=0.05), Floors()).verdict is Verdict.INCONCLUSIVE


def test_an_auc_of_a_few_perfect_cases_never_passes(make):
    labels = np.array([0] * 8 + [1] * 8)
    perfect = make(labels, np.stack([np.zeros(16), np.arange(16.0)], axis=1))
    result = judge(perfect, perfect, Margins(auc=0.02), Floors(auc=0.5))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "8 cases" in result.checks[0].reason


def test_limits_are_open_for_margins_and_closed_for_floors(pair):
    artifact, reference = pair(400, noise=0.5)
    low = -judge(artifact, reference, Margins(auc=0.5), Floors()).checks[0].low
    assert judge(artifact, reference, Margins(auc=low), Floors()).verdict is not Verdict.PASS
    assert judge(artifact, reference, Margins(auc=np.nextafter(low, 1)), Floors()).verdict is Verdict.PASS
    floor = judge(artifact, reference, Margins(), Floors(auc=0.1)).checks[0].low
    assert judge(artifact, reference, Margins(), Floors(auc=floor)).verdict is Verdict.PASS
    assert judge(artifact, reference, Margins(), Floors(auc=np.nextafter(floor, 1))).verdict is Verdict.INCONCLUSIVE


def test_alpha_sets_the_confidence(pair):
    artifact, reference = pair(400, noise=0.5)
    wide = judge(artifact, reference, Margins(auc=0.02), Floors(), alpha=0.005).checks[0]
    usual = judge(artifact, reference, Margins(auc=0.02), Floors()).checks[0]
    assert (wide.high - wide.low) / (usual.high - usual.low) == pytest.approx(2.575829 / 1.959964, abs=1e-5)
    assert "99 % interval" in wide.reason


def test_overall_verdicts():
    passes, fails, unsure = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
    assert overall((passes, passes)) is passes
    assert overall((passes, unsure)) is unsure
    assert overall((unsure, fails, passes)) is fails
    assert overall(()) is unsure


def test_reasons_are_one_sentence_with_the_numbers(pair):
    artifact, reference = pair(2000)
    margin, floor = judge(artifact, reference, Margins(sensitivity=0.05), Floors(auc=0.9)).checks
    assert margin.reason.startswith(f"sensitivity changes by {margin.value:+.4f} (95 % interval {margin.low:+.4f}")
    assert margin.reason.endswith("n = 1000), so a loss of 0.0500 or more is excluded.")
    assert floor.reason.endswith("so it is at least 0.9000.")


def test_nothing_declared_is_an_error(pair):
    with pytest.raises(GateError, match="neither a margin nor a floor"):
        judge(*pair(60), Margins(), Floors())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, float("nan")])
def test_an_alpha_out_of_range_is_an_error(pair, alpha):
    with pytest.raises(GateError, match="alpha"):
        judge(*pair(60), ALL, Floors(), alpha=alpha)


def test_sensitivity_without_positive_classes_is_an_error(pair):
    with pytest.raises(GateError, match="name the positive classes"):
        judge(*pair(60, positive=()), Margins(sensitivity=0.05), Floors())


def test_several_classes_and_multi_label_can_be_judged(make):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 1200)
    logits = rng.normal(size=(1200, 4)) + 3 * np.eye(4)[labels]
    near = logits + 0.05 * rng.normal(size=logits.shape)
    result = judge(make(labels, near, positive=(1, 2)), make(labels, logits, positive=(1, 2)), ALL, Floors(auc=0.9))
    assert result.verdict is Verdict.PASS
    several = (rng.random((1200, 3)) < 0.3).astype(np.uint8)
    logits = rng.normal(size=(1200, 3)) + 3 * several - 1.5
    near = logits + 0.05 * rng.normal(size=logits.shape)
    made = [make(several, values, kind=TaskKind.MULTI_LABEL) for values in (near, logits)]
    assert judge(*made, Margins(auc=0.02, accuracy=0.02), Floors()).verdict is Verdict.PASS


def clustered(pair, groups, size=50):
    ids = np.repeat([f"patient-{i}" for i in range(groups)], size)
    rng = np.random.default_rng(0)
    return pair(groups * size, clusters=ids[rng.permutation(groups * size)])


def test_under_twenty_clusters_nothing_passes(pair):
    few, enough = judge(*clustered(pair, 19), ALL, Floors(auc=0.6)), judge(*clustered(pair, 20), ALL, Floors(auc=0.6))
    assert {check.verdict for check in few.checks} == {Verdict.INCONCLUSIVE}
    assert all("19 groups" in check.reason for check in few.checks)
    assert enough.verdict is Verdict.PASS
    assert all(check.method.startswith("cluster-robust") for check in enough.checks)


def test_under_twenty_clusters_a_ruined_model_still_fails(pair):
    artifact, reference = clustered(pair, 10)
    ruined = replace(artifact, logits=-artifact.logits)
    assert judge(ruined, reference, ALL, Floors()).verdict is Verdict.FAIL


def test_positives_from_few_clusters_are_inconclusive(make):
    """Forty patients, but all the sick cases are of five of them."""
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [500, 1500])
    patients = np.concatenate([np.repeat(np.arange(5), 100), 5 + np.repeat(np.arange(35), 43)[:1500]]).astype(str)
    logits = np.stack([np.zeros(2000), rng.normal(size=2000) + 3 * labels - 1.5], axis=1)
    artifact = make(labels, logits, clusters=patients)
    result = judge(artifact, artifact, Margins(auc=0.02, specificity=0.2, sensitivity=0.5), Floors())
    assert {c.endpoint: c.verdict for c in result.checks} == {
        "auc": Verdict.INCONCLUSIVE,
        "sensitivity": Verdict.INCONCLUSIVE,
        "specificity": Verdict.PASS,
    }


def test_clusters_of_one_case_each_change_nothing(pair):
    artifact, reference = pair(400, noise=0.5)
    own = {"clusters": np.arange(400).astype(str)}
    assert judge(artifact, reference, ALL, Floors()) == judge(
        replace(artifact, **own), replace(reference, **own), ALL, Floors()
    )


def test_the_same_predictions_pass_where_there_are_enough(pair):
    _, reference = pair(1200)
    check = judge(reference, reference, Margins(auc=0.001), Floors()).checks[0]
    assert (check.value, check.low, check.high, check.verdict) == (0, 0, 0, Verdict.PASS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 199), column=st.integers(0, 1), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_and_inf_never_pass(pair, row, column, value):
    artifact, reference = pair(200)
    artifact.logits[row, column] = value
    with pytest.raises(GateError, match=f"row {row}"):
        judge(artifact, reference, ALL, Floors())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), noise=st.sampled_from([0.02, 0.3, 2.0]))
def test_row_order_is_irrelevant_and_swapping_mirrors(pair, seed, noise):
    artifact, reference = pair(120, seed=seed, noise=noise, clusters=(np.arange(120) // 3).astype(str))
    order = np.random.default_rng(seed).permutation(120)

    def shuffled(p):
        fields = {name: getattr(p, name)[order] for name in ("ids", "labels", "logits", "clusters")}
        return replace(p, **fields)

    there = judge(artifact, reference, ALL, Floors())
    again = judge(shuffled(artifact), shuffled(reference), ALL, Floors())
    back = judge(reference, artifact, ALL, Floors())
    for ours, same, mirrored in zip(there.checks, again.checks, back.checks, strict=True):
        assert (same.low, same.high) == pytest.approx((ours.low, ours.high), abs=1e-9)
        assert same.verdict is ours.verdict
        assert (-mirrored.high, -mirrored.low) == pytest.approx((ours.low, ours.high), abs=1e-9)


def test_a_constant_or_saturated_artifact_never_passes(pair):
    artifact, reference = pair(600)
    for value in (0.0, 1e30):
        flat = replace(artifact, logits=np.full_like(artifact.logits, value))
        assert judge(flat, reference, ALL, Floors()).verdict is Verdict.FAIL
