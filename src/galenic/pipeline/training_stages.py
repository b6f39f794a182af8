"""Stages that yield torch models: a phase's methods, with their results kept in the store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from galenic.compress import shared
from galenic.compress.distill.pairs import PAIRS_SUFFIX
from galenic.compress.method import Bench, CostBound, MeasuringMethod, Method, Teacher, TrainedMethod, train_together
from galenic.pipeline.costs import LatencyCost
from galenic.pipeline.setting import Setting
from galenic.record.base import Record
from galenic.record.errors import RecipeError
from galenic.record.training import TrainingConfig
from galenic.training import augment, loop, precision
from galenic.zoo.model import Model, weights_hash
from galenic.zoo.saving import load_model, save_model


def resolved_training(setting: Setting, config: TrainingConfig, model: Model) -> TrainingConfig:
    """The config with precision and memory format measured once and remembered in the store."""
    inputs = {
        "architecture": model.spec.model_dump(mode="json"),
        "config": config.model_dump(mode="json"),
        "threads": setting.threads,
    }
    stage = setting.store.stage("choice", inputs)
    with stage.locked():
        if stage.result is None:
            with torch_threads(setting.threads):
                found = precision.resolve(config, model.module, model.spec.input_shape)
            stage.finish(found.model_dump(mode="json"))
        return TrainingConfig.model_validate(stage.result)


def resolved_methods(
    setting: Setting, methods: Sequence[Method], training: TrainingConfig | None
) -> tuple[Method, ...]:
    """The methods with every choice filled in that they would otherwise measure for models of their own."""
    return tuple(
        method.resolved(setting.task, partial(resolved_training, setting, training))
        if training is not None and isinstance(method, MeasuringMethod)
        else method
        for method in methods
    )


def run_phase(
    setting: Setting,
    methods: Sequence[Method],
    model: Model,
    training: TrainingConfig | None = None,
    teachers: Sequence[Teacher] = (),
    cost: LatencyCost | None = None,
) -> list[Model]:
    """Apply one phase to a model, or read from the store what it gave before.

    Args:
        setting: the run.
        methods: one, or several that share a training.
        model: left as it is.
        training: resolved, for methods that train.
        teachers: for methods that distil.
        cost: for methods that work to a budget.
    """
    needed = tuple(teachers) if any(method.needs_teacher for method in methods) else ()
    inputs = _inputs(setting, methods, model, training, needed)
    if cost is not None and any(isinstance(method, CostBound) and method.measures_cost for method in methods):
        inputs["cost"] = cost.key
    stage = setting.store.stage("model", inputs)
    with stage.locked():
        if stage.result is None:
            bench = Bench(
                task=setting.task,
                seed=setting.seed,
                folder=stage.folder,
                training=training,
                teachers=needed,
                cost=cost,
                progress=setting.progress,
                answers=setting.answers,
                training_for=partial(resolved_training, setting, training) if training is not None else None,
            )
            with torch_threads(setting.threads):
                made = apply_methods(methods, model, bench)
            for number, one in enumerate(made):
                save_model(one, stage.folder / str(number))
            stage.finish({"models": len(made)})
            forget(stage.folder, len(made))
        result: Mapping[str, Any] = stage.result or {}
        return [load_model(stage.folder / str(number)) for number in range(result["models"])]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch this many threads, and back what it had: results depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def apply_methods(methods: Sequence[Method], model: Model, bench: Bench) -> list[Model]:
    """One method's ``apply``, or one training that several methods share."""
    if len(methods) == 1:
        return methods[0].apply(model, bench)
    trained = [method for method in methods if isinstance(method, TrainedMethod)]
    if len(trained) != len(methods):
        raise RecipeError(
            given=f"{' + '.join(m.name for m in methods)} in one phase",
            expected="methods that share one training",
            todo="give each its own phase",
        )
    return [train_together(trained, model, bench)]


def forget(folder: Path, models: int) -> None:
    """Remove what a finished stage no longer needs: checkpoints, and what a method kept on its way but for its pairs."""
    needed = {"result.json", "lock", *(str(number) for number in range(models))}
    for path in folder.iterdir():
        if path.name not in needed and path.is_dir():
            shutil.rmtree(path)
        elif path.name not in needed and not path.name.endswith(PAIRS_SUFFIX):
            path.unlink()


def _inputs(
    setting: Setting,
    methods: Sequence[Method],
    model: Model,
    training: TrainingConfig | None,
    teachers: Sequence[Teacher],
) -> dict[str, Any]:
    quantizing = shared.quantizing(methods)
    pruning, sparsity = shared.pruning(methods), model.sparsity
    return {
        "methods": [[m.name, m.version, _config(m)] for m in methods],
        "model": [model.spec.model_dump(mode="json"), weights_hash(model), list(model.lineage)],
        "training": training.model_dump(mode="json") if training else None,
        "loop": [loop.VERSION, augment.VERSION, shared.VERSION] if training else None,
        "family": shared.distilling(methods),
        "teachers": [teacher.sha256 for teacher in teachers],
        "task": setting.task.content_hash,
        "seed": setting.seed,
        "threads": setting.threads,
        **({"quantizing": quantizing} if quantizing else {}),
        **({"sparsity": [shared.PRUNING_VERSION, sparsity.model_dump(mode="json")]} if sparsity else {}),
        **({"pruning": pruning} if pruning else {}),
    }


def _config(method: Method) -> Any:
    return method.model_dump(mode="json") if isinstance(method, Record) else repr(method)
