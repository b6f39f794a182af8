"""Which tokens of a batch are text and which are padding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from galenic.training.objective import Inputs


def token_mask(inputs: Inputs, like: Tensor) -> Int[Tensor, "b t"]:
    """1 where a token is no padding; 1 everywhere where the inputs do not say.

    Args:
        inputs: what the model was called with.
        like: a tensor (batch, ..., token, any) on the right device, for nets without a mask.
    """
    if isinstance(inputs, Mapping):
        return inputs["attention_mask"]
    return torch.ones((like.shape[0], like.shape[-2]), dtype=torch.int64, device=like.device)
