"""The page of ``galenic bench``: which file to ship, every table that the terminal has, and a chart of where the time goes.

One self-contained page made from the BenchResult alone, like the report: plotly's own script is in it, and nothing is asked for.
"""

from __future__ import annotations

from html import escape
from typing import Any

from galenic.record.bench import BenchResult, OpTimes
from galenic.reporting.bench_tables import WORDS, energy_notes, row_title, tables, versions_line
from galenic.reporting.html import environment, plotly_script
from galenic.reporting.numbers import milliseconds

MOST_BARS = 20
"""Of single operations; the rest stands as one bar below them."""
BAR_PX, EDGES_PX = 24, 96


def render_bench(result: BenchResult) -> str:
    """The whole page as a string.

    Raises:
        MissingPackage: jinja2 or plotly is not installed.
    """
    charts = [(row_title(row), op_figure(row.op_times)) for row in result.rows if row.op_times and row.op_times.ops]
    reasons = [(row_title(row), row.op_times.reason) for row in result.rows if row.op_times and row.op_times.reason]
    return (
        environment()
        .get_template("bench.html.j2")
        .render(
            result=result,
            tables=tables(result),
            word_columns=WORDS,
            versions=versions_line(result),
            charts=charts,
            reasons=reasons,
            notes=[*energy_notes(result), *result.notes],
            plotly_script=plotly_script() if charts else "",
        )
    )


def op_figure(found: OpTimes) -> dict[str, Any]:
    """A bar for each operation, the longest on top: milliseconds on x; names are escaped, since plotly reads a little HTML."""
    bars = [(one.name, one.op, one.milliseconds, one.share) for one in found.ops[:MOST_BARS]]
    others = found.ops[MOST_BARS:]
    if others:
        spent = sum(one.milliseconds for one in others)
        bars.append((f"{len(others)} others", "", spent, sum(one.share for one in others)))
    labels = [escape(f"{op}  {name}".strip()[-48:]) for name, op, _, _ in bars]
    hover = [
        f"<b>{escape(name)}</b><br>{escape(op)}<br>{milliseconds(ms)}, {share:.1%}" for name, op, ms, share in bars
    ]
    places = list(range(len(bars)))
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [ms for _, _, ms, _ in bars],
                "y": places,
                "text": [f"{share:.1%}" for _, _, _, share in bars],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertext": hover,
                "hoverinfo": "text",
            }
        ],
        "layout": {
            "xaxis": {"title": {"text": "milliseconds, profiler included", "standoff": 8}, "rangemode": "tozero"},
            "yaxis": {"autorange": "reversed", "tickvals": places, "ticktext": labels, "automargin": True},
            "height": EDGES_PX + BAR_PX * len(bars),
            "margin": {"l": 16, "r": 56, "t": 8, "b": 52},
            "bargap": 0.25,
            "showlegend": False,
            "dragmode": False,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
        },
    }
