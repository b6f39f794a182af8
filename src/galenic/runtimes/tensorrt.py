"""TensorRT on an NVIDIA card, through ONNX Runtime's provider for it: an ONNX file, no part of which may run on another provider.

Not run where galenic is made, which has no such card: what is sent to ONNX Runtime is tested, what comes back is not. The engine
is built as a session opens, which takes seconds to minutes, for batches of 1 to BATCH_ROWS rows.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which

from galenic.record.artifact import Artifact
from galenic.record.measurement import Place
from galenic.runtimes import check, onnxruntime
from galenic.runtimes.answer import BATCH_ROWS
from galenic.runtimes.onnx_wire import refuse_external_data
from galenic.runtimes.onnxruntime import OnnxSession
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime

NAME = "tensorrt"
READER = "TensorRT"
PROVIDER = "TensorrtExecutionProvider"
CARDS = (Path("/dev/nvidiactl"), Path("/dev/nvhost-gpu"))
"""What a driver for cards, and one of a Jetson, leaves there."""
ARITHMETIC = {"int8": "trt_int8_enable", "w4a8": "trt_int8_enable", "float16": "trt_fp16_enable"}
"""What a file's precision asks of the provider, beside float32."""
INPUT = "input"


def load(artifact: Artifact, *, threads: int = 1, device: str = check.CPU) -> OnnxSession:
    """Load an ONNX file on the card; ``cpu``, which every runtime is asked for where nobody says otherwise, means it too.

    Raises:
        InputError: another device.
        MissingPackage: there is no card, or onnxruntime has no provider for it.
        ModelError: the file is missing, changed, damaged, or TensorRT cannot compute all of it.
    """
    RUNTIME.require()
    check.check_threads(threads)
    check.check_device(device, READER, (check.GPU, PROVIDER, check.CPU))
    data = check.verified_bytes(artifact)
    refuse_external_data(artifact, data, READER)
    session = onnxruntime.opened(artifact, data, threads, PROVIDER, settings=settings_of(artifact))
    place = Place(machine=machine_name(), runtime=NAME, versions=_versions(), threads=threads, device=check.GPU)
    return onnxruntime.session_of(artifact, session, place)


def settings_of(artifact: Artifact) -> dict[str, str]:
    """The provider's options: the arithmetic that the file asks for, and the batches that an engine is built for."""
    row = "x".join(map(str, artifact.preprocessing.input_shape))
    sizes = {"min": 1, "opt": 1, "max": BATCH_ROWS}
    shapes = {f"trt_profile_{name}_shapes": f"{INPUT}:{rows}x{row}" for name, rows in sizes.items()}
    wanted = ARITHMETIC.get(artifact.precision)
    return shapes | ({wanted: "True"} if wanted else {})


def absence() -> str:
    """Why TensorRT cannot run here; empty where it can."""
    import onnxruntime as package

    if not any(card.exists() for card in CARDS) and which("nvidia-smi") is None:
        return "not run: no NVIDIA card here"
    if PROVIDER not in package.get_available_providers():
        return f"not run: the onnxruntime here has no {PROVIDER}"
    return ""


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".onnx",),
    package="onnxruntime",
    install="pip install 'galenic[tensorrt]'",
    summary="TensorRT on an NVIDIA card, through onnxruntime-gpu, in an environment of its own; not run where galenic is tested",
    load=load,
    absence=absence,
    no_op_times="TensorRT computes a file as one operation of ONNX Runtime",
)


def _versions() -> dict[str, str]:
    found = {}
    for package in ("onnxruntime-gpu", NAME):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # TensorRT can be installed without Python's package
            continue
    return found
