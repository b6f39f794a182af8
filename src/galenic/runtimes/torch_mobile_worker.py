"""The process that PyTorch's lite interpreter runs in (see ``serving``).

    strt: JSON, threads and the shape of a row  ->  JSON, resident memory in 10^6 bytes
    load: the bytes of a .ptl                   ->  JSON, shape and type of what it answers to a row of zeros
    rows: (n, *row) float32                     ->  (n, outputs) float32
A damaged file can crash the interpreter, or compute for ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np
import psutil

from galenic.runtimes.serving import answer_frames


class LiteInterpreter:
    """The one net that is loaded, and the shape of what it takes."""

    def __init__(self) -> None:
        self._row: Sequence[int] = ()
        self._net: Net | None = None

    def start(self, order: bytes) -> dict[str, float]:
        """Torch with so many threads; resident memory then."""
        import torch

        wanted = json.loads(order)
        self._row = wanted["row"]
        torch.set_num_threads(wanted["threads"])
        torch.set_num_interop_threads(1)
        return {"resident_mb": psutil.Process().memory_info().rss / 1e6}

    def load(self, file: bytes) -> dict[str, Any]:
        """A .ptl; what it answers."""
        self._net = Net(file, self._row)
        return self._net.describe()

    def run(self, rows: bytearray) -> tuple[int, np.ndarray]:
        """As ``Net.run``."""
        if self._net is None:
            raise ValueError("there is no net yet")
        return self._net.run(rows)


class Net:
    """A .ptl file in the lite interpreter; ``row`` is the shape of what it takes."""

    def __init__(self, data: bytes, row: Sequence[int]) -> None:
        import torch

        self._row = row
        native: Any = torch._C
        self._module = native._load_for_lite_interpreter_from_buffer(data, None)

    def describe(self) -> dict[str, Any]:
        """Shape and type of what it answers to one row of zeros."""
        found = self._answer(np.zeros((1, *self._row), np.float32))
        return {"shape": list(found.shape), "type": str(found.dtype).removeprefix("torch.")}

    def run(self, payload: bytearray) -> tuple[int, np.ndarray]:
        """Nanoseconds in the interpreter, and the (n, outputs) float32 logits of (n, *row) float32 rows."""
        rows = np.frombuffer(payload, np.float32).reshape(-1, *self._row)
        begin = perf_counter_ns()
        logits: np.ndarray = self._answer(rows).numpy()
        return perf_counter_ns() - begin, logits

    def _answer(self, rows: np.ndarray) -> Any:
        import torch

        with torch.inference_mode():
            found = self._module.forward((torch.from_numpy(rows),))
        if not isinstance(found, torch.Tensor):
            raise ValueError(f"it answers a {type(found).__name__} where one tensor is expected")
        return found


if __name__ == "__main__":
    answer_frames(LiteInterpreter())
