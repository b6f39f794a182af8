"""report.html: one self-contained page made from the Report alone, which works offline and asks no server for anything.

The page carries plotly's own script and its Content-Security-Policy forbids every request. Templates escape by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from galenic.record.errors import MissingPackage
from galenic.record.report import Report
from galenic.reporting import layers, numbers, shapes, words
from galenic.reporting.frontier import frontier_figure, frontier_metric, latency_scale

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def render_html(report: Report) -> str:
    """The whole page as a string.

    Raises:
        MissingPackage: jinja2 or plotly is not installed.
        InputError: the report's chosen file is not among its candidates.
    """
    chosen = words.chosen_candidate(report)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            chosen=chosen,
            metric_names=_metric_names(report),
            figure=frontier_figure(report),
            figure_metric=frontier_metric(report),
            latency_scale=latency_scale(report.candidates),
            forests=shapes.forests(report.gate.checks),
            bars=shapes.latency_bars(report.candidates),
            largest_bytes=max(candidate.size_bytes for candidate in report.candidates),
            sensitivities=layers.sensitivity_chart(chosen.quant.sensitivities if chosen.quant else ()),
            plotly_script=plotly_script(),
        )
    )


def _metric_names(report: Report) -> list[str]:
    """Every metric that any file has, accuracy and AUC first, the rest in the report's order."""
    found = dict.fromkeys(name for candidate in report.candidates for name in candidate.validation)
    return [name for name in dict.fromkeys(("accuracy", "auc", *found)) if name in found]


def environment() -> Environment:
    """Jinja2 with our templates, filters and words; everything is escaped by default."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise _missing("jinja2") from error
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {name: getattr(numbers, name) for name in _NUMBER_FILTERS}
    made.globals |= {"words": words, "layers": layers, "ratio": numbers.ratio, "heat": shapes.heat}
    made.globals["MISSING"] = numbers.MISSING
    return made


_NUMBER_FILTERS = (
    "count",
    "duration",
    "instant",
    "megabytes",
    "metric_label",
    "metric_range",
    "metric_value",
    "milliseconds",
    "quantity",
    "size",
)


def plotly_script() -> str:
    """Plotly's own script, from its wheel."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise _missing("plotly") from error
    script: str = get_plotlyjs()
    if "</script" in script.lower() or "<!--" in script:
        raise AssertionError("plotly's script cannot stand inside a script element")
    return script


def _missing(package: str) -> MissingPackage:
    return MissingPackage(
        given=f"{package} is not installed",
        expected="it, to make report.html (report.json needs nothing more)",
        todo="install it with `pip install 'galenic[forge]'`",
    )
