"""The fall net as C on a Cortex-M4: python benchmarks/fall_mcu.py

    net           a 1-D ResNet teaches a depthwise-separable net of 16 channels; then INT8, then C. Training windows are shifted by
                  up to 8 samples either way, half of the step between the windows of a stream
    flash, RAM    of the net for a Cortex-M4: its object file, tensors and the deepest stack, in QEMU; instructions of a window
    auc_change    C minus the float net on the test windows, paired (DeLong, by subject)
    within_1_step share of logits that are at most one step of their grid from TFLite Micro's
    false_alarms_per_day    on the test subjects' 3 h of daily activity, a window each 0.32 s; windows in a row are one alarm. The
                            threshold is the highest that finds 98 % of the falls on validation. Exact Poisson interval
The test set is read by design, as a declared comparison of the float net with its C file.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from galenic import methods as gx
from galenic.measuring.predict import predict
from galenic.pipeline.file_stages import export_stage
from galenic.pipeline.training_stages import run_phase
from galenic.preprocess.windows import cut_windows
from galenic.record.artifact import Artifact
from galenic.record.predictions import Predictions
from galenic.record.session import Session
from galenic.record.task import SplitName, Task
from galenic.record.training import TrainingConfig
from galenic.runtimes.answer import run_raw
from galenic.runtimes.load import open_session
from galenic.stats.auc import auc_interval, binary_auc, paired_auc_interval
from galenic.stats.proportions import wilson
from galenic.stats.rates import poisson_rate
from galenic.tasks.load import load_task
from galenic.zoo.model import Model
from lab import declare_comparison, fresh, predictions, setting, teacher, trained
from result import DATA, figure, spread_over_seeds, write

SEEDS = (0, 1, 2)
BOARD = "cortex-m4"
COMMON = {"batch_size": 64, "ema_decay": 0.99}
TEACHER = TrainingConfig(epochs=30, learning_rate=1e-3, **COMMON)
STUDENT = TrainingConfig(epochs=80, learning_rate=3e-3, **COMMON)
KD = gx.SoftTarget(temperature=4.0, alpha=0.7)
LENGTH, HOP, HERTZ = 128, 16, 50
WANTED_SENSITIVITY = 0.98
DAY_S = 86_400
BOARD_ROWS = 50


def main() -> None:
    print("estimate: 20 minutes on one core, less what is in runs/", flush=True)
    started = time.monotonic()
    task = load()
    declare_comparison(task, "SisFall: the float net and its C file")
    runs = [one(task, seed) for seed in SEEDS]
    figures: dict[str, Any] = {}
    for name, unit in (("flash_bytes", "bytes"), ("ram_bytes", "bytes"), ("instructions", "instructions")):
        figures[name] = spread_over_seeds([run[name] for run in runs], SEEDS, unit)
    for name, unit in (("auc", "AUC"), ("auc_change", "AUC"), ("within_1_step", "fraction")):
        ends = {end: float(np.mean([getattr(run[name], end) for run in runs])) for end in ("value", "low", "high")}
        figures[name] = figure(ends["value"], unit, low=ends["low"], high=ends["high"], n=runs[0][name].n, seeds=SEEDS)
    figures |= alarms(runs)
    write(
        "fall_mcu",
        "SisFall, peak windows and test streams (sisfall)",
        started,
        figures,
        [run["details"] for run in runs],
    )


def load() -> Task:
    path = DATA / "sisfall" / "sisfall_peak128.npz"
    return load_task(f"signals:{path}", classes=["daily activity", "fall"], positive=["fall"])


def net(task: Task, seed: int) -> Model:
    """The float net, taught by a larger one."""
    where = setting(task, seed)
    taught = teacher(where, trained(where, fresh(task, "resnet1d", seed), TEACHER))
    return trained(where, fresh(task, "ds_conv1d", seed), STUDENT, [KD], [taught])


def one(task: Task, seed: int) -> dict[str, Any]:
    where, student = setting(task, seed), net(task, seed)
    plain = {name: predictions(where, student, name) for name in (SplitName.VALIDATION, SplitName.TEST)}
    integers = run_phase(where, [gx.StaticInt8()], student)[-1]
    file = export_stage(where, integers, "c")
    micro = export_stage(where, integers, "tflite-micro")
    here = open_session(file)
    found = {name: predict(here, task, name) for name in (SplitName.VALIDATION, SplitName.TEST)}
    board = open_session(file, device=BOARD)
    rows = task.test.inputs[:BOARD_ROWS]
    np.testing.assert_array_equal(run_raw(board, rows), found[SplitName.TEST].logits[:BOARD_ROWS])
    threshold = threshold_of(found[SplitName.VALIDATION])
    falls, quiet = on_streams(here, threshold)
    areas = [binary_auc(scores(one), one.labels == 1) for one in (found[SplitName.TEST], plain[SplitName.TEST])]
    return {
        "flash_bytes": board.footprint().flash_bytes,
        "ram_bytes": board.footprint().ram_bytes,
        "instructions": board.instructions,
        "auc": auc_interval(areas[0], clusters=task.test.clusters),
        "auc_change": paired_auc_interval(*areas, clusters=task.test.clusters),
        "within_1_step": within_a_step(found[SplitName.TEST], micro, task),
        "alarms": quiet,
        "falls": falls,
        "details": {"seed": seed, "threshold": threshold, "size_bytes": file.size_bytes, "macs": file.macs},
    }


def scores(found: Predictions) -> np.ndarray:
    return found.logits[:, 1] - found.logits[:, 0]


def threshold_of(found: Predictions) -> float:
    """The highest margin of the logits at which 98 % of the validation's falls are found."""
    return float(np.quantile(scores(found)[found.labels == 1], 1 - WANTED_SENSITIVITY, method="lower"))


def within_a_step(found: Predictions, micro: Artifact, task: Task) -> Any:
    theirs = predict(open_session(micro), task, SplitName.TEST).logits
    step = np.diff(np.unique(np.concatenate([theirs.ravel(), found.logits.ravel()]))).min()
    apart = np.rint(np.abs(theirs - found.logits) / step)
    return wilson(int((apart <= 1).sum()), apart.size)


def on_streams(session: Session, threshold: float) -> tuple[tuple[int, int], tuple[int, float]]:
    """(falls found, falls) and (false alarms, seconds of daily activity)."""
    file = np.load(DATA / "sisfall" / "sisfall_test_streams.npz", allow_pickle=False)
    falls, found, alarms, samples = 0, 0, 0, 0
    for number, fall in enumerate(file["y"]):
        stream = file["data"][file["offsets"][number] : file["offsets"][number + 1]]
        logits = run_raw(session, cut_windows(stream, LENGTH, HOP))
        over = logits[:, 1] - logits[:, 0] >= threshold
        if fall:
            falls, found = falls + 1, found + bool(over.any())
        else:
            samples += len(stream)
            alarms += int(over[0]) + int((over[1:] & ~over[:-1]).sum())
    return (found, falls), (alarms, samples / HERTZ)


def alarms(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Per day and seed, and the share of the streams' falls that raise an alarm."""
    figures = {}
    rates = [poisson_rate(count, seconds / DAY_S) for count, seconds in (run["alarms"] for run in runs)]
    ends = {end: float(np.mean([getattr(rate, end) for rate in rates])) for end in ("value", "low", "high")}
    seconds = int(runs[0]["alarms"][1])
    figures["false_alarms_per_day"] = figure(
        ends["value"], f"alarms a day, from {seconds} s", low=ends["low"], high=ends["high"], n=seconds, seeds=SEEDS
    )
    shares = [wilson(*run["falls"]) for run in runs]
    ends = {end: float(np.mean([getattr(share, end) for share in shares])) for end in ("value", "low", "high")}
    figures["falls_found"] = figure(
        ends["value"], "fraction", low=ends["low"], high=ends["high"], n=runs[0]["falls"][1], seeds=SEEDS
    )
    return figures


if __name__ == "__main__":
    main()
