"""``build``: from a name and a shape to a Model with seeded weights; and the list of everything that can be built."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.recipe import ENSEMBLE
from galenic.zoo import (
    mlp,
    mobilenet,
    monai_densenet,
    monai_efficientnet,
    monai_resnet,
    py_adapter,
    resnet_cifar,
    signal_nets,
    timm_adapter,
    transformers_adapter,
)
from galenic.zoo.architecture import Adapter, Architecture
from galenic.zoo.ensemble import Ensemble
from galenic.zoo.model import Model

FAMILIES: tuple[tuple[str, tuple[Architecture, ...]], ...] = (
    ("resnet", monai_resnet.ARCHITECTURES),
    ("densenet", monai_densenet.ARCHITECTURES),
    ("efficientnet", monai_efficientnet.ARCHITECTURES),
    ("mobilenet", mobilenet.ARCHITECTURES),
    ("small resnet", resnet_cifar.ARCHITECTURES),
    ("signal", signal_nets.ARCHITECTURES),
    ("table", mlp.ARCHITECTURES),
    ("text", transformers_adapter.ARCHITECTURES),
)
ADAPTERS: tuple[Adapter, ...] = (timm_adapter.ADAPTER, py_adapter.ADAPTER)

RANKS = {3: (Modality.IMAGE,), 2: (Modality.SIGNAL,), 1: (Modality.TABLE, Modality.TEXT)}
LEAST_SIDE_PX = 8  # below it DenseNet pools an image of one pixel


@dataclass(frozen=True)
class ModelInfo:
    """One line of ``galenic models``; ``modality`` is None where any data is taken."""

    name: str
    family: str
    modality: Modality | None
    summary: str


def available_models() -> list[ModelInfo]:
    """Everything that ``build`` knows, family by family, the adapters last."""
    own = [ModelInfo(one.name, family, one.modality, one.summary) for family, members in FAMILIES for one in members]
    own.append(ModelInfo(SEVERAL.name, "several", SEVERAL.modality, SEVERAL.summary))
    return own + [ModelInfo(adapter.form, "outside", adapter.modality, adapter.summary) for adapter in ADAPTERS]


def find_architecture(name: str) -> Architecture:
    """The architecture of that name; ModelError with the nearest names where there is none."""
    own = {architecture.name: architecture for _, members in FAMILIES for architecture in members}
    own[SEVERAL.name] = SEVERAL
    if name in own:
        return own[name]
    prefix, colon, rest = name.partition(":")
    for adapter in ADAPTERS:
        if colon and adapter.prefix == prefix:
            return Architecture(name, adapter.modality, partial(adapter.build, rest), adapter.summary)
    near = difflib.get_close_matches(name, own, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "list them with: galenic models"
    forms = " or ".join(adapter.form for adapter in ADAPTERS)
    raise ModelError(f"the model {name!r}", f"a net of the zoo, or {forms}", hint)


def build(
    name: str, input_shape: tuple[int, ...], outputs: int, *, seed: int = 0, options: Mapping[str, Any] = {}
) -> Model:
    """A fresh Model in eval mode. Equal arguments give equal weights; torch's global random state stays as it was.

    Args:
        name: of ``available_models``, or ``timm:NAME`` or ``py:module:callable``.
        input_shape: (channel, height, width), (channel, time), (feature,) or (token,).
        outputs: the number of logits.
        seed: of the initial weights.
        options: the architecture's own, such as ``{"width": 0.5}``; they have to be JSON values.
    """
    architecture = find_architecture(name)
    input_shape = tuple(input_shape)
    _check_shape(architecture, input_shape, outputs)
    plain = _plain_options(architecture, options)
    # The CPU's generator alone is seeded: torch.manual_seed would also set those of the GPUs, which are not forked here
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = _call(architecture.build, name, input_shape, outputs, plain)
    spec = ModelSpec(architecture=name, input_shape=input_shape, outputs=outputs, options=plain)
    return Model(module=module.eval(), spec=spec, lineage=(name,))


def _build_ensemble(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    members: Sequence[Mapping[str, Any]] = (),
    multi_label: bool = False,
) -> nn.Module:
    """``members``: tables of ``architecture`` and ``options``; each starts from a seed of its own, seed + index."""
    if len(members) < 2 or not all(
        "architecture" in one and set(one) <= {"architecture", "options"} for one in members
    ):
        raise ModelError(
            f"an ensemble with the members {list(members)}",
            "two or more, each a table of architecture and options",
            'name them as [[reference.members]] tables of a recipe, each with model = "..."',
        )
    seed = torch.default_generator.initial_seed()
    modules = [
        build(one["architecture"], input_shape, outputs, seed=seed + index, options=one.get("options", {})).module
        for index, one in enumerate(members)
    ]
    return Ensemble(modules, multi_label)


SEVERAL = Architecture(ENSEMBLE, None, _build_ensemble, "several nets as one: the mean of their probabilities; members")


def _call(
    builder: Callable[..., nn.Module],
    name: str,
    input_shape: tuple[int, ...],
    outputs: int,
    options: Mapping[str, Any],
) -> nn.Module:
    try:
        return builder(input_shape, outputs, **options)
    except (TypeError, ValueError) as error:
        if not options:  # then the fault is not the user's
            raise
        raise ModelError(
            f"the options {dict(options)} of {name}: {error}", "values that this net can be built with", "correct them"
        ) from error


def _check_shape(architecture: Architecture, input_shape: tuple[int, ...], outputs: int) -> None:
    if outputs < 1:
        raise ModelError(f"{outputs} outputs", "one logit for each class", "give the number of classes")
    modalities = RANKS.get(len(input_shape))
    if modalities is None or min(input_shape) < 1:
        raise ModelError(
            f"the input shape {input_shape}",
            "(channel, height, width), (channel, time), (feature,) or (token,), all above zero",
            "give the shape of one input, without the batch",
        )
    if architecture.modality not in (None, *modalities):
        raise _other_modality(architecture, modalities, input_shape)
    if Modality.IMAGE in modalities and min(input_shape[1:]) < LEAST_SIDE_PX:
        raise ModelError(
            f"images of {input_shape[1]} x {input_shape[2]} pixels",
            f"sides of at least {LEAST_SIDE_PX} pixels",
            "resize the images in preprocessing",
        )


def fitted_options(name: str, preprocessing: Preprocessing, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a net for a task: a text net gets the task's vocabulary where nothing is said.

    Raises:
        ModelError: a net for token ids and a task without, or the other way round, or a vocabulary that is too small.
    """
    architecture, text = find_architecture(name), preprocessing.text
    known = architecture.options
    reads_text = architecture.modality is Modality.TEXT
    if reads_text != (text is not None) and (reads_text or known is not None):
        raise _other_modality(architecture, (preprocessing.modality,), preprocessing.input_shape)
    if text is None or known is None:
        return dict(options)
    size = len(text.vocabulary)
    fitted = {"vocabulary": size, **options}
    if fitted["vocabulary"] < size:
        raise ModelError(
            f"{name} with a vocabulary of {fitted['vocabulary']}, and a task of {size} word pieces",
            f"at least {size}",
            "leave out the option vocabulary",
        )
    return fitted


def _other_modality(
    architecture: Architecture, modalities: tuple[Modality, ...], input_shape: tuple[int, ...]
) -> ModelError:
    given = " or ".join(modalities)
    fitting = [info.name for info in available_models() if info.modality in (None, *modalities)]
    kind = f"{architecture.modality} data" if architecture.modality else "numbers"
    return ModelError(
        f"{architecture.name}, a net for {kind}, and {given} inputs {input_shape}",
        f"a net for {given} data",
        f"choose one of {', '.join(fitting)}",
    )


def _plain_options(architecture: Architecture, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they come back from JSON, so that a model and its saved copy have one spec."""
    known = architecture.options
    for key in options:
        if known is not None and key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "leave it out"
            raise ModelError(f"the option {key!r} of {architecture.name}", f"one of {', '.join(known)}", hint)
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(options), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the options {dict(options)} of {architecture.name}: {error}",
            "numbers, texts, true or false, and lists of them",
            "give plain values",
        ) from error
    return plain
