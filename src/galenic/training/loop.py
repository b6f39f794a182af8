"""The training loop: AdamW, warm-up and cosine, an average of the weights, one checkpoint an epoch.

    rate(step) = peak * min(1, step / warmup) * (1 + cos(pi * progress)) / 2
    average   <- d * average + (1 - d) * weights,  d = min(ema_decay, (1 + step) / (10 + step))
What is done in an epoch depends on the seed and the epoch's number alone, so a killed training that goes on from its
last epoch ends with the same weights, bit for bit, on the same machine and thread count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from galenic.preprocess.transform import to_inputs
from galenic.record.errors import DivergedTraining
from galenic.record.preprocessing import Preprocessing
from galenic.record.progress import Progress, silent
from galenic.record.task import Split, TaskKind
from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.training.augment import Views
from galenic.training.callbacks import Callback, State
from galenic.training.checkpoint import Checkpoint
from galenic.training.objective import Batch, Inputs, Objective

VERSION = 2


@dataclass(frozen=True)
class TrainingData:
    """A training split with its views, as arrays in memory."""

    split: Split
    preprocessing: Preprocessing
    kind: TaskKind
    views: Views

    def steps(self, size: int) -> int:
        """How many batches an epoch has."""
        full, rest = divmod(len(self.split), size)
        return full + (rest > 1 or full == 0)

    def inputs(self, view: int, rows: np.ndarray) -> Tensor:
        """One view of these rows, (rows, *input_shape) float32 (int64 for text), made on the processor whatever trains."""
        inputs = torch.from_numpy(to_inputs(self.preprocessing, self.split.inputs[rows]))
        return self.views.apply(inputs, torch.from_numpy(self.views.parameters(view)[rows]))

    def batches(self, epoch: int, epochs: int, size: int, seed: int, device: torch.device) -> Iterator[Batch]:
        """The batches of one epoch out of ``epochs``, in an order that depends on (seed, epoch) alone.

        A last batch of a single row is left out: batch norm has no variance of one row.
        """
        order = np.random.default_rng([seed, epoch, 1]).permutation(len(self.split))
        view = self.views.of_epoch(epoch)
        multi = self.kind is TaskKind.MULTI_LABEL
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            if len(rows) == 1 and len(order) > 1:
                continue
            inputs = self._as_called(self.inputs(view, rows).to(device))
            labels = torch.from_numpy(self.split.labels[rows]).to(device)
            yield Batch(inputs, labels.float() if multi else labels.long(), rows, view, epoch / epochs)

    def _as_called(self, inputs: Tensor) -> Inputs:
        """Text nets are called with a dictionary, as those of ``transformers`` are; the mask is 0 where the id is 0."""
        if self.preprocessing.text is None:
            return inputs
        return {"input_ids": inputs, "attention_mask": (inputs != 0).long()}


@dataclass(frozen=True)
class Surroundings:
    """Where a training happens: its seed, its checkpoint's folder, who is told how far it is and under which name."""

    seed: int
    folder: Path
    progress: Progress = silent
    work: str = "training"


def train(
    model: nn.Module,
    objective: Objective,
    data: TrainingData,
    config: TrainingConfig,
    where: Surroundings,
    callbacks: Sequence[Callback] = (),
) -> list[float]:
    """Train ``model`` in place and return each epoch's mean loss. It ends in evaluation mode with the averaged weights.

    ``config.precision`` and ``config.memory_format`` have to be resolved (see ``precision.py``).

    Raises:
        DivergedTraining: the loss is not finite.
    """
    accelerator = Accelerator()
    if config.memory_format is MemoryFormat.CHANNELS_LAST:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = deepcopy(model).requires_grad_(False).to(accelerator.device) if config.ema_decay else None
    if objective.own is not None:
        objective.own.to(accelerator.device)
    groups = parameter_groups(model, objective.own, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.0, fused=True)  # one pass over the weights instead of a dozen
    model, optimizer = accelerator.prepare(model, optimizer)
    path = where.folder / "training.safetensors"
    checkpoint = Checkpoint(path, model, average, objective.own, optimizer, callbacks)
    losses = checkpoint.load()
    epochs, per_epoch = config.epochs, data.steps(config.batch_size)
    state = State(model, optimizer, len(losses), len(losses) * per_epoch, epochs, epochs * per_epoch)
    where.progress(where.work, state.epoch, epochs)
    while state.epoch < epochs:
        with torch.random.fork_rng():
            torch.manual_seed(where.seed * 1_000_003 + state.epoch)
            total = sum(_steps(state, objective, data, config, where.seed, accelerator, average, callbacks))
        losses.append(_finite(total / per_epoch, where.work, state.epoch))
        for callback in callbacks:
            callback.epoch_ended(state)
        state.epoch += 1
        checkpoint.save(losses)
        where.progress(where.work, state.epoch, epochs, f"loss {losses[-1]:.3f}")
    if average is not None:
        model.load_state_dict(average.state_dict())
    for callback in callbacks:
        callback.trained(state)
    model.to(device="cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    return losses


def _steps(
    state: State,
    objective: Objective,
    data: TrainingData,
    config: TrainingConfig,
    seed: int,
    accelerator: Accelerator,
    average: nn.Module | None,
    callbacks: Sequence[Callback],
) -> Iterator[float]:
    """Run the steps of one epoch and yield their losses."""
    state.model.train()
    for callback in callbacks:
        callback.epoch_starts(state)
    half = config.precision is Precision.BFLOAT16
    for batch in data.batches(state.epoch, config.epochs, config.batch_size, seed, accelerator.device):
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step, data.steps(config.batch_size))
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=half):
            loss = objective.loss(state.model, batch)
        state.optimizer.zero_grad()
        accelerator.backward(loss)
        for callback in callbacks:
            callback.gradients_ready(state)
        state.optimizer.step()
        state.step += 1
        for callback in callbacks:
            callback.step_taken(state)
        if average is not None:
            update_average(average, state.model, min(config.ema_decay, state.step / (9 + state.step)))
        yield loss.item()


def learning_rate(config: TrainingConfig, step: int, steps_per_epoch: int) -> float:
    """The rate of a step (counted from zero): linear warm-up, then a cosine down to zero at the last step."""
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, config.epochs * steps_per_epoch - warmup)
    return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def parameter_groups(model: nn.Module, own: nn.Module | None, weight_decay: float) -> list[dict[str, object]]:
    """Weights of two or more dimensions decay; biases and normalisation do not."""
    parameters = [*model.parameters(), *(own.parameters() if own is not None else ())]
    trained = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average towards the model; buffers that are not floating point are copied."""
    targets: dict[str, Tensor] = model.state_dict()
    for name, mean in average.state_dict().items():
        if mean.is_floating_point():
            mean.lerp_(targets[name], 1 - decay)
        else:
            mean.copy_(targets[name])


def _finite(loss: float, work: str, epoch: int) -> float:
    if not math.isfinite(loss):
        raise DivergedTraining(
            given=f"the loss of {work} became {loss} in epoch {epoch + 1}",
            expected="a finite loss",
            todo="lower learning_rate, or set precision = 'float32'; what was finished before is kept",
        )
    return loss
