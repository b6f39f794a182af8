"""What a net from outside has to prove before it is taken in: two inputs in, (2, outputs) logits out."""

from __future__ import annotations

import torch
from torch import nn

from galenic.record.errors import ModelError
from galenic.zoo.macs import evaluating
from galenic.zoo.model import example_inputs


def check_outputs(module: nn.Module, name: str, input_shape: tuple[int, ...], outputs: int) -> None:
    """Run two zero inputs through ``module`` in eval mode; ModelError unless (2, outputs) comes out."""
    inputs = example_inputs(module, (2, *input_shape))
    expected = f"logits of shape (2, {outputs}) for inputs of shape {tuple(inputs.shape)}"
    with evaluating(module), torch.no_grad():
        try:
            logits = module(inputs)
        except Exception as error:  # the code is not ours: whatever it raises means that it cannot take this input
            raise ModelError(
                f"{name}, which stops with {type(error).__name__}: {error}",
                expected,
                "give it options that fit this input shape, or choose another net",
            ) from error
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != (2, outputs):
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        raise ModelError(f"{name}, which returns {got}", expected, "make it return one logit for each class")
