"""The process that LiteRT's profiler runs in: it answers frames (see ``frames``) until its stdin closes.

strt: JSON, the shape of what the file takes and of what it answers, threads, runs    ->  redy: JSON, nothing
load: the bytes of a .tflite                                                          ->  redy: JSON, nothing
rows: (n, *shape) float32                                                             ->  answ: JSON, see ``Profiler.run``
any of them                                                                           ->  refu: why, as text

The C interface is https://github.com/google-ai-edge/LiteRT/tree/main/litert/c of ai-edge-litert 2.3.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import numpy as np

from galenic.runtimes.frames import ANSWER, LOAD, MOST_TEXT_BYTES, READY, REFUSED, ROWS, START, read_frame, write_frame

LIBRARY = "libLiteRt.so"
PROCESSOR, FLOAT32, TO_READ, TO_WRITE = (
    1,
    1,
    0,
    1,
)  # LiteRtHwAccelerators, LiteRtElementType, LiteRtTensorBufferLockMode
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


def main() -> None:
    """Answer frames on stdout, and leave with stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(cast(BufferedIOBase, sys.stdin.buffer), answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)


def serve(orders: BufferedIOBase, answers: BufferedIOBase) -> None:
    """Answer every frame; EOFError after the last one."""
    profiler: Profiler | None = None
    setting: dict[str, Any] = {}
    while True:
        kind, payload = read_frame(orders)
        try:
            if kind == START:
                setting, reply = json.loads(payload), (READY, b"{}")
            elif kind == LOAD:
                profiler = Profiler(bytes(payload), setting["threads"])
                reply = READY, b"{}"
            elif kind == ROWS and profiler is not None:
                batches = np.frombuffer(payload, np.float32).reshape(-1, *setting["shape"])
                reply = ANSWER, json.dumps(profiler.run(batches, setting["answer"], setting["runs"])).encode()
            else:
                raise ValueError(f"{kind!r} is no order, or there is no file yet")
        except Exception as error:  # whatever a library of another version makes ctypes raise
            reply = REFUSED, f"{type(error).__name__}: {error}".encode()[:MOST_TEXT_BYTES]
        write_frame(answers, *reply)


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
    main()
