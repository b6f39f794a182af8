"""What is known of a model whose weights are partly zero."""

from __future__ import annotations

from galenic.record.base import Record


class Sparsity(Record):
    """Weights that were removed one at a time. Zeros of the named parameters stay zero in whatever follows.

    Attributes:
        parameters: names in the state dict (``layers.0.weight``); a weight of theirs that is zero was removed.
        training_flops: of the training that made it, as a share of the same training of the dense net; None where nothing was
            trained.
        notes: what people should know, such as layers that a pattern does not fit.
    """

    parameters: tuple[str, ...]
    training_flops: float | None = None
    notes: tuple[str, ...] = ()
