"""Our INT8 beside the peers' own quantizers, same float model, same calibration rows: python benchmarks/quantization_peers.py

    RUNTIME.ours.accuracy, RUNTIME.peer.accuracy    MobileNetV3-small on CIFAR-10's test set, 3 draws of calibration rows
    RUNTIME.ours.p90_ms, RUNTIME.peer.p90_ms        whole answers, batch 1, one thread, of the first draw
    RUNTIME.accuracy_gain                           ours minus the peer's, paired by case (0.5 point is the margin)
    RUNTIME.speedup                                 the peer's ms / ours, timed in turn
    resnet20.RUNTIME.*                              the same with a ResNet-20
Ours are static_int8 with nothing set. What the peers are is in peers.py. Run it alone on the machine.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from galenic import methods as gx
from galenic.gating.metrics import metrics
from galenic.measuring.duel import duel
from galenic.measuring.latency import measure_latency
from galenic.measuring.predict import predict
from galenic.preprocess.transform import to_inputs
from galenic.record.predictions import Predictions
from galenic.record.session import Session
from galenic.record.task import SplitName, Task
from galenic.runtimes.load import open_session
from galenic.zoo.model import Model
from lab import declare_comparison
from nets import DATA_SETS, DRAWS, changes, drawn, net, quantized, task_of, tested
from peers import PEERS
from result import figure, metric_over_seeds, write

NETS = {"mobilenet_v3_small": "", "resnet20": "resnet20."}
RUNS, WARMUP, ROWS = 1024, 50, 64


def main() -> None:
    print("estimate: 40 minutes on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = task_of("cifar")
    declare_comparison(task, f"CIFAR-10: our INT8 files and the peers', of {', '.join(NETS)}")
    figures: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name, prefix in NETS.items():
        model = net(task, name, "cifar")
        made = [quantized(task, draw, model, gx.StaticInt8()) for draw in DRAWS]
        for runtime in PEERS:
            found, more = beside(task, model, made, runtime)
            figures |= {f"{prefix}{runtime}.{key}": value for key, value in found.items()}
            details[f"{prefix}{runtime}"] = more
            print(name, runtime, {key: round(value["value"], 4) for key, value in found.items()}, flush=True)
    write("quantization_peers", DATA_SETS["cifar"], started, figures, details)


def beside(task: Task, model: Model, made: list[Model], runtime: str) -> tuple[dict[str, Any], Any]:
    """Ours and the peer's in one runtime."""
    plain, _ = tested(task, model, runtime)
    ours, theirs = list[Predictions](), list[Predictions]()
    sessions: list[tuple[Session, Session]] = []
    with TemporaryDirectory() as folder:
        for draw, one in zip(DRAWS, made, strict=True):
            own, answers = tested(task, one, runtime)
            room = Path(folder) / str(draw)
            room.mkdir()
            rows = to_inputs(task.preprocessing, drawn(task, draw).calibration.inputs)
            peer = PEERS[runtime](plain, rows, room)
            sessions.append((open_session(own, threads=1), peer))
            ours.append(answers)
            theirs.append(predict(peer, task, SplitName.TEST))
        first, second = sessions[0]
        raw = task.validation.inputs[:ROWS]
        speed = duel(second, first, raw)
        found = {
            "ours.accuracy": metric_over_seeds([metrics(one)["accuracy"] for one in ours], DRAWS, "fraction"),
            "peer.accuracy": metric_over_seeds([metrics(one)["accuracy"] for one in theirs], DRAWS, "fraction"),
            "accuracy_gain": changes("accuracy", ours, theirs),
            "ours.p90_ms": p90(first, raw),
            "peer.p90_ms": p90(second, raw),
            "speedup": figure(speed.value, "ratio", low=speed.low, high=speed.high, n=speed.rounds, seeds=[0]),
        }
        return found, {"bytes": [first.artifact.size_bytes, second.artifact.size_bytes]}


def p90(session: Session, raw: Any) -> dict[str, Any]:
    """The 90th percentile of a file's latency; its ends are the median and the 99th."""
    latency, _ = measure_latency(session, raw, runs=RUNS, warmup=WARMUP)
    return figure(latency.p90, "ms (low p50, high p99)", low=latency.p50, high=latency.p99, n=RUNS, seeds=[0])


if __name__ == "__main__":
    main()
