"""How numbers are written for people: rounding, units and signs. Nothing here knows about a report.

Sizes are decimal (1 MB = 1,000,000 bytes), as device limits are. Proportions are shown in percent with one decimal, an
AUC with three. What was not measured (None, NaN) is a dash.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

MISSING = "–"
MINUS = "\N{MINUS SIGN}"

_PROPORTIONS = frozenset(
    {"accuracy", "balanced_accuracy", "sensitivity", "specificity", "recall", "precision", "ppv", "npv"}
)
_LABELS = {
    "auc": "AUC",
    "auc_positive": "AUC, positive",
    "f1": "F1",
    "ppv": "PPV",
    "npv": "NPV",
    "ece": "ECE",
    "kappa": "Kappa",
}


def is_proportion(metric: str) -> bool:
    """Whether a metric is shown in percent (``sensitivity``, ``sensitivity:nevus``) and not as a number (``auc``)."""
    return metric.partition(":")[0] in _PROPORTIONS


def metric_label(metric: str) -> str:
    """``auc`` -> ``AUC``, ``balanced_accuracy`` -> ``Balanced accuracy``."""
    words = metric.replace("_", " ")
    return _LABELS.get(metric, words[:1].upper() + words[1:])


def metric_value(value: float | None, metric: str) -> str:
    """``0.9432`` -> ``94.3 %`` for a proportion, ``0.943`` for anything else."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value * 100:.1f} %" if is_proportion(metric) else f"{value:.3f}"


def metric_range(low: float | None, high: float | None, metric: str) -> str:
    """``93.1–95.5 %`` or ``0.931–0.955``."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    if is_proportion(metric):
        return f"{low * 100:.1f}–{high * 100:.1f} %"
    return f"{low:.3f}–{high:.3f}"


def signed(value: float | None, metric: str) -> str:
    """A difference: ``−1.2`` points for a proportion, ``+0.004`` for anything else."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value * 100:+.1f}" if is_proportion(metric) else f"{value:+.3f}"
    return text.lstrip("+-") if not text.strip("+-0.") else text.replace("-", MINUS)


def size(size_bytes: float) -> str:
    """``1084231`` -> ``1.08 MB``, with three significant digits."""
    if not math.isfinite(size_bytes):
        return MISSING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size_bytes >= scale * 0.9995:
            return f"{_three_digits(size_bytes / scale)} {unit}"
    return f"{size_bytes:.0f} B"


def milliseconds(value: float) -> str:
    """``0.4213`` -> ``0.421 ms``, ``0.0166`` -> ``16.6 µs``, with three significant digits."""
    if not math.isfinite(value):
        return MISSING
    return f"{_three_digits(value * 1000)} µs" if 0 < value < 0.09995 else f"{_three_digits(value)} ms"


def megabytes(value: float) -> str:
    """``61.34`` -> ``61.3 MB``."""
    return f"{_three_digits(value)} MB" if math.isfinite(value) else MISSING


def count(value: float) -> str:
    """``11173962`` -> ``11.2 M``, ``999`` -> ``999``; 0 is a dash, since a record says 0 for what is not known."""
    if not math.isfinite(value) or value == 0:
        return MISSING
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale * 0.9995:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """``254`` -> ``4 min 14 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def instant(text: str) -> str:
    """``2026-11-20T22:14:05+00:00`` -> ``2026-11-20 22:14 UTC``; a text that is no ISO 8601 stays as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment.tzinfo else text


def ratio(larger: float, smaller: float) -> str | None:
    """``larger / smaller`` as ``41×`` or ``5.1×``; None where it means nothing."""
    if not (math.isfinite(larger) and math.isfinite(smaller)) or larger <= 0 or smaller <= 0:
        return None
    value = larger / smaller
    return f"{value:.0f}×" if value >= 9.95 else f"{value:.1f}×"


def quantity(value: float, unit: str) -> str:
    """A value in the unit of a budget: bytes, ms, MB, bits, or any other unit as it is."""
    known = {"bytes": size, "ms": milliseconds, "MB": megabytes, "bits": _bits}
    if unit in known:
        return known[unit](value)
    return f"{_three_digits(value)} {unit}" if math.isfinite(value) else MISSING


def _bits(value: float) -> str:
    return f"{value:.0f} bits" if math.isfinite(value) else MISSING


def _three_digits(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.9995 else f"{value:.3f}"
