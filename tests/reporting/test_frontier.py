from __future__ import annotations

import json
import math

import plotly.graph_objects
import pytest

from galenic.record.report import Metric, Report
from galenic.reporting.frontier import frontier_figure, frontier_metric, latency_scale


def test_marks_stand_at_size_and_validation_accuracy(passing: Report) -> None:
    figure = frontier_figure(passing)
    assert figure is not None
    _, points = figure["data"]
    chosen = passing.candidates[-1]
    assert points["x"] == [c.size_bytes for c in passing.candidates]
    assert points["y"][-1] == pytest.approx(91.5)  # validation, where the test set says 91.75
    assert points["error_y"]["array"][-1] == pytest.approx(100 * (chosen.validation["accuracy"].high - 0.915))
    assert points["marker"]["color"][-1] == pytest.approx(math.log10(chosen.latency_ms.p90))
    assert points["marker"]["symbol"] == ["square", "circle", "circle", "circle", "circle", "star"]
    assert "91.5 %" in points["hovertext"][-1]
    assert "91.8 % (90.5–93.0 %), test set, n = 2,000" in points["hovertext"][-1]
    assert "test set" not in points["hovertext"][1]


def test_the_line_runs_through_the_frontier_from_small_to_large(passing: Report) -> None:
    figure = frontier_figure(passing)
    assert figure is not None
    assert figure["data"][0]["x"] == [842_103, 1_684_207, 2_731_904, 6_132_480, 44_731_822]


def test_plotly_accepts_the_figure(passing: Report) -> None:
    figure = frontier_figure(passing)
    assert figure is not None
    plotly.graph_objects.Figure(figure)  # raises ValueError on a key or a value that plotly does not know


def test_names_are_escaped(passing: Report) -> None:
    hostile = passing.candidates[0].model_copy(update={"title": "<a href='http://x'>x</a>"})
    figure = frontier_figure(passing.model_copy(update={"candidates": (hostile, *passing.candidates[1:])}))
    assert figure is not None
    assert "<a " not in json.dumps(figure)


def test_a_value_that_is_not_a_number_is_left_out_of_the_json(passing: Report) -> None:
    nan = Metric(value=float("nan"), low=float("nan"), high=float("nan"), n=0)
    first = passing.candidates[0].model_copy(update={"validation": {"accuracy": nan}})
    figure = frontier_figure(passing.model_copy(update={"candidates": (first, *passing.candidates[1:])}))
    assert figure is not None
    assert figure["data"][1]["y"][0] is None
    json.dumps(figure, allow_nan=False)


def test_the_metric_is_one_that_all_share(passing: Report) -> None:
    assert frontier_metric(passing) == "accuracy"
    first = passing.candidates[0]
    for kept, found in ((("auc", "sensitivity"), "auc"), (("specificity",), "specificity"), ((), None)):
        few = first.model_copy(update={"validation": {name: first.validation[name] for name in kept}})
        assert frontier_metric(passing.model_copy(update={"candidates": (few, *passing.candidates[1:])})) == found


def test_the_colour_scale_holds_every_latency(passing: Report) -> None:
    scale = latency_scale(passing.candidates)
    logs = [math.log10(c.latency_ms.p90) for c in passing.candidates]
    assert scale.low < min(logs)
    assert max(logs) < scale.high
    assert [label for _, label in scale.ticks] == ["0.5 ms", "1 ms", "2 ms", "5 ms"]
    left = 100 * (math.log10(0.5) - scale.low) / (scale.high - scale.low)
    assert scale.ticks[0][0] == pytest.approx(left, abs=0.01)


def test_one_file_alone_has_a_scale_too(passing: Report) -> None:
    only = passing.candidates[-1:]
    assert frontier_figure(passing.model_copy(update={"candidates": only})) is not None
    ((left, label),) = latency_scale(only).ticks
    assert (left, label) == (50, "0.385 ms")


def test_marks_that_cover_each_other_share_a_label(passing: Report) -> None:
    first, second, *others = passing.candidates
    twin = second.model_copy(update={"size_bytes": first.size_bytes, "validation": first.validation})
    figure = frontier_figure(passing.model_copy(update={"candidates": (first, twin, *others)}))
    assert figure is not None
    labels = [text.replace("\N{NO-BREAK SPACE}", "") for text in figure["data"][1]["text"]]
    assert labels == ["<b>0, 1</b>", "", "<b>2</b>", "<b>3</b>", "<b>4</b>", "<b>5</b>"]
