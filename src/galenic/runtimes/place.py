"""The machine that a session runs on, in words."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@cache
def machine_name() -> str:
    """The processor's name and how many cores this process may use, such as ``AMD EPYC 9B14, 2 cores``."""
    cores = available_cores()
    return f"{_processor()}, {cores} core{'s' if cores > 1 else ''}"


def available_cores() -> int:
    """The cores that this process may run on; fewer than the machine's where it is confined (taskset, a container)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "Model", "Hardware"} and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()
