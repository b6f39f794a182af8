"""The process that ExecuTorch runs in (see ``serving``).

    strt: the threads, in digits      ->  JSON (see ``start_runtime``)
    load: the bytes of a .pte         ->  JSON (see ``Program.describe``)
    rows: (n, *input_shape) float32   ->  (n, outputs) float32
ExecuTorch's Python runtime needs torch, which a session's own process never imports, and a damaged file can crash it.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import numpy as np
import psutil

from galenic.runtimes.batches import in_batches
from galenic.runtimes.serving import answer_frames

METHOD = "forward"
FLOAT_CODE = 6
"""float32 among ExecuTorch's scalar types."""


class ExecuTorch:
    """The runtime, and the one program that is loaded."""

    def __init__(self) -> None:
        self._runtime: Any = None
        self._program: Program | None = None

    def start(self, order: bytes) -> dict[str, float]:
        """``start_runtime`` with the threads that are asked for."""
        self._runtime, facts = start_runtime(int(order))
        return facts

    def load(self, file: bytes) -> dict[str, Any]:
        """A .pte; its ends."""
        self._program = Program(self._runtime, file)
        return self._program.describe()

    def run(self, rows: bytearray) -> tuple[int, np.ndarray]:
        """As ``Program.run``."""
        if self._program is None:
            raise ValueError("there is no program yet")
        return self._program.run(rows)


def start_runtime(threads: int) -> tuple[Any, dict[str, float]]:
    """ExecuTorch's runtime with a pool of that many threads; what it has, and resident memory in 10^6 bytes.

    Its library is linked to torch's, so torch comes first. The public names of what it holds lie in modules that import
    ExecuTorch's compiler as well, which takes ten seconds where the library alone takes two.
    """
    import torch
    from executorch.extension.pybindings import _C as runtime

    torch.set_num_threads(1)
    # The pool has a thread for each core of the machine. Confining the process to fewer cores does not change that; it
    # only makes the threads wait for each other. "Unsafe" it is while a program runs, which none does yet.
    runtime._unsafe_reset_threadpool(threads)
    resident_mb = psutil.Process().memory_info().rss / 1e6
    return runtime, {"threads": runtime._threadpool_get_thread_count(), "resident_mb": resident_mb}


class Program:
    """One loaded .pte."""

    def __init__(self, runtime: Any, data: bytes) -> None:
        self._data = data  # read in place, and not kept alive by the runtime
        self._program = runtime._load_program_from_buffer(
            data, program_verification=runtime.Verification.InternalConsistency
        )
        self._method = self._program.load_method(METHOD)
        meta = self._method.method_meta()
        self._inputs = [meta.input_tensor_meta(index) for index in range(meta.num_inputs())]
        self._outputs = [meta.output_tensor_meta(index) for index in range(meta.num_outputs())]

    def describe(self) -> dict[str, Any]:
        """The shapes of inputs and outputs, and those of them that are not float32."""
        return {
            "inputs": [list(tensor.sizes()) for tensor in self._inputs],
            "outputs": [list(tensor.sizes()) for tensor in self._outputs],
            "not_float32": [str(tensor) for tensor in self._inputs + self._outputs if tensor.dtype() != FLOAT_CODE],
        }

    def run(self, payload: bytearray) -> tuple[int, np.ndarray]:
        """Nanoseconds, and the (n, outputs) float32 logits of (n, *input_shape) float32 rows.

        As many rows go in at once as the program was made for; the last ones are filled up with zeros.
        """
        import torch

        size, *row = self._inputs[0].sizes()
        rows = np.frombuffer(payload, np.float32).reshape(-1, *row)
        took_ns = 0

        def answer(some: np.ndarray) -> np.ndarray:
            nonlocal took_ns
            start = perf_counter_ns()
            logits: np.ndarray = self._method([torch.from_numpy(some)])[0].numpy()
            took_ns += perf_counter_ns() - start
            return logits

        logits = in_batches(answer, rows, size)
        return took_ns, logits


if __name__ == "__main__":
    answer_frames(ExecuTorch())
