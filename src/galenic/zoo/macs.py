"""Multiply-accumulates of one input: those of convolutions and matrix products, as papers count them.

MACs = FLOPs / 2: torch's counter, which watches the net run, takes a multiply and an add as two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from galenic.zoo.model import Model, example_inputs


def count_macs(model: Model) -> int:
    """The multiply-accumulates of one input. The model is left as it was, running statistics and modes included."""
    return module_macs(model.module, model.spec.input_shape)


def module_macs(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """The multiply-accumulates of one input (1, *input_shape), on the module's device; ``meta`` computes nothing."""
    inputs = example_inputs(module, (1, *input_shape))
    with evaluating(module), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(inputs)
    flops: int = counter.get_total_flops()
    return flops // 2


def layer_macs(model: Model) -> dict[str, int]:
    """The multiply-accumulates of one input by the path of the module that computes them, for modules without children."""
    module = model.module
    inputs = example_inputs(module, (1, *model.spec.input_shape))
    with evaluating(module), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(inputs)
    counts = counter.get_flop_counts()
    root = type(module).__name__
    found = {path: sum(counts.get(f"{root}.{path}", {}).values()) // 2 for path in _leaves(module)}
    return {path: macs for path, macs in found.items() if macs}


def _leaves(module: nn.Module) -> Iterator[str]:
    for path, part in module.named_modules():
        if path and next(part.children(), None) is None:
            yield path


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode for a while; each submodule gets back the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
