"""A training's state in one safetensors file, written whole after every epoch, so that a killed training goes on.

model.NAME  average.NAME  objective.NAME  optimizer.INDEX.NAME  callback.INDEX.NAME      and, as metadata, progress
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from galenic.record.errors import StoreError
from galenic.store.files import write_atomic
from galenic.training.callbacks import Callback


class Checkpoint:
    """Saves and restores everything that a training changes, in place."""

    def __init__(
        self,
        path: Path,
        model: nn.Module,
        average: nn.Module | None,
        own: nn.Module | None,
        optimizer: torch.optim.Optimizer,
        callbacks: Sequence[Callback],
    ) -> None:
        self.path, self.optimizer = path, optimizer
        modules = {"model": model, "average": average, "objective": own}
        self.modules = {name: module for name, module in modules.items() if module is not None}
        self.callbacks = callbacks

    def save(self, losses: Sequence[float]) -> None:
        """Write the state after ``len(losses)`` finished epochs."""
        tensors = {name: tensor.detach().contiguous().clone() for name, tensor in self._tensors()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{index}.{name}": torch.as_tensor(value).contiguous().clone()
                for name, value in values.items()
            }
        metadata = {"losses": json.dumps(list(losses))}
        data = save(tensors, metadata=metadata)
        write_atomic(self.path, lambda aside: aside.write_bytes(data), durable=False)

    def load(self) -> list[float]:
        """Restore the state and return the mean loss of each finished epoch; [] where there is no checkpoint."""
        if not self.path.exists():
            return []
        try:
            with safe_open(self.path, framework="pt") as file:
                losses: list[float] = json.loads(file.metadata()["losses"])
                stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                given=f"{self.path} is damaged ({error})",
                expected="a checkpoint of this training",
                todo=f"delete it and run again: this training starts anew (rm {self.path})",
            ) from error
        with torch.no_grad():
            for name, tensor in self._tensors():
                tensor.copy_(stored[name])
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in stored.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = _laid_out_as(parameters[int(index)], tensor)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        return losses

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self.modules.items():
            yield from _named(prefix, module.state_dict(keep_vars=True))
        for index, callback in enumerate(self.callbacks):
            yield from _named(f"callback.{index}", callback.remembered)


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """In the parameter's memory format (channels last, say), which safetensors does not keep."""
    return torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        yield f"{prefix}.{name}", tensor
