"""Which arithmetic and memory layout trains this model fastest here, by a short measurement.

bfloat16 doubles the speed of ResNets on processors with avx512_bf16 and halves that of depthwise nets, so it is
measured. The choice is stored in the resolved recipe and not measured again.
"""

from __future__ import annotations

import time
from copy import deepcopy
from itertools import product

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from galenic.record.training import MemoryFormat, Precision, TrainingConfig

PROBE_ROWS, PROBE_STEPS = 32, 3


def resolve(config: TrainingConfig, model: nn.Module, input_shape: tuple[int, ...]) -> TrainingConfig:
    """Replace ``auto`` by what measured fastest for this model; the model is not changed."""
    precisions = [config.precision]
    if config.precision is Precision.AUTO:
        precisions = [Precision.FLOAT32, Precision.BFLOAT16]
    formats = [config.memory_format]
    if config.memory_format is MemoryFormat.AUTO:
        image = len(input_shape) == 3
        formats = [MemoryFormat.CONTIGUOUS, MemoryFormat.CHANNELS_LAST] if image else [MemoryFormat.CONTIGUOUS]
    choices = list(product(precisions, formats))
    best = choices[0]
    if len(choices) > 1:
        best = min(choices, key=lambda choice: step_seconds(model, input_shape, *choice))
    return config.model_copy(update={"precision": best[0], "memory_format": best[1]})


def step_seconds(model: nn.Module, input_shape: tuple[int, ...], precision: Precision, layout: MemoryFormat) -> float:
    """The least seconds of a forward and backward pass over ``PROBE_ROWS`` random rows, after one to warm up."""
    device = Accelerator().device
    probe = deepcopy(model).train().to(device)
    if layout is MemoryFormat.CHANNELS_LAST:
        probe.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = _probe_inputs(model, (PROBE_ROWS, *input_shape)).to(device)
    seconds = []
    for _ in range(1 + PROBE_STEPS):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision is Precision.BFLOAT16):
            loss = probe(inputs).float().square().mean()
        loss.backward()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _probe_inputs(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Random numbers, or random token ids for a net with a ``vocabulary``."""
    random = torch.Generator().manual_seed(0)
    vocabulary = getattr(model, "vocabulary", None)
    if vocabulary is None:
        return torch.rand(shape, generator=random)
    return torch.randint(vocabulary, shape, generator=random)
