"""The frontier as a plotly figure: size (logarithmic) on x, accuracy with its interval on y, p90 latency as colour.

Every mark is of validation, where files can be compared. Only plain JSON is made here; the page's script draws it and
gives it the colours of light or dark. Plotly reads a little HTML in labels, so every name is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from galenic.record.report import Candidate, Metric, Report
from galenic.reporting.numbers import is_proportion, metric_label, metric_range, metric_value, milliseconds, size
from galenic.reporting.words import is_reference, precision_label, test_metrics

_PREFERRED = ("accuracy", "balanced_accuracy", "auc")
_SYMBOLS = {"reference": "square", "candidate": "circle", "chosen": "star"}


def frontier_metric(report: Report) -> str | None:
    """Accuracy where every file has it, else the first metric that all share; None where there is none."""
    first, *others = [candidate.validation for candidate in report.candidates]
    shared = [name for name in (*_PREFERRED, *first) if name in first and all(name in one for one in others)]
    return shared[0] if shared else None


@dataclass(frozen=True)
class LatencyScale:
    """The colour scale of p90: log10 of milliseconds over [low, high]; ticks in percent from the left, labelled."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


def latency_scale(candidates: Sequence[Candidate]) -> LatencyScale:
    """A little wider than the p90 of the fastest and of the slowest file."""
    times = [candidate.latency_ms.p90 for candidate in candidates]
    low, high = _logarithm(min(times)) - 0.05, _logarithm(max(times)) + 0.05
    marked = _round_values(10**low, 10**high)
    if len(marked) < 2:
        marked = sorted({min(times), max(times)})
    ticks = tuple((round((_logarithm(t) - low) / (high - low) * 100, 2), plain(milliseconds(t))) for t in marked)
    return LatencyScale(low, high, ticks)


def _logarithm(milliseconds: float) -> float:
    """log10, of a tenth of a microsecond at least."""
    return math.log10(max(milliseconds, 1e-4))


def frontier_figure(report: Report) -> dict[str, Any] | None:
    """``{"data": [line, points], "layout"}``, marks with their step's number; None where no metric is shared."""
    metric = frontier_metric(report)
    if metric is None:
        return None
    points = [_point(report, candidate, metric) for candidate in report.candidates]
    line = sorted((p["x"], p["y"]) for p in points if p["frontier"] and p["y"] is not None)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "frontier",
            "x": [x for x, _ in line],
            "y": [y for _, y in line],
            "hoverinfo": "skip",
            "line": {"dash": "dot", "width": 2},
        },
        _scatter(points, latency_scale(report.candidates)),
    ]
    return {"data": data, "layout": _layout(points, metric)}


def _point(report: Report, candidate: Candidate, metric: str) -> dict[str, Any]:
    """One file: x in bytes, y in percent or as it is, and the text that is read on hover."""
    found, latency = candidate.validation[metric], candidate.latency_ms
    scale = 100 if is_proportion(metric) else 1
    chosen = candidate.id == report.chosen
    role = "chosen" if chosen else "reference" if is_reference(report, candidate) else "candidate"
    lines = [
        f"<b>{escape(candidate.title)}</b>{' (chosen)' if chosen else ''}",
        _value_line(metric, found, "validation"),
        f"size {size(candidate.size_bytes)}, {escape(precision_label(candidate.precision))}",
        f"latency p50 {milliseconds(latency.p50)}, p90 {milliseconds(latency.p90)}",
    ]
    tested = test_metrics(report, candidate).get(metric)
    if tested is not None:
        lines.insert(2, _value_line(metric, tested, "test set"))
    return {
        "role": role,
        "x": candidate.size_bytes,
        "y": _finite(found.value * scale),
        "up": _finite((found.high - found.value) * scale),
        "down": _finite((found.value - found.low) * scale),
        "p90": latency.p90,
        "hover": "<br>".join(lines),
        "frontier": candidate.on_frontier,
    }


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _value_line(metric: str, found: Metric, split: str) -> str:
    interval = metric_range(found.low, found.high, metric)
    return f"{metric_label(metric)} {metric_value(found.value, metric)} ({interval}), {split}, n = {found.n:,}"


def _scatter(points: list[dict[str, Any]], scale: LatencyScale) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "files",
        "x": [p["x"] for p in points],
        "y": [p["y"] for p in points],
        "text": [f"\N{NO-BREAK SPACE}<b>{label}</b>" if label else "" for label in _labels(points)],
        "textposition": "middle right",
        "hovertext": [p["hover"] for p in points],
        "hoverinfo": "text",
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [p["up"] for p in points],
            "arrayminus": [p["down"] for p in points],
            "thickness": 1.5,
            "width": 5,
        },
        "marker": {
            "opacity": 1,
            "symbol": [_SYMBOLS[p["role"]] for p in points],
            "size": [19 if p["role"] == "chosen" else 13 for p in points],
            "color": [_logarithm(p["p90"]) for p in points],
            "cmin": scale.low,
            "cmax": scale.high,
            "line": {"width": 2},
        },
    }


def _labels(points: list[dict[str, Any]]) -> list[str]:
    """Each mark's step; where marks cover each other, the first one bears all their steps."""
    places = [(point["x"], point["y"]) for point in points]
    steps = {place: ", ".join(str(i) for i, other in enumerate(places) if other == place) for place in places}
    return [steps.pop(place, "") for place in places]


def _layout(points: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    sizes = [p["x"] for p in points]
    low, high = min(sizes) / 1.8, max(sizes) * 1.8
    ticks = _round_values(low, high)
    unit = ", %" if is_proportion(metric) else ""
    return {
        "xaxis": {
            "type": "log",
            "title": {"text": "file size (logarithmic)", "standoff": 8},
            "range": [math.log10(low), math.log10(high)],
            "tickvals": ticks,
            "ticktext": [plain(size(tick)) for tick in ticks],
            "zeroline": False,
        },
        "yaxis": {
            "title": {"text": f"{metric_label(metric)}{unit} (validation)"},
            "zeroline": False,
            "automargin": True,
        },
        "margin": {"l": 56, "r": 16, "t": 24, "b": 52},
        "height": 400,
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }


def _round_values(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within [low, high]; only the powers where these are more than seven."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [(base, float(f"{base}e{power}")) for power in powers for base in (1, 2, 5)]
    inside = [(base, value) for base, value in found if low <= value <= high]
    return [value for base, value in inside if base == 1 or len(inside) <= 7]


def plain(quantity: str) -> str:
    """``200.0 KB`` -> ``200 KB``: no zeros behind the point."""
    number, unit = quantity.split(" ")
    return f"{float(number.replace(',', '')):g} {unit}"
