"""The frontier as a plotly figure: size (logarithmic) on x, accuracy with its interval on y, p90 latency as colour.

Only plain JSON is made here; the page's script draws it and gives it the colours of light or dark. Plotly reads a
little HTML in labels, so every name is escaped. A filled mark is of the test set, a hollow one of validation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from galenic.record.measurement import Latency
from galenic.record.report import Metric, Report
from galenic.record.task import SplitName
from galenic.reporting.numbers import is_proportion, metric_label, metric_range, metric_value, milliseconds, size
from galenic.reporting.words import split_phrase

_PREFERRED = ("accuracy", "balanced_accuracy", "auc")
_SYMBOLS = {"reference": "square", "candidate": "circle", "chosen": "star"}


def frontier_metric(report: Report) -> str | None:
    """Accuracy where every file has it, else the first metric that all share; None where there is none."""
    shared = set(report.reference.metrics)
    for candidate in report.candidates:
        shared &= set(candidate.metrics)
    ordered = [name for name in (*_PREFERRED, *report.reference.metrics) if name in shared]
    return ordered[0] if ordered else None


def frontier_figure(report: Report) -> dict[str, Any] | None:
    """``{"data": [line, points], "layout", "short"}`` (labels for narrow screens); None where no metric is shared."""
    metric = frontier_metric(report)
    if metric is None:
        return None
    points = _points(report, metric)
    line = sorted((p["x"], p["y"]) for p in points if p["frontier"])
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
        _scatter(points),
    ]
    return {"data": data, "layout": _layout(points, metric), "short": [str(step) for step in range(len(points))]}


def _points(report: Report, metric: str) -> list[dict[str, Any]]:
    reference = report.reference
    points = [_point("reference", reference.name, reference.size_bytes, reference.latency_ms, reference, metric)]
    for candidate in report.candidates:
        role = "chosen" if candidate.id == report.chosen else "candidate"
        point = _point(role, candidate.title, candidate.size_bytes, candidate.latency_ms, candidate, metric)
        points.append(point | {"frontier": candidate.on_frontier})
    return points


def _point(role: str, title: str, size_bytes: int, latency: Latency, source: Any, metric: str) -> dict[str, Any]:
    """One file: x in bytes, y in percent or as it is, and the text that is read on hover."""
    metrics: Mapping[str, Metric] = source.metrics
    found = metrics[metric]
    scale = 100 if is_proportion(metric) else 1
    lines = [
        f"<b>{escape(title)}</b>"
        + (" (chosen)" if role == "chosen" else " (reference)" if role == "reference" else ""),
        f"{metric_label(metric)} {metric_value(found.value, metric)} ({metric_range(found.low, found.high, metric)})",
        f"{escape(split_phrase(source.split))}, n = {found.n:,}",
        f"size {size(size_bytes)}",
        f"latency p50 {milliseconds(latency.p50)}, p90 {milliseconds(latency.p90)}",
    ]
    return {
        "role": role,
        "title": escape(title),
        "x": size_bytes,
        "y": found.value * scale,
        "up": max(0.0, found.high - found.value) * scale,
        "down": max(0.0, found.value - found.low) * scale,
        "p90": latency.p90,
        "test": source.split == SplitName.TEST,
        "hover": "<br>".join(lines),
        "frontier": False,
    }


def _scatter(points: list[dict[str, Any]]) -> dict[str, Any]:
    symbols = [_SYMBOLS[p["role"]] + ("" if p["test"] else "-open") for p in points]
    latencies = [p["p90"] for p in points]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "files",
        "x": [p["x"] for p in points],
        "y": [p["y"] for p in points],
        "text": [f"{step} {p['title']}" for step, p in enumerate(points)],
        "textposition": "top center",
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
            "symbol": symbols,
            "size": [19 if p["role"] == "chosen" else 13 for p in points],
            "color": latencies,
            "cmin": 0,
            "cmax": max(latencies),
            "line": {"width": 3},
            "colorbar": {
                "title": {"text": "p90 latency, ms", "side": "top"},
                "orientation": "h",
                "thickness": 10,
                "len": 0.6,
                "x": 0.5,
                "xanchor": "center",
                "y": -0.24,
                "yanchor": "top",
                "outlinewidth": 0,
            },
        },
    }


def _layout(points: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    sizes = [p["x"] for p in points]
    low, high = min(sizes) / 1.8, max(sizes) * 1.8
    ticks = [base * 10**power for power in range(1, 13) for base in (1, 2, 5) if low <= base * 10**power <= high]
    if len(ticks) > 7:
        ticks = [tick for tick in ticks if str(tick)[0] == "1"]
    unit = ", %" if is_proportion(metric) else ""
    return {
        "xaxis": {
            "type": "log",
            "title": {"text": "file size (logarithmic)"},
            "range": [math.log10(low), math.log10(high)],
            "tickvals": ticks,
            "ticktext": [_plain_size(tick) for tick in ticks],
            "zeroline": False,
        },
        "yaxis": {"title": {"text": f"{metric_label(metric)}{unit}"}, "zeroline": False, "automargin": True},
        "margin": {"l": 56, "r": 16, "t": 24, "b": 116},
        "height": 460,
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }


def _plain_size(tick: int) -> str:
    """``200000`` -> ``200 KB``: a round size without decimals."""
    number, unit = size(tick).split(" ")
    return f"{float(number.replace(',', '')):g} {unit}"
