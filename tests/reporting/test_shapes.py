from __future__ import annotations

from types import ModuleType

import pytest

from galenic.record.gate import CheckKind, GateCheck, Verdict
from galenic.record.measurement import Breakdown
from galenic.record.report import Confusion, Report
from galenic.reporting.shapes import forests, heat, latency_bars


def _margin(**fields: object) -> GateCheck:
    base = {"endpoint": "sensitivity", "kind": CheckKind.MARGIN, "limit": 0.05, "value": -0.01, "low": -0.03}
    base |= {"high": 0.01, "n": 500, "method": "Tango", "verdict": Verdict.PASS, "reason": "."}
    return GateCheck.model_validate(base | fields)


def test_a_margin_is_drawn_where_it_stands() -> None:
    # known: -0.05 .. 0.01, span 0.06, so the axis is [-0.0572, 0.0172], 0.0744 wide
    (forest,) = forests([_margin()])
    (row,) = forest.rows
    assert row.limit == pytest.approx(100 * 0.0072 / 0.0744, abs=0.01)
    assert row.left == pytest.approx(100 * 0.0272 / 0.0744, abs=0.01)
    assert row.at == pytest.approx(100 * 0.0472 / 0.0744, abs=0.01)
    assert row.right == pytest.approx(100 * 0.0672 / 0.0744, abs=0.01)
    assert forest.zero == pytest.approx(100 * 0.0572 / 0.0744, abs=0.01)
    assert forest.ticks[0].limit
    assert forest.ticks[0].label == "−5.0"


def test_an_interval_is_right_of_its_line_just_where_the_check_passes(sample: ModuleType) -> None:
    for report in (sample.passing(), sample.failing(), sample.undecided()):
        for row in (row for forest in forests(report.gate.checks) for row in forest.rows):
            drawn_right = row.left is not None and row.left > row.limit
            assert drawn_right is (row.check.verdict is Verdict.PASS)


def test_margins_floors_points_and_auc_have_axes_of_their_own(passing: Report) -> None:
    found = [(f.kind.value, f.proportion, [r.check.endpoint for r in f.rows]) for f in forests(passing.gate.checks)]
    assert found == [
        ("margin", False, ["auc"]),
        ("margin", True, ["sensitivity", "specificity"]),
        ("floor", False, ["auc"]),
        ("floor", True, ["sensitivity"]),
    ]


def test_a_check_without_an_interval_has_a_line_alone() -> None:
    (forest,) = forests([_margin(value=None, low=None, high=None)])
    (row,) = forest.rows
    assert (row.left, row.at, row.right) == (None, None, None)
    assert 0 < row.limit < 100


def test_no_check_no_forest() -> None:
    assert forests([]) == []


def test_bars_are_on_one_scale(passing: Report) -> None:
    slow, fast = passing.candidates[:2]
    slow = slow.model_copy(update={"breakdown_ms": Breakdown(preprocessing=2, inference=7, postprocessing=1)})
    fast = fast.model_copy(update={"breakdown_ms": Breakdown(preprocessing=2, inference=0.5, postprocessing=0)})
    widths = [[part.width for part in bar.parts] for bar in latency_bars([slow, fast])]
    assert widths == [[20, 70, 10], [20, 5, 0]]


def test_heat_is_the_share_of_the_true_class() -> None:
    rows = heat(Confusion(split="test", counts=((3, 1), (0, 0))))
    assert [(cell.count, cell.share, cell.right) for cell in rows[0]] == [(3, 0.75, True), (1, 0.25, False)]
    assert [(cell.count, cell.share, cell.right) for cell in rows[1]] == [(0, 0, False), (0, 0, True)]
