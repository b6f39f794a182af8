"""Small models whose numbers are known, nets of the zoo, and their files."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.static import Choices, Rows, quantize_static
from galenic.exporters.exporter import Exporter
from galenic.record.artifact import Artifact
from galenic.record.model import ModelSpec
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.quant import Observer, QuantRule, QuantSpec
from galenic.zoo.build import build
from galenic.zoo.model import Model
from known_net import known_net

RANKS = {1: Modality.TABLE, 2: Modality.SIGNAL, 3: Modality.IMAGE}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def wrap() -> Callable[..., Model]:
    """A module as a Model at rest, with batch norm that has seen data, INT8 where a rule is given."""

    def make(module: nn.Module, input_shape: tuple[int, ...], outputs: int, rule: QuantRule | None = None) -> Model:
        torch.manual_seed(0)
        module.train()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.momentum = 0.5
        with torch.no_grad():
            for _ in range(6):
                module(torch.randn(16, *input_shape))
        spec = ModelSpec(architecture="made here", input_shape=input_shape, outputs=outputs)
        return Model(module.eval(), spec, ("made here",), None if rule is None else QuantSpec(rule=rule))

    return make


@pytest.fixture(scope="session")
def integers() -> Callable[..., Model]:
    """A float model quantized on these rows: min-max ranges, nothing measured."""

    def make(model: Model, calibration: np.ndarray, rule: QuantRule = QuantRule()) -> Model:
        rows = Rows(in_batches(calibration), in_batches(calibration[:8]))
        return quantize_static(
            model, rule, rows, Choices(Observer.MIN_MAX, correct_bias=False, equalise=False, tune_ranges=False)
        )

    return make


@pytest.fixture(scope="session")
def ends() -> Callable[[Model], dict]:
    """The preprocessing (which changes nothing) and the classes that a model's file needs."""

    def make(model: Model) -> dict:
        shape = model.spec.input_shape
        preprocessing = Preprocessing(
            modality=RANKS[len(shape)],
            raw_shape=(*shape[1:], shape[0]),
            scale=1.0,
            mean=(0.0,) * shape[0],
            std=(1.0,) * shape[0],
        )
        return {"preprocessing": preprocessing, "classes": tuple(f"class {n}" for n in range(model.spec.outputs))}

    return make


@pytest.fixture(scope="session")
def rows() -> Callable[..., np.ndarray]:
    """Seeded normal inputs."""
    return lambda n, shape, seed=1: np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


def conv() -> nn.Module:
    """An odd-sized image through a convolution, a pool and a dense layer."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    )


class Exported:
    """``exported(exporter, name)`` is a float net of NETS with its file, which is made once."""

    NETS: ClassVar[dict[str, tuple[int, ...]]] = {
        "conv": (1, 9, 12),
        "mobilenet_v3_small": (3, 32, 32),
        "ds_conv1d": (2, 65),
        "mlp": (30,),
    }

    def __init__(self, folder: Path, wrap: Callable[..., Model], ends: Callable[[Model], dict]) -> None:
        self._folder, self._wrap, self._ends = folder, wrap, ends
        self._files = dict[tuple[str, str], tuple[Model, Artifact]]()

    def made(self, name: str) -> Model:
        """The net alone, anew."""
        shape = self.NETS[name]
        return self._wrap(conv() if name == "conv" else build(name, shape, 3).module, shape, 3)

    def __call__(self, exporter: Exporter, name: str) -> tuple[Model, Artifact]:
        key = exporter.runtime, name
        if key not in self._files:
            model, path = self.made(name), self._folder / exporter.runtime / f"{name}{exporter.suffix}"
            self._files[key] = model, exporter.export(model, path, **self._ends(model))
        return self._files[key]


@pytest.fixture(scope="session")
def exported(tmp_path_factory, wrap, ends) -> Exported:
    return Exported(tmp_path_factory.mktemp("exported"), wrap, ends)


@pytest.fixture
def known() -> nn.Sequential:
    """x -> relu(W0 x) -> W2 (.) with weights that one can compute with."""
    return known_net()
