"""Hidden states of transformers (TinyBERT: Jiao et al. 2020, arXiv:1909.10351, equation 8), padding left out.

    H: (batch, token, dimension), what a layer returns
    L = weight * sum over pairs of  w_p * mean over real tokens and dimensions of (H_S W_p - H_T)^2
A token is real where the inputs' attention mask is 1, and every token is where there is no mask. W_p (student dimension,
teacher dimension) is trained beside the student and dropped afterwards; where both dimensions are equal it is the identity.
The states of BERT's layers are layer-normalised, so their numbers are of order 1 and the mean is one of order 1 too.
By default the layers go together by relative depth (``suggest.py``). For nets without padding see feature_matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from galenic.compress.distill.answers import sole_teacher, teacher_model
from galenic.compress.distill.pairs import Pair, announce, named_or_suggested, sample_inputs
from galenic.compress.distill.suggest import LayerPair, Layout, layout_of
from galenic.compress.distill.teacher_layers import Reading, TeacherLayers
from galenic.compress.distill.tokens import token_mask
from galenic.compress.method import Bench, Contribution, TeacherNeed, train_together
from galenic.record.base import Record
from galenic.record.errors import ModelError
from galenic.training.objective import Pass
from galenic.zoo.model import Model


def hidden_loss(
    student: Float[Tensor, "b t d"], teacher: Float[Tensor, "b t d"], mask: Int[Tensor, "b t"]
) -> Float[Tensor, ""]:
    """The mean squared difference over the tokens where ``mask`` is 1."""
    tokens = (student - teacher).square().mean(dim=2)
    return (tokens * mask).sum() / mask.sum().clamp_min(1)


class HiddenStatesTerm:
    """The weighted sum over pairs, with the teacher's states cached or live and the projections of its own."""

    def __init__(self, pairs: Sequence[LayerPair], weights: Sequence[float], teacher: TeacherLayers, seed: int) -> None:
        self.teacher = teacher
        self.layers = tuple(pair.student for pair in pairs)
        self._weights = tuple(weights)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self._projections = nn.ModuleList(_projection(pair) for pair in pairs)
        self.own = self._projections if any(True for _ in self._projections.parameters()) else None

    def loss(self, seen: Pass) -> Tensor:
        """The weighted loss of one pass, in float32 whatever the student's precision."""
        theirs = self.teacher.of(seen.batch)
        device = seen.logits.device
        self._projections.to(device)
        with torch.autocast(device.type, enabled=False):
            losses = []
            for path, project, their, weight in zip(self.layers, self._projections, theirs, self._weights, strict=True):
                our = project(seen.layers[path].float())
                losses.append(weight * hidden_loss(our, their, token_mask(seen.batch.inputs, our)))
            return torch.stack(losses).sum()


class HiddenStates(Record):
    """Represent tokens as a teacher represents them.

    Attributes:
        pairs: of module paths that return (batch, token, dimension); where none are named, by relative depth.
        weight: of the sum over pairs.
        views: how many augmented views of each row are cycled through; a text has one.
        cache_mb: the teacher's states are cached if that takes no more, in MB; otherwise the teacher runs in every step.
    """

    name: ClassVar[str] = "hidden_states"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = True
    needs_teacher: ClassVar[TeacherNeed] = TeacherNeed.LAYERS
    rule: ClassVar[None] = None

    pairs: tuple[Pair, ...] = ()
    weight: float = Field(default=1.0, gt=0)
    views: int = Field(default=8, ge=1)
    cache_mb: float = Field(default=1024.0, ge=0)

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        """The term of hidden states; what the labels weigh is left to others."""
        teacher = sole_teacher(bench)
        inputs = sample_inputs(bench.task)
        pairs = token_pairs(model.module, teacher_model(teacher).module, self.pairs, inputs)
        readings = [
            Reading(pair.teacher, f"hidden states {pair.teacher_shape}", pair.teacher_shape, _unchanged)
            for pair in pairs
        ]
        layers = TeacherLayers(bench, teacher, readings, self.views, self.cache_mb)
        named = self.pairs or tuple(Pair(student=pair.student, teacher=pair.teacher) for pair in pairs)
        announce(bench, self.name, named, pairs, layers.note)
        term = HiddenStatesTerm(pairs, [self.weight * pair.weight for pair in named], layers, bench.seed)
        return Contribution(model, terms=(term,), views=self.views)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        """The trained student."""
        return [train_together([self], model, bench)]


def token_pairs(student: nn.Module, teacher: nn.Module, named: Sequence[Pair], inputs: Any) -> list[LayerPair]:
    """The named pairs with their shapes, or those by relative depth; ModelError where one does not return tokens."""
    pairs = named_or_suggested(student, teacher, named, inputs)
    for pair in pairs:
        shapes = (pair.student_shape, pair.teacher_shape)
        if any(layout_of(shape, inputs) is not Layout.TOKENS for shape in shapes) or shapes[0][0] != shapes[1][0]:
            raise ModelError(
                given=f"the student's {pair.student} of shape {shapes[0]} and the teacher's {pair.teacher} of {shapes[1]}",
                expected="two layers that return (token, dimension) of the same tokens",
                todo="name blocks of a transformer, or use feature_matching",
            )
    return pairs


def _projection(pair: LayerPair) -> nn.Module:
    ours, theirs = pair.student_shape[-1], pair.teacher_shape[-1]
    return nn.Identity() if ours == theirs else nn.Linear(ours, theirs, bias=False)


def _unchanged(states: Tensor) -> Tensor:
    return states
