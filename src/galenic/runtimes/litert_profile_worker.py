"""The process that LiteRT's profiler runs in (see ``serving``).

strt: JSON, the shape of what the file takes and of what it answers, threads, runs    ->  JSON, nothing
load: the bytes of a .tflite                                                          ->  JSON, nothing
rows: (n, *shape) float32                                                             ->  JSON, see ``Profiler.run``

The C interface is https://github.com/google-ai-edge/LiteRT/tree/main/litert/c of ai-edge-litert 2.3.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from galenic.runtimes.serving import answer_frames

LIBRARY = "libLiteRt.so"
PROCESSOR = 1  # of LiteRtHwAccelerators
FLOAT32 = 1  # of LiteRtElementType
TO_READ, TO_WRITE = 0, 1  # of LiteRtTensorBufferLockMode
NS_PER_US = 1000
WHOLE, INVOKE = 1, "Invoke"
OPERATION, DELEGATED_OPERATION = 2, 8
"""LiteRtProfilerEventType: of an inference, of an operation, and of one inside of XNNPACK."""
Handle = ctypes.c_void_p


class TensorType(ctypes.Structure):
    """LiteRtRankedTensorType without strides; the rank has 7 bits of its word."""

    _fields_ = (
        ("element", ctypes.c_int32),
        ("rank", ctypes.c_uint32),
        ("sides", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )


class Event(ctypes.Structure):
    """ProfiledEventData."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("begin_us", ctypes.c_uint64),
        ("spent_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


class Profiling:
    """The one file that is profiled, and how."""

    def __init__(self) -> None:
        self._setting: dict[str, Any] = {}
        self._profiler: Profiler | None = None

    def start(self, order: bytes) -> dict[str, Any]:
        """What the file takes and answers, threads and runs; there is nothing to say yet."""
        self._setting = json.loads(order)
        return {}

    def load(self, file: bytes) -> dict[str, Any]:
        """A .tflite; nothing is said of it."""
        self._profiler = Profiler(file, self._setting["threads"])
        return {}

    def run(self, rows: bytearray) -> tuple[int, np.ndarray]:
        """Nanoseconds of all runs, and the JSON of ``Profiler.run`` as bytes."""
        if self._profiler is None:
            raise ValueError("there is no file yet")
        batches = np.frombuffer(rows, np.float32).reshape(-1, *self._setting["shape"])
        told = self._profiler.run(batches, self._setting["answer"], self._setting["runs"])
        return sum(told["whole_us"]) * NS_PER_US, np.frombuffer(json.dumps(told).encode(), np.uint8)


class Profiler:
    """A file in LiteRT's compiled model, on the processor, with its profiler. Nothing is freed: the process ends soon."""

    def __init__(self, data: bytes, threads: int) -> None:
        spec = find_spec("ai_edge_litert")
        assert spec is not None
        assert spec.origin is not None
        self._library = ctypes.CDLL(str(Path(spec.origin).parent / LIBRARY))
        self._held: list[Any] = [data]  # what C has the address of
        self._environment = self._made("CreateEnvironment", 0, None)
        model = self._made("CreateModelFromBuffer", self._environment, data, ctypes.c_size_t(len(data)))
        options = self._made("CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, PROCESSOR)
        self._add(options, b"runtime_options_string", b"enable_profiling = true\n")
        self._add(options, b"xnnpack", b"num_threads = %d\n" % threads)
        self._model = self._made("CreateCompiledModel", self._environment, model, options)
        self._profiler = self._made("CompiledModelGetProfiler", self._model)

    def run(self, batches: np.ndarray, answer: Sequence[int], runs: int) -> dict[str, Any]:
        """``operations``: their names in the order of computation; ``spent_us``: (run, operation); ``whole_us``: (run,)."""
        entry, made = self._buffer("Input", batches.shape[1:]), self._buffer("Output", answer)
        operations, spent_us, whole_us = list[str](), list[list[int]](), list[int]()
        for turn in range(runs):
            self._write(entry, np.ascontiguousarray(batches[turn % len(batches)]))
            self._call("ResetProfiler", self._profiler)
            self._call("StartProfiler", self._profiler)
            one, none = ctypes.c_size_t(1), ctypes.c_size_t(0)
            self._call("RunCompiledModel", self._model, none, one, ctypes.byref(entry), one, ctypes.byref(made))
            self._call("StopProfiler", self._profiler)
            events = self._events()
            found = [event for event in events if event.kind in (OPERATION, DELEGATED_OPERATION)]
            operations = [event.tag.decode() for event in found]
            spent_us.append([event.spent_us for event in found])
            whole_us.append(sum(e.spent_us for e in events if e.kind == WHOLE and e.tag.decode() == INVOKE))
        return {"operations": operations, "spent_us": spent_us, "whole_us": whole_us}

    def _call(self, name: str, *given: Any) -> None:
        status = getattr(self._library, f"LiteRt{name}")(*given)
        if status != 0:
            raise RuntimeError(f"LiteRt{name} gave the status {status}")

    def _made(self, name: str, *given: Any) -> Handle:
        handle = Handle()
        self._call(name, *given, ctypes.byref(handle))
        return handle

    def _add(self, options: Handle, name: bytes, text: bytes) -> None:
        """Options as TOML, by the name of what reads them."""
        nothing = ctypes.CFUNCTYPE(None, Handle)(lambda _: None)
        payload = ctypes.create_string_buffer(text)
        self._held += [name, nothing, payload]
        made = self._made("CreateOpaqueOptions", name, ctypes.cast(payload, Handle), nothing)
        self._call("AddOpaqueOptions", options, made)

    def _buffer(self, end: str, shape: Sequence[int]) -> Handle:
        first = ctypes.c_size_t(0)
        needs = self._made(f"GetCompiledModel{end}BufferRequirements", self._model, first, first)
        kind = TensorType(FLOAT32, len(shape), (ctypes.c_int32 * 8)(*shape))
        return self._made("CreateManagedTensorBufferFromRequirements", self._environment, ctypes.byref(kind), needs)

    def _write(self, buffer: Handle, values: np.ndarray) -> None:
        address = Handle()
        self._call("LockTensorBuffer", buffer, ctypes.byref(address), TO_WRITE)
        assert address.value is not None
        ctypes.memmove(address.value, values.ctypes.data, values.nbytes)
        self._call("UnlockTensorBuffer", buffer)

    def _events(self) -> ctypes.Array[Event]:
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (Event * count.value)()
        self._call("GetProfilerEvents", self._profiler, count, events)
        return events


if __name__ == "__main__":
    answer_frames(Profiling())
