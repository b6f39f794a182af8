"""Where the time goes, as the runtimes tell it of a net with two operations; and why one that does not tell does not."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from galenic.measuring import op_times as module
from galenic.measuring.op_times import op_times
from galenic.record.errors import InputError
from galenic.runtimes import openvino

ROWS = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)


@pytest.fixture
def heavy(artifact):
    """The dense layer, and then a product with a large matrix and back, which takes nearly all of the time."""
    model = onnx.load(artifact.path)
    wide = np.ones((2, 300_000), np.float32)
    model.graph.node[0].output[0], model.graph.node[0].name = "dense", "light"
    model.graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(wide.T), "back"))
    model.graph.node.append(helper.make_node("MatMul", ["dense", "wide"], ["many"], name="there"))
    model.graph.node.append(helper.make_node("MatMul", ["many", "back"], ["logits"], name="back_again"))
    data = model.SerializeToString()
    artifact.path.write_bytes(data)
    return artifact.model_copy(update={"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)})


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_heavy_operations_take_the_time(heavy, runtime):
    pytest.importorskip(runtime)
    found = op_times(heavy.model_copy(update={"runtime": runtime}), ROWS, runs=5)
    assert found.reason == ""
    assert found.runs == 5
    assert sum(one.share for one in found.ops) == pytest.approx(1.0)
    assert [one.milliseconds for one in found.ops] == sorted((one.milliseconds for one in found.ops), reverse=True)
    assert found.statistic == ("interquartile mean" if runtime == "onnxruntime" else "mean")
    heavy_share = sum(one.share for one in found.ops if one.name not in {"light", "dense"})
    assert heavy_share > 0.9


def test_a_runtime_that_does_not_tell_says_why(artifact, monkeypatch):
    named = dataclasses.replace(openvino.RUNTIME, op_times=None, no_op_times="its profiler is in C++ alone")
    monkeypatch.setattr(module, "require_runtime", lambda name: named)
    assert op_times(artifact, ROWS).reason == "its profiler is in C++ alone"
    silent = dataclasses.replace(openvino.RUNTIME, op_times=None)
    monkeypatch.setattr(module, "require_runtime", lambda name: silent)
    found = op_times(artifact, ROWS)
    assert found.reason == "openvino does not tell how long its operations take"
    assert found.ops == ()


def test_nothing_to_run_is_refused(artifact):
    with pytest.raises(InputError, match="0 rows"):
        op_times(artifact, ROWS[:0])
