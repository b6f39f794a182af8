"""LiteRT's profiler: what it told, by hand; what it tells of a file; and a reason where it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dense_tflite import dense
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes import litert_profile
from galenic.runtimes.litert import op_times
from galenic.runtimes.litert_profile import WARMUP, profiled, table

FEATURES = 400_000
WARM = [[9000, 9000]] * WARMUP


@pytest.fixture
def wide(tmp_path: Path) -> Callable[[int], Artifact]:
    """A dense layer that takes long enough to be seen in microseconds, for so many rows at a time."""

    def make(batch: int) -> Artifact:
        data = dense(batch, weights=np.ones((2, FEATURES), np.float32))
        path = tmp_path / "model.tflite"
        path.write_bytes(data)
        ones, zeros = (1.0,) * FEATURES, (0.0,) * FEATURES
        spec = Preprocessing(modality=Modality.TABLE, raw_shape=(FEATURES,), scale=1.0, mean=zeros, std=ones)
        return Artifact(
            path=path,
            runtime="litert",
            precision="float32",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            lineage=("dense",),
            preprocessing=spec,
            classes=("benign", "malignant"),
        )

    return make


def test_the_first_runs_are_left_out_and_the_middle_half_of_the_others_counts() -> None:
    spent = [[10, 1], [20, 1], [30, 3], [900, 99]]  # the middle half: 20 and 30; 1 and 3
    told = {
        "operations": ["Convolution (NHWC, F32) IGEMM", "PADV2"],
        "spent_us": [*WARM, *spent],
        "whole_us": [20_000] * WARMUP + [16, 40, 60, 1000],
    }
    found = table(told, rows=2)
    assert [(one.name, one.op) for one in found.ops] == [
        ("0 Convolution (NHWC, F32) IGEMM", "Convolution"),
        ("1 PADV2", "PADV2"),
    ]
    assert [one.milliseconds for one in found.ops] == pytest.approx([0.0125, 0.001])
    assert found.ops[1].share == pytest.approx(1 / 13.5)
    assert (found.whole_ms, found.runs, found.statistic) == (pytest.approx(0.025), 4, "interquartile mean")


def test_two_operations_of_one_kind_are_two() -> None:
    told = {"operations": ["Add (ND)", "Add (ND)"], "spent_us": [*WARM, [1, 2]], "whole_us": [0] * WARMUP + [3]}
    assert {one.name: one.milliseconds for one in table(told, 1).ops} == {"0 Add (ND)": 0.001, "1 Add (ND)": 0.002}


def test_no_operation_is_a_reason() -> None:
    assert table({"operations": [], "spent_us": [], "whole_us": []}, 1).reason == "LiteRT's profiler saw no operation"


@pytest.mark.parametrize(("batch", "rows"), [(1, 2), (2, 3)])
def test_it_tells_that_a_dense_layers_time_is_its_products(wide, batch, rows) -> None:
    found = op_times(wide(batch), np.ones((rows, FEATURES), np.float32), threads=1, device="cpu", runs=6)
    assert found.reason == ""
    assert found.ops[0].op == "Fully Connected"
    assert found.ops[0].share > 0.5
    assert 0 < found.ops[0].milliseconds <= found.whole_ms
    assert found.runs == 6


def test_what_its_library_refuses_is_a_reason() -> None:
    found = profiled(b"no file", np.ones((1, 1, 3), np.float32), 2, threads=1, runs=1, subject="a file")
    assert found.ops == ()
    assert "LiteRT's profiler did not answer: RuntimeError: LiteRtCreateModelFromBuffer gave the status" in found.reason


def test_a_process_that_dies_is_a_reason(monkeypatch) -> None:
    monkeypatch.setattr(litert_profile, "WORKER", "galenic.no_such_module")
    found = profiled(dense(), np.ones((1, 1, 3), np.float32), 2, threads=1, runs=1, subject="a file")
    assert "a file in LiteRT's profiler: its worker process does not answer any more" in found.reason
