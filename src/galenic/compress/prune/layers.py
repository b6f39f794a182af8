"""Whole layers are taken out: residual blocks, transformer layers; the one whose loss hurts least goes first.

    harm(layer) = mean label loss on validation rows without it - with it        measured, not read off its weights
A layer can go where what it gives has the shape of what it is given: its input goes on instead. After each one that is gone the
others are measured anew, since two layers of which each can be missed may not be so together. Fine-tuning is a phase of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from galenic.compress.masks import refuse_pruning, refuse_unknown
from galenic.compress.method import Bench, TeacherNeed
from galenic.preprocess.transform import to_inputs
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.record.progress import Progress, silent
from galenic.record.quant import matches
from galenic.record.task import TaskKind
from galenic.record.training import ClassWeighting
from galenic.training.objective import label_loss
from galenic.zoo.macs import evaluating
from galenic.zoo.model import Model, example_inputs
from galenic.zoo.surgery import Skip, skip_layers

ROWS, BATCH = 512, 64
CONTAINERS = (nn.Sequential, nn.ModuleList)

Loss = Callable[[nn.Module], float]


def removable(model: Model, keep: Sequence[str] = ()) -> tuple[str, ...]:
    """The outermost blocks that give one tensor of the shape that they are given, by path; containers are looked into.

    Raises:
        ModelError: a pattern of ``keep`` matches no module.
    """
    paths = [path for path, _ in model.module.named_modules() if path]
    refuse_unknown(keep, paths, model.spec.architecture)
    preserving = _preserving(model)
    found: list[str] = []

    def walk(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            if not isinstance(child, CONTAINERS) and path in preserving:
                found.append(path)
            else:
                walk(child, f"{path}.")

    walk(model.module, "")
    return tuple(path for path in found if not any(matches(pattern, path) for pattern in keep))


def _preserving(model: Model) -> set[str]:
    """Blocks (modules with children and weights) whose output is one tensor of their input's shape, called once."""
    shapes: dict[str, list[bool]] = {}

    def seen(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Any, ...], made: Any) -> None:
            same = (
                bool(given)
                and isinstance(given[0], Tensor)
                and isinstance(made, Tensor)
                and made.shape == given[0].shape
            )
            shapes.setdefault(path, []).append(same)

        return hook

    blocks = {
        path: one for path, one in model.module.named_modules() if path and next(one.children(), None) is not None
    }
    hooks = [
        one.register_forward_hook(seen(path))
        for path, one in blocks.items()
        if next(one.parameters(), None) is not None
    ]
    try:
        with evaluating(model.module), torch.no_grad():
            model.module(example_inputs(model.module, (2, *model.spec.input_shape)))
    finally:
        for hook in hooks:
            hook.remove()
    return {path for path, same in shapes.items() if same == [True]}


def prune_layers(model: Model, count: int, loss: Loss, keep: Sequence[str] = (), progress: Progress = silent) -> Model:
    """A copy of the model without the layers that are missed least; its spec's history says which.

    Args:
        model: float; it is left as it was.
        count: how many go.
        loss: of a module on held-out rows.
        keep: patterns of module paths that stay.
        progress: told how many were measured.

    Raises:
        ModelError: the model is quantized, or has not more than so many layers that can go.
    """
    refuse_pruning(model, "taking layers out")
    candidates = list(removable(model, keep))
    if len(candidates) <= count:
        raise ModelError(
            given=f"{count} layers to take out of {model.spec.architecture}, of which {len(candidates)} can go",
            expected=f"fewer than {len(candidates)}: layers whose output has the shape of their input",
            todo="lower count, or take channels out instead (channels)",
        )
    copy = replace(model, module=deepcopy(model.module))
    gone: list[str] = []
    for number in range(count):
        left = [path for path in candidates if path not in gone]
        losses = {}
        for done, path in enumerate(left):
            progress(f"layer {number + 1} of {count} to go", done, len(left))
            losses[path] = loss_without(copy.module, path, loss)
        gone.append(min(left, key=lambda path: losses[path]))
        skip_layers(copy.module, model.spec.input_shape, gone[-1:])
    change = {"change": "layers", "paths": gone}
    return replace(copy, spec=model.spec.model_copy(update={"history": (*model.spec.history, change)}))


def loss_without(module: nn.Module, path: str, loss: Loss) -> float:
    """The loss where a layer is passed by; the module is whole again afterwards."""
    parent, _, name = path.rpartition(".")
    around = module.get_submodule(parent)
    layer = around._modules[name]
    around._modules[name] = Skip()
    try:
        return loss(module)
    finally:
        around._modules[name] = layer


def validation_loss(bench: Bench) -> Loss:
    """The mean label loss on the first validation rows."""
    task = bench.task
    inputs = torch.from_numpy(to_inputs(task.preprocessing, task.validation.inputs[:ROWS]))
    labels = torch.from_numpy(task.validation.labels[:ROWS])
    labels = labels.float() if task.kind is TaskKind.MULTI_LABEL else labels.long()
    criterion = label_loss(task.kind, task.train.labels, task.outputs, ClassWeighting.NONE, 0.0)

    def loss(module: nn.Module) -> float:
        with evaluating(module), torch.no_grad():
            logits = torch.cat([module(part) for part in inputs.split(BATCH)])
        return float(criterion(logits, labels))

    return loss


class LayerPruning(Record):
    """Take whole layers out, the one that is missed least first; fine-tuning is a phase of its own.

    Attributes:
        count: how many go.
        keep: patterns of module paths that stay.
    """

    name: ClassVar[str] = "layers"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    count: int = Field(default=1, ge=1)
    keep: tuple[str, ...] = ()

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError where the net is quantized or has too few layers that can go."""
        prune_layers(model, self.count, lambda _: 0.0, self.keep)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The shallower model."""
        made = prune_layers(model, self.count, validation_loss(bench), self.keep, bench.progress)
        return [replace(made, lineage=(*model.lineage, self.name))]
