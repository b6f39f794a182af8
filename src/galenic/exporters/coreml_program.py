"""A torch module as a program of Core ML's intermediate language (MIL): exported, then converted by coremltools.

One row (1, *input_shape) at a time, ``input`` in and ``logits`` out. Every operation bears its module's path and what it does,
such as ``stages_0_0_conv1_conv2d``: MIL's names have letters, digits and underscores only.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from types import ModuleType
from typing import Any

import torch
from torch import fx

from galenic.record.errors import ModelError
from galenic.record.quiet import hidden
from galenic.zoo.model import Model, example_inputs

INPUT, OUTPUT = "input", "logits"
PACKAGE = "coremltools"
OTHER_SOURCES = (
    "sklearn",
    "libsvm",
    "xgboost",
    "tensorflow",
    "torchvision",
    "torchaudio",
    "executorch",
    "torchao",
    "transformers",
)
"""What coremltools imports where it is installed, to convert from it: half a minute of work that is not needed here."""
MOST_DECOMPOSED = 8
"""Rounds of taking apart what coremltools does not know; each makes simpler operations."""
MOST_NAMED = 4


def to_program(
    model: Model, graph: fx.GraphModule | None = None, *, ios: int, half: bool = False, without: Set[str] = frozenset()
) -> Any:
    """The MIL program of a model.

    Args:
        model: at rest.
        graph: what is converted instead of the model's module; it has the same input and the same answer.
        ios: the oldest version of iOS that is to load it: 15, 16, 17 or 18.
        half: whether it computes in float16; its two ends stay float32.
        without: the passes of coremltools that are left out.

    Raises:
        ModelError: the module cannot be traced or converted, or has another output than its spec says.
    """
    with quiet():
        coremltools = import_coremltools()
        exported = _exported(model, graph)
        _refuse_unknown(model, exported)
        _name_by_module(exported)
        pipeline = coremltools.PassPipeline.DEFAULT
        pipeline.remove_passes(set(without))
        try:
            return coremltools.convert(
                exported,
                convert_to="milinternal",
                inputs=[coremltools.TensorType(name=INPUT, shape=(1, *model.spec.input_shape))],
                outputs=[coremltools.TensorType(name=OUTPUT)],
                minimum_deployment_target=deployment_target(ios),
                compute_precision=coremltools.precision.FLOAT16 if half else coremltools.precision.FLOAT32,
                pass_pipeline=pipeline,
            )
        except Exception as error:  # the errors of its converters share no base class but Exception
            raise _refused(
                model,
                f"coremltools cannot convert it ({_reason(error)})",
                "operations on fixed shapes that Core ML has",
                "use layers of torch.nn in its forward, or choose another runtime",
            ) from error


def deployment_target(ios: int) -> Any:
    """Core ML as of a version of iOS: which operations there are."""
    return getattr(import_coremltools().target, f"iOS{ios}")


def import_coremltools() -> ModuleType:
    """The package, imported without what it does not need; to be called where it is ``quiet``."""
    if PACKAGE not in sys.modules:
        with ExitStack() as stack:
            for package in OTHER_SOURCES:
                stack.enter_context(hidden(package))
            import coremltools  # noqa: F401
    return sys.modules[PACKAGE]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, warnings or log lines.

    coremltools says which versions it was not tested with and which of its libraries are for macOS, and shows bars on stderr.
    """
    handlers, disabled = list(logging.root.handlers), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers


def _exported(model: Model, graph: fx.GraphModule | None) -> torch.export.ExportedProgram:
    """Of operations that coremltools knows, where they can be taken apart into such."""
    module = model.module if graph is None else graph
    example = example_inputs(model.module, (1, *model.spec.input_shape))
    try:
        with torch.no_grad():
            program: torch.export.ExportedProgram = torch.export.export(module, (example,)).run_decompositions({})
            for _ in range(MOST_DECOMPOSED):
                known = torch.export.default_decompositions()
                table = {node.target: known[node.target] for node in _unknown(program) if node.target in known}
                if not table:
                    break
                program = program.run_decompositions(table)
    except Exception as error:  # torch.export's errors share no base class but Exception
        raise _refused(
            model,
            f"torch cannot trace it ({_reason(error)})",
            "a module that torch.export traces",
            "take Python branches on values out of its forward",
        ) from error
    _check_answer(model, program)
    return program


def _unknown(program: torch.export.ExportedProgram) -> list[fx.Node]:
    """The operations that coremltools has no converter for."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    return [node for node in calls if _TORCH_OPS_REGISTRY.get_func(_kind(node)) is None]


def _kind(node: fx.Node) -> str:
    """What coremltools looks an operation up by."""
    name = getattr(node.target, "name", None)
    return str(name()) if callable(name) else str(getattr(node.target, "__name__", node.target))


def _refuse_unknown(model: Model, program: torch.export.ExportedProgram) -> None:
    unknown = _unknown(program)
    if unknown:
        said = [f"{_operation(node)} in {path(node) or 'the outermost module'}" for node in unknown]
        named = list(dict.fromkeys(said))
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        raise _refused(
            model,
            f"Core ML has no {', '.join(named[:MOST_NAMED])}{more}",
            "operations that coremltools can convert",
            "replace these modules by others that compute the same, or choose another runtime",
        )


def _check_answer(model: Model, program: torch.export.ExportedProgram) -> None:
    answers = [getattr(node, "meta", {}).get("val") for node in program.graph.output_node().args[0]]
    if len(answers) != 1:
        raise _refused(model, f"it answers {len(answers)} tensors", "one tensor of logits", "wrap it")
    (answer,), expected = answers, (1, model.spec.outputs)
    if answer is None or answer.dtype != torch.float32 or tuple(answer.shape) != expected:
        found = (
            "a constant"
            if answer is None
            else f"{str(answer.dtype).removeprefix('torch.')} of shape {tuple(answer.shape)}"
        )
        raise _refused(model, f"it answers {found}", f"float32 of shape {expected}", "correct the model's last layer")


def _name_by_module(program: torch.export.ExportedProgram) -> None:
    """Rename the operations as the top of this file says, in place."""
    for node in program.graph.nodes:
        if node.op == "call_function":
            node._rename(identifier(f"{path(node)}_{_operation(node)}"))
    for spec, node in zip(program.graph_signature.output_specs, program.graph.output_node().args[0], strict=True):
        spec.arg.name = node.name


def identifier(name: str) -> str:
    """A name of letters, digits and underscores that does not begin with a digit."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_")
    return plain if plain[:1].isalpha() else f"op_{plain}"


def path(node: fx.Node) -> str:
    """The dotted path of the innermost module that an operation belongs to; empty for the outermost."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _operation(node: fx.Node) -> str:
    """Such as ``conv2d``."""
    target = node.target
    name = str(target).split(".")[-2] if isinstance(target, torch._ops.OpOverload) else _kind(node)
    return "batch_norm" if name.startswith("_native_batch_norm") else name


def _reason(error: Exception) -> str:
    why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return why[:200]


def _refused(model: Model, why: str, expected: str, todo: str) -> ModelError:
    return ModelError(f"{model.spec.architecture} cannot become a Core ML file: {why}", expected, todo)
