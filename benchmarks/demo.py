"""`galenic demo` from an empty store, as a user starts it: seconds, size ratio and verdict: python benchmarks/demo.py"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from result import figure, write


def main() -> None:
    print("estimate: 5 minutes on 2 quiet cores")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "galenic.cli.main", "demo", "--store", folder]
        done = subprocess.run(command, check=False)
        seconds = time.monotonic() - started
        report = json.loads(next(Path(folder).glob("runs/*/report.json")).read_text())
    chosen = next(one for one in report["candidates"] if one["id"] == report["chosen"])
    ratio = report["reference"]["size_bytes"] / chosen["size_bytes"]
    positives = report["task"]["positives"]["test"]
    passed = float(report["gate"]["verdict"] == "pass")
    figures = {
        "seconds": figure(round(seconds, 1), "s", low=seconds, high=seconds, n=1, seeds=[report["run"]["seed"]]),
        "size_ratio": figure(
            ratio, "reference bytes / INT8 bytes", low=ratio, high=ratio, n=1, seeds=[report["run"]["seed"]]
        ),
        "verdict": figure(passed, "1 = pass", low=passed, high=passed, n=positives, seeds=[report["run"]["seed"]]),
    }
    details = {
        "exit_code": done.returncode,
        "positives_in_test": positives,
        "gate": report["gate"],
        "reference": {
            "size_bytes": report["reference"]["size_bytes"],
            "p90_ms": report["reference"]["latency_ms"]["p90"],
        },
        "chosen": {
            "size_bytes": chosen["size_bytes"],
            "p90_ms": chosen["latency_ms"]["p90"],
            "metrics": chosen["metrics"],
        },
        "comparison": report["comparison"]["sentence"],
    }
    write("demo", "lesions, built in and synthetic", started, figures, details)


if __name__ == "__main__":
    main()
