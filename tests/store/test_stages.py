"""Stages are named by their content and done once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from galenic.record.errors import StoreError
from galenic.store.stages import Store


def test_equal_inputs_are_one_stage_whatever_the_order_of_keys(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.stage("model", {"a": 1, "b": [2]}) == store.stage("model", {"b": [2], "a": 1})
    assert store.stage("model", {"a": 1}).folder != store.stage("model", {"a": 2}).folder
    assert store.stage("model", {"a": 1}).folder != store.stage("file", {"a": 1}).folder


def test_a_stage_has_a_result_once_it_is_finished(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("model", {})
    assert stage.result is None
    with stage.locked():
        stage.finish({"models": 2})
    assert Store(tmp_path).stage("model", {}).result == {"models": 2}


def test_a_damaged_result_names_the_folder_to_delete(tmp_path: Path) -> None:
    stage = Store(tmp_path).stage("model", {})
    stage.finish({})
    (stage.folder / "result.json").write_text('{"mod')
    with pytest.raises(StoreError, match="delete the folder"):
        _ = stage.result


HOLD = """
import sys, time
from pathlib import Path
from galenic.store.stages import Store
with Store(Path(sys.argv[1])).stage("model", {}).locked():
    print("held", flush=True)
    time.sleep(0.5)
    print(time.time(), flush=True)
"""


def test_a_second_process_waits_for_the_lock(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "held"
        with Store(tmp_path).stage("model", {}).locked():
            entered = time.time()
        assert entered >= float(other.stdout.readline())
