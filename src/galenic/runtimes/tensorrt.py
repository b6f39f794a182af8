"""TensorRT on an NVIDIA card, through ONNX Runtime's provider for it: an ONNX file, no part of which may run on another provider.

Not run where galenic is made, which has no such card: what is sent to ONNX Runtime is tested, what comes back is not. The engine
is built as a session opens, which takes seconds to minutes, for batches of 1 to BATCH_ROWS rows. TensorRT is given the graph of
the file: ONNX Runtime's own optimisations would put back what TensorRT refuses, such as int32 biases.
onnxruntime-gpu and onnxruntime are the same module, so that TensorRT runs in an environment of its own where there is one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from galenic.record.artifact import Artifact
from galenic.record.errors import MissingPackage
from galenic.record.measurement import Place
from galenic.record.session import Session
from galenic.runtimes import check, environment, onnxruntime
from galenic.runtimes.answer import BATCH_ROWS
from galenic.runtimes.onnx_wire import refuse_external_data
from galenic.runtimes.onnxruntime import OnnxSession
from galenic.runtimes.place import machine_name
from galenic.runtimes.runtime import Runtime

NAME = "tensorrt"
READER = "TensorRT"
PACKAGE = "onnxruntime"
PROVIDER = "TensorrtExecutionProvider"
CARDS = (Path("/dev/nvidiactl"), Path("/dev/nvhost-gpu"))
"""What a driver for cards, and one of a Jetson, leaves there."""
ARITHMETIC = {"int8": "trt_int8_enable", "w4a8": "trt_int8_enable", "float16": "trt_fp16_enable"}
"""What a file's precision asks of the provider, beside float32."""
INPUT = "input"
DEVICES = (check.GPU, PROVIDER)


def load(artifact: Artifact, *, threads: int = 1, device: str = check.GPU) -> Session:
    """Load an ONNX file on the card, in TensorRT's own environment where there is one.

    Raises:
        InputError: another device: the processor is none that TensorRT has.
        MissingPackage: there is no card, or onnxruntime has no provider for it.
        ModelError: the file is missing, changed, damaged, or TensorRT cannot compute all of it.
    """
    RUNTIME.require()
    check.check_threads(threads)
    check.check_device(device, READER, DEVICES)
    python = environment.python_of(NAME)
    if python is not None:
        return environment.opened(python, artifact, threads, device)
    return load_here(artifact, threads=threads, device=device)


def load_here(artifact: Artifact, *, threads: int = 1, device: str = check.GPU) -> OnnxSession:
    """Load an ONNX file on the card, in this process."""
    check.check_device(device, READER, DEVICES)
    if not has_provider():
        raise MissingPackage(
            given=f"an onnxruntime without {PROVIDER}, in {sys.prefix}",
            expected="onnxruntime-gpu, and no onnxruntime beside it",
            todo=f"run: {RUNTIME.install}",
        )
    if find_spec(NAME) is not None:
        import_module(NAME)  # loads TensorRT's libraries from where pip puts them, which ONNX Runtime does not search
    data = check.verified_bytes(artifact)
    refuse_external_data(artifact, data, READER)
    session = onnxruntime.opened(artifact, data, threads, PROVIDER, settings=settings_of(artifact), as_it_is=True)
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
    """Why TensorRT cannot run on this machine, whatever is installed; empty where it can."""
    there = any(card.exists() for card in CARDS) or which("nvidia-smi") is not None
    return "" if there else "not run: no NVIDIA card here"


def has_provider() -> bool:
    """Whether the onnxruntime of this process has the provider."""
    return find_spec(PACKAGE) is not None and PROVIDER in import_module(PACKAGE).get_available_providers()


RUNTIME = Runtime(
    name=NAME,
    suffixes=(".onnx",),
    package=PACKAGE,
    install=environment.command(NAME),
    summary="TensorRT on an NVIDIA card, through onnxruntime-gpu, in an environment of its own; not run where galenic is tested",
    load=load,
    device=check.GPU,
    here=load_here,
    installed=lambda: environment.python_of(NAME) is not None or has_provider(),
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
