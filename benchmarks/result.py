"""What every benchmark writes: benchmarks/results/NAME.json with its command, machine, versions and figures.

``seconds`` are those of the command as it was last run; what lay finished in runs/ was not done again.
A figure is {value, low, high, n, seeds, unit}. Over several seeds the value is their mean. A metric's low and high are the
means of the seeds' 95 % intervals over cases: all seeds read the same test cases, so averaging does not narrow them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from galenic.pipeline.setting import installed_versions
from galenic.record.report import Metric, Report
from galenic.runtimes.place import machine_name

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = Path(__file__).parent / "results"


def figure(value: float, unit: str, *, low: float, high: float, n: int, seeds: Sequence[int]) -> dict[str, Any]:
    """One figure as it is written."""
    return {"value": value, "low": low, "high": high, "n": n, "seeds": list(seeds), "unit": unit}


def metric_over_seeds(found: Sequence[Metric], seeds: Sequence[int], unit: str) -> dict[str, Any]:
    """The mean of a metric over seeds, with the means of its intervals' ends."""
    ends = {end: float(np.mean([getattr(one, end) for one in found])) for end in ("value", "low", "high")}
    return figure(ends["value"], unit, low=ends["low"], high=ends["high"], n=found[0].n, seeds=seeds)


def spread_over_seeds(values: Sequence[float], seeds: Sequence[int], unit: str, n: int = 1) -> dict[str, Any]:
    """The mean of a number over seeds (or repetitions), with the smallest and the largest."""
    return figure(float(np.mean(values)), unit, low=min(values), high=max(values), n=n, seeds=seeds)


def chosen(report: Report) -> Any:
    """The candidate that was gated."""
    return next(one for one in report.candidates if one.id == report.chosen)


def write(name: str, data: str, started: float, figures: Mapping[str, Any], details: Any = None) -> None:
    """Write benchmarks/results/NAME.json."""
    result = {
        "command": f"python benchmarks/{name}.py {' '.join(sys.argv[1:])}".strip(),
        "machine": machine_name(),
        "versions": installed_versions(),
        "seconds": round(time.monotonic() - started, 1),
        "data": data,
        "figures": dict(figures),
        "details": details,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(text_of(result))
    for key, value in figures.items():
        print(f"{key:<32} {value['value']} [{value['low']}, {value['high']}] {value['unit']}")


def text_of(result: Mapping[str, Any]) -> str:
    """The JSON, with a figure a line and numbers of five digits."""
    parts = [f'"{key}": {json.dumps(_short(value))}' for key, value in result.items() if key != "figures"]
    lines = [
        f' "{key}": {json.dumps(_short(value), separators=(",", ":"))}' for key, value in result["figures"].items()
    ]
    return "{\n" + ",\n".join([*parts, '"figures": {\n' + ",\n".join(lines) + "\n}"]) + "\n}\n"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value
