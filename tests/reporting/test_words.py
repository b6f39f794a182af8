from __future__ import annotations

from types import ModuleType

import pytest

from galenic.record.errors import InputError
from galenic.record.profile import BudgetStatus
from galenic.record.report import ProbeOutcome, Report
from galenic.reporting import words


def test_the_file_beside_its_reference(passing: Report) -> None:
    # 44,731,822 / 1,684,207 = 26.6 and 4.87 / 0.344 = 14.2
    assert words.file_sentence(passing) == (
        "It is the INT8 file int8.onnx (1.68 MB), 27× smaller and 14× faster than resnet18; 5 of 5 checks passed."
    )


def test_what_failed_and_what_was_missed_is_named(sample: ModuleType) -> None:
    sentence = words.file_sentence(sample.failing())
    assert "1 of 2 checks passed; failed: Sensitivity margin" in sentence
    assert "misses the host-fast budget (p90 latency)" in sentence


def test_what_is_undecided_is_named(sample: ModuleType) -> None:
    summary = words.checks_summary(sample.undecided().gate.checks)
    assert summary == "1 of 3 checks passed; undecided: Sensitivity margin, Specificity margin"


def test_a_larger_or_slower_file_is_called_so(passing: Report) -> None:
    chosen = words.chosen_candidate(passing)
    small = passing.reference.model_copy(update={"size_bytes": chosen.size_bytes // 2})
    fast = passing.reference.model_copy(
        update={"latency_ms": chosen.latency_ms.model_copy(update={"p50": chosen.latency_ms.p50 / 2})}
    )
    assert words.smaller_phrase(small, chosen) == "2.0× larger"
    assert words.faster_phrase(fast, chosen) == "2.0× slower"


def test_latencies_of_two_places_are_not_compared(passing: Report) -> None:
    chosen = words.chosen_candidate(passing)
    elsewhere = passing.reference.latency_ms.model_copy(update={"where": "a phone"})
    more_threads = passing.reference.latency_ms.model_copy(update={"threads": 4})
    for latency in (elsewhere, more_threads):
        assert words.faster_phrase(passing.reference.model_copy(update={"latency_ms": latency}), chosen) is None


def test_test_metrics_belong_to_the_chosen_file_and_the_reference_alone(passing: Report) -> None:
    tested = {c.id: words.test_metrics(passing, c).get("accuracy") for c in passing.candidates}
    assert {name for name, metric in tested.items() if metric} == {"reference", "int8"}
    assert tested["reference"] == passing.reference.metrics["accuracy"]
    assert tested["int8"] == passing.candidates[-1].metrics["accuracy"]


def test_checks_in_words(passing: Report) -> None:
    auc, sensitivity, _, floor, share = passing.gate.checks
    assert words.check_demand(auc) == "at most 0.020 lost"
    assert words.check_demand(sensitivity) == "at most 5.0 points lost"
    assert words.check_demand(floor) == "at least 0.930"
    assert words.check_demand(share) == "at least 85.0 %"
    assert words.check_value(sensitivity) == "−1.2 points"
    assert words.check_interval(sensitivity) == "−2.9 to +0.5"
    assert words.interval_level(0.025) == "95 %"


def test_budget_badges(sample: ModuleType, passing: Report) -> None:
    assert passing.budget is not None
    missed, unknown = words.budget_summary(sample.failing()), words.budget_summary(passing)
    met = passing.model_copy(update={"budget": passing.budget.model_copy(update={"checks": passing.budget.checks[:1]})})
    assert (missed.tone, missed.word) == (words.Tone.FAIL, "Budget missed: p90 latency")
    assert unknown.tone is words.Tone.UNSURE
    assert words.budget_summary(met).tone is words.Tone.PASS
    assert words.budget_summary(sample.undecided()) is None
    assert words.budget_badge(BudgetStatus.NOT_MEASURED).word == "Not measured on the device"


def test_marks_differ_without_colour() -> None:
    assert len({*words.MARKS.values()}) == len(words.Tone)


def test_a_chosen_file_that_is_not_there_is_refused(passing: Report) -> None:
    with pytest.raises(InputError, match="'ghost'"):
        words.chosen_candidate(passing.model_copy(update={"chosen": "ghost"}))


def test_a_probes_outcome_has_a_word_and_a_mark_and_its_gains_have_signs(sample: ModuleType) -> None:
    hurts = sample.failing().probe
    badge = words.probe_badge(hurts.outcome)
    assert (badge.mark, badge.word) == ("✕", "Expected to hurt")
    assert words.probe_badge(ProbeOutcome.LEFT_OUT).word == "Not probed"
    # 0.8704 - 0.9112 = -0.0408, with half an interval of 0.012
    assert words.gain(hurts.distilled_gain, hurts.metric) == "−0.041 (−0.053 to −0.029)"
