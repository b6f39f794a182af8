from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

from galenic.record.errors import ExitCode, InputError
from galenic.record.quant import Observer
from galenic.record.report import Metric, Report
from galenic.reporting.json_report import SCHEMA_PATH, read_report, report_json, report_schema


@pytest.mark.parametrize("name", ["passing", "failing", "undecided", "multi_class"])
def test_what_is_written_is_read_back(sample: ModuleType, name: str, tmp_path: Path) -> None:
    report = getattr(sample, name)()
    (tmp_path / "report.json").write_text(report_json(report))
    assert read_report(tmp_path / "report.json") == report


def test_a_value_that_is_not_a_number_survives(passing: Report, tmp_path: Path) -> None:
    nan = Metric(value=float("nan"), low=float("nan"), high=float("inf"), n=0)
    first = passing.candidates[0].model_copy(update={"metrics": {"auc": nan}})
    (tmp_path / "r.json").write_text(
        report_json(passing.model_copy(update={"candidates": (first, *passing.candidates[1:])}))
    )
    found = read_report(tmp_path / "r.json").candidates[0].metrics["auc"]
    assert found.value != found.value
    assert found.high == float("inf")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"3", b'{"run": {}}'])
def test_a_corrupt_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"report\.json") as caught:
        read_report(path)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json"):
        read_report(tmp_path / "nowhere.json")


@pytest.mark.parametrize("version", [0, 5, "1", None])
def test_another_format_version_is_refused_by_its_number(passing: Report, version: object, tmp_path: Path) -> None:
    raw = json.loads(passing.model_dump_json()) | {"format_version": version}
    (tmp_path / "report.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"format_version") as caught:
        read_report(tmp_path / "report.json")
    assert repr(version) in caught.value.given
    assert "format_version 1, 2, 3 or 4" in caught.value.expected


def test_a_report_of_version_1_which_knows_no_probe_is_still_read(passing: Report, tmp_path: Path) -> None:
    raw = json.loads(passing.model_dump_json()) | {"format_version": 1}
    del raw["probe"], raw["recipe"]["probe"]
    (tmp_path / "report.json").write_text(json.dumps(raw))
    found = read_report(tmp_path / "report.json")
    assert (found.format_version, found.probe) == (1, None)
    assert found.candidates == passing.candidates


def test_a_report_of_version_2_whose_quantization_is_a_rule_is_still_read(passing: Report, tmp_path: Path) -> None:
    raw = json.loads(passing.model_dump_json()) | {"format_version": 2}
    for candidate in raw["candidates"]:
        if candidate["quant"] is not None:
            kept = (
                "weight_bits",
                "activation_bits",
                "per_channel",
                "observer",
                "keep",
                "calibration_hash",
                "calibration_rows",
            )
            rule = {key: candidate["quant"]["rule"][key] for key in kept}
            candidate["quant"] = {"rule": rule, "points": [], "stays_float": candidate["quant"]["stays_float"]}
    (tmp_path / "report.json").write_text(json.dumps(raw))
    found = read_report(tmp_path / "report.json")
    assert found.format_version == 2
    quant = found.candidates[-1].quant
    assert quant is not None
    assert (quant.rule.observer, quant.sensitivities, quant.measured) == (Observer.MSE, (), {})


def test_a_key_that_does_not_fit_is_named(passing: Report, tmp_path: Path) -> None:
    raw = json.loads(passing.model_dump_json())
    raw["candidates"][2]["size_bytes"] = "large"
    (tmp_path / "report.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"candidates\.2\.size_bytes"):
        read_report(tmp_path / "report.json")


def test_the_committed_schema_is_the_models() -> None:
    assert json.loads(SCHEMA_PATH.read_text()) == report_schema(), "run: make schema"


@pytest.mark.parametrize("name", ["passing", "failing", "undecided", "multi_class"])
def test_reports_fit_the_schema(sample: ModuleType, name: str) -> None:
    schema = json.loads(SCHEMA_PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(getattr(sample, name)().model_dump_json()))


def test_the_schema_refuses_what_the_model_refuses(passing: Report) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    raw = json.loads(passing.model_dump_json())
    assert not validator.is_valid({**raw, "surprise": 1})
    assert not validator.is_valid({key: value for key, value in raw.items() if key != "gate"})
