"""What `galenic bench` adds to a runtime's raw call, on a net so small that nothing hides it: python benchmarks/bench_overhead.py

    microseconds = (wall of the bench's loop - its preprocessing - its postprocessing) / answers - wall of a bare loop / answers
Both loops take turns, so that what the machine does meanwhile falls on both; the value is the median over the rounds, with the
sign test's 95 % interval. Preprocessing and postprocessing are parts of an answer, timed apart, and no overhead.
`--smoke` does a hundred rounds and writes nothing. Run it alone on the machine.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from galenic.measuring.bench import Floor, as_singles, timed_loop
from galenic.measuring.duel import median_interval
from galenic.measuring.latency import answer_timer, quiet_collector
from galenic.record.artifact import Artifact
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.task import TaskKind
from galenic.runtimes.answer import prepare
from galenic.runtimes.onnxruntime import load
from result import figure, write

ROUNDS, SMOKE_ROUNDS, ANSWERS = 4000, 100, 100
"""Short rounds: most of them nothing interrupts, and the median is of those."""
FEATURES = 4


def tiny(path: Path) -> Artifact:
    """A dense layer of four inputs and two outputs."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["input", "weights"], ["logits"])],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.ones((FEATURES, 2), np.float32), "weights")],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    path.write_bytes(data)
    return Artifact(
        path=path,
        runtime="onnxruntime",
        precision="float32",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        lineage=("tiny",),
        preprocessing=Preprocessing(
            modality=Modality.TABLE, raw_shape=(FEATURES,), scale=1.0, mean=(0.0,) * FEATURES, std=(1.0,) * FEATURES
        ),
        classes=("ill", "well"),
    )


def main() -> None:
    smoke = "--smoke" in sys.argv
    print(f"estimate: {2 if smoke else 40} seconds", flush=True)
    started = time.monotonic()
    raw = np.random.default_rng(0).normal(size=(8, FEATURES)).astype(np.float32)
    with TemporaryDirectory() as folder:
        session = load(tiny(Path(folder) / "tiny.onnx"))
        singles = as_singles(raw)
        inputs = [prepare(session, single) for single in singles]
        time_one, runtime = answer_timer(session, TaskKind.SINGLE_LABEL), session._session
        names, entry, least = [session._output], session._input, Floor(ANSWERS, 0.0, 0, 0.0)

        def bare() -> float:
            begun = perf_counter_ns()
            for turn in range(ANSWERS):
                runtime.run(names, {entry: inputs[turn % len(inputs)]})
            return (perf_counter_ns() - begun) / ANSWERS / 1e3

        def benched() -> tuple[float, float]:
            begun = perf_counter_ns()
            found = timed_loop(time_one, singles, least, perf_counter_ns)
            wall_ns = perf_counter_ns() - begun
            parts = np.frombuffer(found, np.int64).reshape(-1, 3).sum(axis=0)
            return (wall_ns - parts[0] - parts[2]) / ANSWERS / 1e3, parts[1] / ANSWERS / 1e3

        added, reported, raws = [], [], []
        with quiet_collector():
            bare(), benched()
            for number in range(SMOKE_ROUNDS if smoke else ROUNDS):
                (whole, inference), alone = (benched(), bare()) if number % 2 else reversed((bare(), benched()))
                added.append(whole - alone)
                reported.append(inference - alone)
                raws.append(alone)
    low, high = median_interval(added)
    details = {
        "raw_call_microseconds": float(np.median(raws)),
        "reported_inference_above_raw_call_microseconds": float(np.median(reported)),
        "answers_per_round": ANSWERS,
    }
    value = float(np.median(added))
    if smoke:
        print(f"microseconds {value:.2f} [{low:.2f}, {high:.2f}]", details)
        return
    figures = {
        "microseconds": figure(value, "us a call over the raw call", low=low, high=high, n=len(added), seeds=[0])
    }
    write("bench_overhead", "none: drawn rows", started, figures, details)


if __name__ == "__main__":
    main()
