"""Structured pruning: channels that are worth least are taken out of the net, with all that hangs on them.

    l1, l2        mean over the coupled layers of the sum of |w|^p of a channel's weights (Li et al., ICLR 2017, arXiv:1608.08710)
    taylor        the same of |w dL/dw|, without batch norms (Molchanov et al., CVPR 2019, arXiv:1906.10771); gradients of some
                  training rows
    batch_norm    |gamma| of the batch norms behind it (Liu et al., ICCV 2017, arXiv:1708.06519)
    random        the control
    uniform       every group of coupled layers loses the same share           global    the lowest scores / their group's mean go
What hangs together and the scores are Torch-Pruning's (Fang et al., CVPR 2023, arXiv:2301.12900); what is chosen is decided here.
How much goes is said as a ratio of channels, or found by bisection for a budget of MACs, size or latency measured in a runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from galenic.compress.masks import refuse_pruning, refuse_unknown
from galenic.compress.method import Bench, TeacherNeed
from galenic.compress.prune.gradients import loss_gradients
from galenic.record.base import Record
from galenic.record.errors import BudgetMissed, ModelError, RecipeError
from galenic.record.quant import matches
from galenic.zoo.graph import last_layers
from galenic.zoo.macs import count_macs
from galenic.zoo.model import Model, parameters
from galenic.zoo.surgery import Group, dependencies, untraceable

MOST = 0.95
"""The largest ratio that a budget is looked for with."""

HALVINGS = 7


class ChannelScore(StrEnum):
    """What a channel is worth."""

    L1 = "l1"
    L2 = "l2"
    TAYLOR = "taylor"
    BATCH_NORM = "batch_norm"
    RANDOM = "random"


class ChannelScope(StrEnum):
    """Among which channels the least are looked for."""

    UNIFORM = "uniform"
    GLOBAL = "global"


@dataclass(frozen=True)
class Coupled:
    """Channels that go together: the layer that they are named by, and what each is worth."""

    layer: str
    scores: Float[Tensor, " channels"]


@dataclass(frozen=True)
class Choice:
    """How channels are chosen.

    Attributes:
        score: what a channel is worth.
        scope: uniform or global.
        round_to: what is left of every layer is a multiple of it.
        keep: patterns of module paths whose channels all stay: what they give, and what hangs on that.
        spare: one channel of a layer stays, where an error would say that it loses all of them.
    """

    score: ChannelScore = ChannelScore.L2
    scope: ChannelScope = ChannelScope.UNIFORM
    round_to: int = 8
    keep: tuple[str, ...] = ()
    spare: bool = False


Backward = Callable[[nn.Module], None]
"""Fills the gradients of a module's parameters, for scores that need them."""


def prune_channels(model: Model, ratio: float, choice: Choice, backward: Backward, seed: int = 0) -> Model:
    """A copy of the model without a share of its channels; its spec's history says which.

    Args:
        model: float; it is left as it was.
        ratio: the share that goes at least: what is left is rounded down to a multiple.
        choice: of the channels.
        backward: asked where the score needs gradients.
        seed: of the random score.

    Raises:
        ModelError: the model is quantized or cannot be traced, a pattern matches no module, a layer would lose all its
            channels, or nothing can be taken out.
    """
    refuse_pruning(model, "taking channels out")
    copy = replace(model, module=deepcopy(model.module))
    graph = dependencies(copy.module, model.spec.input_shape)
    found = coupled(copy, graph, choice, backward, seed)
    groups = [
        (one.layer, True, tuple(sorted(torch.argsort(one.scores, stable=True)[:gone].tolist())))
        for one, gone in zip(found, removals([one.scores for one in found], ratio, choice), strict=True)
        if gone
    ]
    if not groups:
        raise ModelError(
            given=f"{ratio:g} of the channels of {model.spec.architecture} in multiples of {choice.round_to}: nothing goes",
            expected=f"layers with more than {choice.round_to} channels that keep does not name",
            todo="lower round_to, or shorten keep",
        )
    _take_out(graph, copy.module, groups)
    change = {"change": "channels", "groups": [[layer, out, list(gone)] for layer, out, gone in groups]}
    spec = model.spec.model_copy(update={"history": (*model.spec.history, change)})
    return still_answering(replace(copy, spec=spec))


def coupled(model: Model, graph: Any, choice: Choice, backward: Backward, seed: int) -> list[Coupled]:
    """Every group of channels that hang together with their scores; those whose layers are kept are left out.

    Channels of convolutions in groups (other than depthwise ones) are left alone: each group would have to lose the same.
    """
    modules = dict(model.module.named_modules())
    refuse_unknown(choice.keep, [path for path in modules if path], model.spec.architecture)
    ends = last_layers(model)
    kept = [one for path, one in modules.items() if path in ends or any(matches(p, path) for p in choice.keep if path)]
    if choice.score is ChannelScore.TAYLOR:
        backward(model.module)
    paths = {id(module): path for path, module in modules.items()}
    found = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        importance = _importance(choice.score)
        for group in graph.get_all_groups(ignored_layers=kept, root_module_types=[nn.modules.conv._ConvNd, nn.Linear]):
            scores = importance(group)
            if isinstance(scores, Tensor) and not any(_in_groups(dep.target.module) for dep, _ in group):
                found.append(Coupled(paths[id(group[0][0].target.module)], scores.detach().nan_to_num(0.0)))
    model.module.zero_grad(set_to_none=True)
    if not found:
        raise ModelError(
            given=f"{model.spec.architecture}, in which {choice.score.value} judges no channel that may go",
            expected="layers that keep does not name, with batch norms behind them for batch_norm",
            todo="choose another score, or shorten keep",
        )
    return found


def removals(scores: Sequence[Float[Tensor, " channels"]], ratio: float, choice: Choice) -> list[int]:
    """How many channels every group loses.

    Raises:
        ModelError: a group would lose all of them.
    """
    if choice.scope is ChannelScope.UNIFORM:
        wanted = [ceil(ratio * len(one) - 1e-9) for one in scores]
    else:
        shares = [one / one.mean().clamp_min(torch.finfo(one.dtype).tiny) for one in scores]
        every = torch.cat(shares)
        count = ceil(ratio * len(every) - 1e-9)
        threshold = every.sort().values[count - 1] if count else every.new_tensor(-torch.inf)
        wanted = [int((one <= threshold).sum()) for one in shares]
    return [_rounded(len(one), gone, choice) for one, gone in zip(scores, wanted, strict=True)]


def _rounded(channels: int, gone: int, choice: Choice) -> int:
    """What goes so that a multiple is left; nothing where there is no more than one multiple."""
    if channels <= choice.round_to and choice.round_to > 1:
        return 0
    left = (channels - gone) // choice.round_to * choice.round_to
    if left == 0 and choice.round_to == 1 and not choice.spare:
        raise ModelError(
            given=f"a ratio that takes all {channels} channels of a layer",
            expected="a layer that something comes through",
            todo="lower the ratio, set round_to = 8, or choose scope = 'uniform'",
        )
    return channels - max(left, choice.round_to)


def still_answering(model: Model) -> Model:
    """The model, where it still makes logits.

    Raises:
        ModelError: its forward pass counts on channels that are gone.
    """
    shape = (2, *model.spec.input_shape)
    try:
        with torch.no_grad():
            logits = model.module(torch.zeros(shape))
    except (RuntimeError, ValueError) as error:
        raise untraceable(model.module, error) from error
    if tuple(logits.shape) != (2, model.spec.outputs):
        raise ModelError(
            given=f"a pruned {model.spec.architecture} that answers {tuple(logits.shape)}",
            expected=f"logits of shape (2, {model.spec.outputs})",
            todo="keep its last layer: keep = [...]",
        )
    return model


def within(
    model: Model, budget: float, unit: str, cost: Callable[[Model], float], pruned: Callable[[float], Model]
) -> Model:
    """The least pruned model whose cost is within a budget, found by bisection of the ratio; it was measured itself.

    A model that is within the budget as it is loses nothing.

    Raises:
        BudgetMissed: it is not met at the largest ratio; what is nearest is said.
    """
    if cost(model) <= budget:
        return replace(model, module=deepcopy(model.module))
    best = pruned(MOST)
    least = cost(best)
    if least > budget:
        raise BudgetMissed(
            given=f"a budget of {budget:.4g} {unit}; with {MOST:g} of the channels gone it is {least:.6g} {unit}",
            expected="a budget that channels can pay",
            todo=f"raise it to {least:.6g} {unit} or more, or begin with a smaller net",
        )
    low, high = 0.0, MOST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        try:
            smaller = pruned(middle)
        except ModelError:  # so little that nothing goes
            low = middle
            continue
        if cost(smaller) <= budget:
            best, high = smaller, middle
        else:
            low = middle
    return best


class ChannelPruning(Record):
    """Take the channels out that are worth least; fine-tuning is a phase of its own.

    Attributes:
        ratio: the share of channels that goes at least, between 0 and 1; or one of these budgets:
        macs_ratio: the share of the multiply-accumulates that is left at most.
        size_ratio: the share of the parameters that is left at most.
        latency_ms: the median time of one answer in the recipe's runtime on this machine, at most.
        score: l1, l2, taylor, batch_norm, or random as the control.
        scope: uniform: every group of coupled layers loses the same share; global: the least of the whole net go.
        round_to: what is left of every layer is a multiple of it; a layer with no more channels than that stays whole.
        keep: patterns of module paths whose channels all stay: what they give, and what hangs on that. The last layer's do.
    """

    name: ClassVar[str] = "channels"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.NONE
    rule: ClassVar[None] = None

    ratio: float | None = Field(default=None, gt=0, lt=1)
    macs_ratio: float | None = Field(default=None, gt=0, lt=1)
    size_ratio: float | None = Field(default=None, gt=0, lt=1)
    latency_ms: float | None = Field(default=None, gt=0)
    score: ChannelScore = ChannelScore.L2
    scope: ChannelScope = ChannelScope.UNIFORM
    round_to: int = Field(default=8, ge=1)
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_them(self) -> ChannelPruning:
        given = [
            value for value in (self.ratio, self.macs_ratio, self.size_ratio, self.latency_ms) if value is not None
        ]
        if len(given) != 1:
            raise PydanticCustomError("budget", "exactly one of ratio, macs_ratio, size_ratio and latency_ms")
        return self

    @property
    def choice(self) -> Choice:
        """How channels are chosen."""
        return Choice(self.score, self.scope, self.round_to, self.keep, spare=self.ratio is None)

    @property
    def measures_cost(self) -> bool:
        """Whether what it makes depends on a latency measured here."""
        return self.latency_ms is not None

    def refuse_model(self, model: Model) -> None:
        """Raise ModelError where the net cannot be traced, is quantized or a text net, or a pattern matches no module."""
        refuse_text(model)
        refuse_pruning(model, self.name)
        score = ChannelScore.L2 if self.score is ChannelScore.TAYLOR else self.score
        prune_channels(model, self.ratio or MOST, replace(self.choice, score=score), lambda _: None)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The smaller model."""
        refuse_text(model)

        def pruned(ratio: float) -> Model:
            return prune_channels(model, ratio, self.choice, lambda module: loss_gradients(module, bench), bench.seed)

        made = pruned(self.ratio) if self.ratio is not None else self._within(model, bench, pruned)
        return [replace(made, lineage=(*model.lineage, self.name))]

    def _within(self, model: Model, bench: Bench, pruned: Callable[[float], Model]) -> Model:
        if self.macs_ratio is not None:
            return within(model, self.macs_ratio * count_macs(model), "MACs", count_macs, pruned)
        if self.size_ratio is not None:
            return within(model, self.size_ratio * parameters(model), "parameters", parameters, pruned)
        assert self.latency_ms is not None
        cost = bench.cost
        if cost is None:
            raise RecipeError(
                given=f"latency_ms = {self.latency_ms:g} where nothing measures latency",
                expected="a runtime that the net is measured in, as `galenic compress` does",
                todo="run it from a recipe, or give ratio, macs_ratio or size_ratio",
            )
        return within(model, self.latency_ms, "ms", lambda one: cost(one).value, pruned)


def refuse_text(model: Model) -> None:
    """Raise ModelError for a text net: its heads are cut by numbers that its code holds."""
    if hasattr(model.module, "vocabulary"):
        raise ModelError(
            given=f"channel pruning of {model.spec.architecture}, a text net",
            expected="a net of convolutions and dense layers",
            todo="take whole layers out (layers), or single weights (magnitude)",
        )


def _importance(score: ChannelScore) -> Callable[[Any], Any]:
    from torch_pruning.pruner import importance

    scores: Mapping[ChannelScore, Callable[[], Any]] = {
        ChannelScore.L1: lambda: importance.GroupMagnitudeImportance(p=1),
        ChannelScore.L2: lambda: importance.GroupMagnitudeImportance(p=2),
        ChannelScore.TAYLOR: importance.GroupTaylorImportance,
        ChannelScore.BATCH_NORM: importance.BNScaleImportance,
        ChannelScore.RANDOM: importance.RandomImportance,
    }
    made: Callable[[Any], Any] = scores[score]()
    return made


def _in_groups(module: Any) -> bool:
    return isinstance(module, nn.modules.conv._ConvNd) and 1 < module.groups < module.out_channels


def _take_out(graph: Any, module: nn.Module, groups: Sequence[Group]) -> None:
    for layer, _, indices in groups:
        root = module.get_submodule(layer)
        graph.get_pruning_group(root, graph.get_pruner_of_module(root).prune_out_channels, list(indices)).prune()
