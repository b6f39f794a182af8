from __future__ import annotations

import pytest

from galenic.reporting import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 KB"),
        (3760, "3.76 KB"),
        (63_999, "64.0 KB"),
        (842_103, "842 KB"),
        (999_600, "1.00 MB"),
        (1_684_207, "1.68 MB"),
        (44_731_822, "44.7 MB"),
        (98_000_000, "98.0 MB"),
        (2_500_000_000, "2.50 GB"),
        (float("nan"), "–"),
    ],
)
def test_size(value: float, text: str) -> None:
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02134, "21.3 µs"),
        (0, "0.000 ms"),
        (0.344, "0.344 ms"),
        (4.87, "4.87 ms"),
        (35.52, "35.5 ms"),
        (2500, "2,500 ms"),
    ],
)
def test_milliseconds(value: float, text: str) -> None:
    assert numbers.milliseconds(value) == text


def test_proportions_are_percent_and_auc_is_not() -> None:
    assert numbers.metric_value(0.9175, "accuracy") == "91.8 %"
    assert numbers.metric_value(0.9175, "sensitivity:nevus") == "91.8 %"
    assert numbers.metric_value(0.96124, "auc") == "0.961"
    assert numbers.metric_range(0.9054, 0.9296, "accuracy") == "90.5–93.0 %"
    assert numbers.metric_range(0.9548, 0.9676, "auc") == "0.955–0.968"


def test_what_was_not_measured_is_a_dash() -> None:
    assert numbers.metric_value(None, "auc") == "–"
    assert numbers.metric_value(float("nan"), "accuracy") == "–"
    assert numbers.metric_range(0.1, None, "auc") == "–"
    assert numbers.signed(None, "auc") == "–"
    assert numbers.count(0) == "–"


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (-0.012, "sensitivity", "−1.2"),
        (0.0081, "accuracy", "+0.8"),
        (-0.0056, "auc", "−0.006"),
        (0.0, "auc", "0.000"),
        (-0.0001, "accuracy", "0.0"),
    ],
)
def test_signed(value: float, metric: str, text: str) -> None:
    assert numbers.signed(value, metric) == text


def test_ratio() -> None:
    assert numbers.ratio(44_731_822, 1_684_207) == "27×"  # 26.56
    assert numbers.ratio(5.1, 1.0) == "5.1×"
    assert numbers.ratio(9.96, 1.0) == "10×"
    assert numbers.ratio(1.0, 0.0) is None
    assert numbers.ratio(float("nan"), 1.0) is None


def test_counts_durations_and_instants() -> None:
    assert numbers.count(11_177_538) == "11.2 M"
    assert numbers.count(512) == "512"
    assert numbers.duration(254.2) == "4 min 14 s"
    assert numbers.duration(59.4) == "59 s"
    assert numbers.duration(7260) == "2 h 1 min"
    assert numbers.instant("2026-11-20T23:14:05+01:00") == "2026-11-20 22:14 UTC"
    assert numbers.instant("yesterday") == "yesterday"


def test_quantities_of_a_budget() -> None:
    assert numbers.quantity(5_000_000, "bytes") == "5.00 MB"
    assert numbers.quantity(100, "ms") == "100 ms"
    assert numbers.quantity(35.8, "MB") == "35.8 MB"
    assert numbers.quantity(1.5, "mJ") == "1.50 mJ"


def test_labels() -> None:
    assert numbers.metric_label("auc") == "AUC"
    assert numbers.metric_label("balanced_accuracy") == "Balanced accuracy"
