"""The plot of hinton_mnist.py: errors against temperature, and sample digits with their soft targets beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from galenic.record.predictions import Predictions
from galenic.record.task import Task

SHOWN_TEMPERATURES = (1.0, 4.0, 20.0)
DIGITS = 4
BARS = "#4c78a8"
FOLDER = Path("runs") / "plots"


def write_plot(
    temperatures: Sequence[float],
    curves: Mapping[str, Sequence[int]],
    plain: float,
    task: Task,
    teacher: Predictions,
) -> Path:
    """Write runs/plots/hinton_mnist.html; it holds a few test images, so it stays out of the repository."""
    titles = ["test errors against the temperature", "", *(f"soft targets, T = {t:g}" for t in SHOWN_TEMPERATURES)]
    figure = make_subplots(
        rows=1 + DIGITS,
        cols=1 + len(SHOWN_TEMPERATURES),
        specs=[[{"colspan": 1 + len(SHOWN_TEMPERATURES)}, *[None] * len(SHOWN_TEMPERATURES)]]
        + [[{} for _ in range(1 + len(SHOWN_TEMPERATURES))] for _ in range(DIGITS)],
        row_heights=[0.4, *[0.6 / DIGITS] * DIGITS],
        subplot_titles=titles,
    )
    names = ["infinite" if np.isinf(t) else f"{t:g}" for t in temperatures]
    for units, values in curves.items():
        figure.add_trace(
            go.Scatter(x=names, y=list(values), mode="lines+markers", name=f"2 x {units} units"), row=1, col=1
        )
    alone = go.Scatter(
        x=names, y=[plain] * len(names), mode="lines", line_dash="dot", name="2 x 800 units, labels alone"
    )
    figure.add_trace(alone, row=1, col=1)
    figure.update_yaxes(type="log", title="errors of 10,000", dtick="D2", row=1, col=1)
    for row, case in enumerate(ambiguous(teacher), 2):
        image = task.test.inputs[case].reshape(28, 28)[::-1]
        figure.add_trace(go.Heatmap(z=image, colorscale="Greys", showscale=False), row=row, col=1)
        figure.update_xaxes(visible=False, row=row, col=1)
        figure.update_yaxes(visible=False, scaleanchor=f"x{2 + (row - 2) * 4}", row=row, col=1)
        for column, temperature in enumerate(SHOWN_TEMPERATURES, 2):
            soft = softened(teacher.logits[case], temperature)
            figure.add_trace(
                go.Bar(x=list(range(10)), y=soft, showlegend=False, marker_color=BARS), row=row, col=column
            )
            figure.update_yaxes(range=[0, 1], row=row, col=column)
            figure.update_xaxes(dtick=1, row=row, col=column)
    figure.update_layout(height=1100, title="Distillation on MNIST, after Hinton, Vinyals and Dean (2015)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "hinton_mnist.html"
    figure.write_html(path, include_plotlyjs=True)
    return path


def ambiguous(teacher: Predictions) -> list[int]:
    """The rightly decided cases of different digits about which the teacher is least sure."""
    sure = teacher.probabilities().max(axis=1)
    right = np.flatnonzero(teacher.decisions() == teacher.labels)
    chosen: dict[int, int] = {}
    for case in right[np.argsort(sure[right])]:
        chosen.setdefault(int(teacher.labels[case]), int(case))
    return list(chosen.values())[:DIGITS]


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / T)."""
    scaled = np.exp((logits - logits.max()) / temperature)
    shares: np.ndarray = scaled / scaled.sum()
    return shares
