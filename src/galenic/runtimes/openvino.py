"""OpenVINO, reading ONNX: device, threads and float32 as asked for, no telemetry, and nothing read but the one file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np

from galenic.record.artifact import Artifact
from galenic.record.bench import OpTimes
from galenic.record.errors import ModelError
from galenic.record.measurement import Place
from galenic.record.quiet import hidden
from galenic.runtimes import check
from galenic.runtimes.batches import in_batches
from galenic.runtimes.onnx_wire import refuse_external_data
from galenic.runtimes.place import machine_name
from galenic.runtimes.profiled import WARMUP, Operation, op_table
from galenic.runtimes.runtime import Runtime

NAME = "openvino"
READER = "OpenVINO"
DEVICES = {check.CPU: "CPU", check.GPU: "GPU"}
FLOAT = np.dtype(np.float32)
TENSOR_TYPES = {FLOAT: "f32", np.dtype(np.int64): "i64"}
TELEMETRY = "openvino_telemetry"
PRECISION, PROFILING = "INFERENCE_PRECISION_HINT", "PERF_COUNT"
ARITHMETIC = {"bfloat16": "bf16"}
"""What a file's precision asks of the processor, where it is not float32."""


@dataclass(frozen=True)
class OpenvinoSession:
    """A Session of OpenVINO.

    Attributes:
        artifact: the file.
        place: this machine, the threads, the version.
        batch: rows that the compiled model takes at a time: the file's, or 1 where the file takes any number.
    """

    artifact: Artifact
    place: Place
    batch: int
    _request: Any
    _lock: Lock

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(batch, *input_shape) float32 (int64 for text) in, (batch, classes) float32 logits out."""
        check.check_inputs(self.artifact, inputs)
        with self._lock:  # there is one request, which another thread's rows would disturb
            logits = in_batches(self._answer, inputs, self.batch)
        check.check_logits(self.artifact, logits, len(inputs))
        return logits

    def _answer(self, inputs: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._request.infer([inputs])[0]
        return logits


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU, profiling: bool = False) -> OpenvinoSession:
    """Load an ONNX file with ``threads`` threads, on the processor or on the device that is named.

    With ``profiling`` it counts what each operation takes, which costs time.

    Raises:
        InputError: OpenVINO has no such device here.
        MissingPackage: openvino is not installed.
        ModelError: the file is missing, changed, damaged, not whole, or has other inputs or outputs than it should.
    """
    RUNTIME.require()
    check.check_threads(threads)
    unit = DEVICES.get(device, device)
    data = check.verified_bytes(artifact)
    refuse_external_data(artifact, data, READER)
    openvino = import_openvino()
    core = openvino.Core()
    found = core.available_devices
    check.check_device(device, READER, (*(name for name, known in DEVICES.items() if known in found), *found))
    try:
        model = core.read_model(data)
    except Exception as error:  # its errors share no base class but Exception
        raise check.damaged(artifact, READER, error) from error
    batch = _fixed_batch(artifact, model)
    wanted = ARITHMETIC.get(artifact.precision, "f32")
    try:
        # A graph for any number of rows takes several times as long as one for a fixed number.
        model.reshape([batch, *artifact.preprocessing.input_shape])
        options = _options(threads, wanted, unit) | ({PROFILING: True} if profiling else {})
        compiled = core.compile_model(model, unit, options)
    except Exception as error:
        raise check.damaged(artifact, READER, error) from error
    if compiled.get_property(PRECISION).to_string() != wanted:
        raise ModelError(
            given=f"OpenVINO computes {artifact.path} in {compiled.get_property(PRECISION).to_string()}",
            expected=f"{wanted}, which was asked for",
            todo="choose another runtime on this processor",
        )
    place = Place(machine=machine_name(), runtime=NAME, versions={NAME: version(NAME)}, threads=threads, device=device)
    return OpenvinoSession(artifact, place, batch, compiled.create_infer_request(), Lock())


def op_times(artifact: Artifact, inputs: np.ndarray, *, threads: int, device: str, runs: int) -> OpTimes:
    """The mean time of every operation over ``runs`` rows of ``inputs``, as OpenVINO counts it.

    It tells means over all inferences so far, in whole microseconds: those of the uncounted ones are taken out again.
    """
    session = load(artifact, threads=threads, device=device, profiling=True)

    def so_far_ms(first: int, count: int) -> dict[Operation, float]:
        for turn in range(first, first + count):
            row = turn % len(inputs)
            session.run(inputs[row : row + 1])
        told = session._request.get_profiling_info()
        executed = [one for one in told if one.status == one.Status.EXECUTED]
        rows = first + count
        return {(one.node_name, one.node_type): one.real_time.total_seconds() * 1000 * rows for one in executed}

    before, after = so_far_ms(0, WARMUP), so_far_ms(WARMUP, runs)
    spent = {operation: max(ms - before.get(operation, 0.0), 0.0) / runs for operation, ms in after.items()}
    return op_table(spent, runs=runs, statistic="mean")


def import_openvino() -> Any:
    """The package, imported so that it reports nothing and writes nothing.

    Its converter, which its import brings along, sends an event to Intel and keeps an id in the home folder unless the
    person has opted out; without the telemetry package it does neither.
    """
    if NAME not in sys.modules:
        with hidden(TELEMETRY):
            import openvino  # noqa: F401
    return sys.modules[NAME]


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".onnx",),
    package="openvino",
    install="pip install 'galenic[openvino]'",
    summary="OpenVINO, reading ONNX; on the processor or another device here; float32, bfloat16, float16 and INT8 (QDQ)",
    load=load,
    importing=import_openvino,
    op_times=op_times,
)


def _options(threads: int, arithmetic: str, unit: str) -> dict[str, Any]:
    # Left to itself a processor computes in bfloat16 where it has it, and a GPU in float16.
    common = {"PERFORMANCE_HINT": "LATENCY", PRECISION: arithmetic}
    if unit != DEVICES[check.CPU]:
        return common
    return common | {
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # Left to itself it quantizes the inputs of dense layers whose weights are stored as integers.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }


def _fixed_batch(artifact: Artifact, model: Any) -> int:
    """How many rows the file takes at a time, 1 where it takes any number; its input and first output are checked."""
    entries, answers = model.inputs, model.outputs
    wanted = artifact.preprocessing.input_type
    types = [end.get_element_type().to_string() for end in entries]
    answer = answers[0].get_element_type().to_string()
    if types != [TENSOR_TYPES[wanted]] or answer != TENSOR_TYPES[FLOAT]:
        found = ", ".join(f"{end.any_name} {end.get_element_type().to_string()}" for end in (*entries, *answers))
        raise ModelError(
            given=f"{artifact.path} has the inputs and outputs {found}",
            expected=f"one {wanted} input, and float32 logits as the first output",
            todo=f"export it with {wanted} inputs and float32 outputs",
        )
    shape = _sides(entries[0])
    check.check_input_shape(artifact, shape)
    check.check_output_shape(artifact, _sides(answers[0]))
    return shape[0] or 1


def _sides(end: Any) -> list[int | None]:
    shape = end.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [side.get_length() if side.is_static else None for side in shape]
