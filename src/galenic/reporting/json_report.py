"""report.json: the text of a report, read back only where its format version is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from galenic.record.errors import InputError
from galenic.record.report import READABLE_VERSIONS, Report

READABLE = f"{', '.join(map(str, READABLE_VERSIONS[:-1]))} or {READABLE_VERSIONS[-1]}"
SCHEMA_PATH = Path(__file__).parent / "report.schema.json"


def report_schema() -> dict[str, Any]:
    """The JSON Schema of report.json; ``report.schema.json`` beside this module holds the same."""
    return Report.model_json_schema(mode="validation")


def report_json(report: Report) -> str:
    """The text of report.json; the same report gives the same text."""
    return report.model_dump_json(indent=2) + "\n"


def read_report(path: Path) -> Report:
    """Read a file that holds what ``report_json`` gave.

    Raises:
        InputError: the file is missing, is not JSON, is of another format version or is not a report.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text)
    except (OSError, ValueError) as error:
        raise _refused(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(raw, dict) or "format_version" not in raw:
        raise _refused(f"{path} is JSON but has no format_version")
    if raw["format_version"] not in READABLE_VERSIONS:
        raise InputError(
            given=f"{path} has format_version {raw['format_version']!r}",
            expected=f"format_version {READABLE}, which this galenic reads",
            todo="open it with the galenic that wrote it (run.versions in the file), or make it again",
        )
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _refused(f"{path} does not fit the schema at {where}: {first['msg']}") from error


def _refused(given: str) -> InputError:
    return InputError(
        given=given,
        expected=f"a report.json written by galenic, format_version {READABLE}",
        todo="make it again with `galenic compress RECIPE`",
    )
