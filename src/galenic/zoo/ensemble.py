"""Several nets that answer as one (Lakshminarayanan et al. 2017, arXiv:1612.01474).

    p(y | x) = 1/K sum over members of p_k(y | x)            K members, each from inputs (batch, *input_shape)
    logits   = log p                                         one class a case: their softmax is p
    logits   = log p - log(1 - p)                            several labels a case: their sigmoid is p
Probabilities are averaged and not logits, so that a member that is sure weighs as it should. Both forms are computed by
log-sum-exp, so that no probability is rounded to 0 first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.recipe import ENSEMBLE
from galenic.record.task import TaskKind
from galenic.zoo.model import Model


def mean_of_classes(logits: Float[Tensor, "k b c"]) -> Float[Tensor, "b c"]:
    """Logits whose softmax is the mean of the members' softmax: the log of that mean."""
    return F.log_softmax(logits, dim=2).logsumexp(dim=0) - math.log(logits.shape[0])


def mean_of_labels(logits: Float[Tensor, "k b c"]) -> Float[Tensor, "b c"]:
    """Logits whose sigmoid is the mean of the members' sigmoid."""
    return F.logsigmoid(logits).logsumexp(dim=0) - F.logsigmoid(-logits).logsumexp(dim=0)


class Ensemble(nn.Module):
    """Members side by side; (batch, *input_shape) -> (batch, classes)."""

    def __init__(self, members: Sequence[nn.Module], multi_label: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.multi_label = multi_label
        vocabularies = [getattr(member, "vocabulary", None) for member in members]
        if any(vocabularies):  # nets that take token ids say how many they know
            self.vocabulary = min(known for known in vocabularies if known)

    def forward(self, inputs: Tensor) -> Tensor:
        """The logits of the members' mean probability."""
        logits = torch.stack([member(inputs) for member in self.members])
        return mean_of_labels(logits) if self.multi_label else mean_of_classes(logits)


def ensemble(models: Sequence[Model], kind: TaskKind = TaskKind.SINGLE_LABEL) -> Model:
    """The models as one, which is saved, loaded and exported as any other; they share their weights with it.

    Args:
        models: two or more float models of one input shape and number of outputs.
        kind: of the task: for several labels a case the sigmoids are averaged.

    Raises:
        ModelError: fewer than two models, or models that do not belong together.
    """
    _check_members(models, kind)
    first = models[0].spec
    multi_label = kind is TaskKind.MULTI_LABEL
    members = [{"architecture": m.spec.architecture, "options": dict(m.spec.options)} for m in models]
    spec = ModelSpec(
        architecture=ENSEMBLE,
        input_shape=first.input_shape,
        outputs=first.outputs,
        options={"members": members, "multi_label": multi_label},
    )
    module = Ensemble([model.module for model in models], multi_label).eval()
    return Model(module=module, spec=spec, lineage=(ENSEMBLE,), task=models[0].task)


def _check_members(models: Sequence[Model], kind: TaskKind) -> None:
    if len(models) < 2:
        raise ModelError(f"an ensemble of {len(models)}", "two models or more", "use the one model as it is")
    first = models[0]
    for model in models:
        name, spec = model.spec.architecture, model.spec
        if (spec.input_shape, spec.outputs) != (first.spec.input_shape, first.spec.outputs):
            raise ModelError(
                f"{name} with inputs {spec.input_shape} and {spec.outputs} outputs in one ensemble with "
                f"{first.spec.architecture}",
                f"inputs {first.spec.input_shape} and {first.spec.outputs} outputs, as the first one has",
                "build all members for the same task",
            )
        if model.quant is not None or spec.history:
            state = "quantized" if model.quant is not None else "pruned"
            raise ModelError(
                f"{name}, which is {state}, in an ensemble",
                "members as they were built and trained",
                f"make the ensemble before its members are {state}",
            )
        multi_label = TaskKind.MULTI_LABEL
        if model.task is not None and (model.task.kind is multi_label) is not (kind is multi_label):
            raise ModelError(
                f"an ensemble for a {kind.value} task of {name}, which was built for a {model.task.kind.value} one",
                f"kind = {model.task.kind.value!r}",
                "pass the kind of the members' task",
            )
