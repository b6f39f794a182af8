"""What single operations are refused for: each check gives the reason, or nothing where the operation is taken."""

from __future__ import annotations

from collections.abc import Callable

from galenic.runtimes.tflite_ops import Op, Tensor

Check = Callable[[Op], str]
SPATIAL_RANK = 4
WEIGHT, BIAS = 1, 2
NUMBER = Tensor("", "FLOAT32", (), constant=True)


def plain(op: Op) -> str:
    """No activation is fused into it."""
    return "" if op.activation == "NONE" else f"with a fused {op.activation}"


def activations(*taken: str) -> Check:
    """Only these activations are fused into it."""
    return lambda op: "" if op.activation in ("NONE", *taken) else f"with a fused {op.activation}"


def strides(most: int) -> Check:
    """It moves by at most so many positions at a time."""

    def check(op: Op) -> str:
        found = max(op.options.get("strideH", 1), op.options.get("strideW", 1))
        return f"with a stride of {found}, above {most}" if found > most else ""

    return check


def undilated(op: Op) -> str:
    """Its kernel has no holes."""
    return "" if _dilations(op) == (1, 1) else "with a dilation"


def same_dilation(op: Op) -> str:
    """Its kernel has the same holes in both directions."""
    first, second = _dilations(op)
    return "" if first == second else "with other dilations in height than in width"


def undilated_where_it_strides(op: Op) -> str:
    """A dilation only without strides."""
    return undilated(op) and (strides(1)(op) and "with a dilation and a stride")


def kernel_width(width: int) -> Check:
    """Its kernel is exactly so wide."""

    def check(op: Op) -> str:
        shape = _weight(op).shape
        return "" if len(shape) == SPATIAL_RANK and shape[2] == width else f"with a kernel that is not {width} wide"

    return check


def one_for_each_channel(op: Op) -> str:
    """Each input channel gives one output channel."""
    return "" if op.options.get("depthMultiplier") == 1 else "with more than one output for a channel"


def one_for_each_channel_or_one_channel(op: Op) -> str:
    """Each input channel gives one output channel, or there is one input channel."""
    source = op.inputs[0]
    return "" if source is not None and source.shape[-1] == 1 else one_for_each_channel(op)


def has_bias(op: Op) -> str:
    """It adds a bias."""
    return "" if len(op.inputs) > BIAS and op.inputs[BIAS] is not None else "without a bias"


def constant(position: int, what: str) -> Check:
    """One of its inputs is in the file."""

    def check(op: Op) -> str:
        tensor = op.inputs[position] if position < len(op.inputs) else None
        return "" if tensor is None or tensor.constant else f"with {what} that are computed"

    return check


def ranks(*taken: int) -> Check:
    """What it takes has one of these numbers of dimensions."""
    words = " or ".join(map(str, taken))
    return lambda op: "" if len(_first(op).shape) in taken else f"of {len(_first(op).shape)} dimensions, not {words}"


def unit_beta(op: Op) -> str:
    """A softmax of its input as it is."""
    return "" if op.options.get("beta") == 1.0 else "with a beta that is not 1"


def default_format(op: Op) -> str:
    """Its weights are not shuffled."""
    return "" if not op.options.get("weightsFormat") else "with shuffled weights"


def keeps_batch(op: Op) -> str:
    """It does not reduce over the batch."""
    axes = _values(op, 1)
    rank = len(_first(op).shape)
    return "over the batch" if any(axis % max(rank, 1) == 0 for axis in axes) else ""


def pads_no_batch(op: Op) -> str:
    """It does not pad the batch."""
    return "of the batch" if any(_values(op, 1)[:2]) else ""


def square_pads(op: Op) -> str:
    """It pads three or four dimensions."""
    pads = op.inputs[1]
    return "" if pads is not None and pads.shape in ((3, 2), (4, 2)) else "of other than 3 or 4 dimensions"


def same_grid(op: Op) -> str:
    """What it makes has the grid of what it takes."""
    taken, made = _first(op), op.outputs[0]
    return "" if taken.grid == made.grid else "whose output has another scale than its input"


def no_scalar(op: Op) -> str:
    """It makes more than one number without dimensions."""
    return "" if op.outputs[0].shape else "that makes a single number"


def unmasked(*masks: str) -> Check:
    """None of these masks is set."""
    return lambda op: next((f"with a {mask}" for mask in masks if op.options.get(mask)), "")


def unit_steps(op: Op) -> str:
    """It takes every position of a slice."""
    return "with steps above 1" if any(step != 1 for step in _values(op, 3)) else ""


def one_vector(most: int) -> Check:
    """It takes one vector of at most so many numbers."""

    def check(op: Op) -> str:
        shape = _first(op).shape
        wide = [side for side in shape if side != 1]
        if len(wide) > 1:
            return "of more than one dimension"
        return f"of more than {most} numbers" if wide and wide[0] > most else ""

    return check


def leading_ones(op: Op) -> str:
    """It takes away dimensions of size 1 at the beginning alone."""
    taken, made = _first(op).shape, op.outputs[0].shape
    return "" if taken[len(taken) - len(made) :] == made else "of dimensions that are not the first ones"


def sizes_up_to(most: int) -> Check:
    """It makes a picture of at most so many positions a side."""
    return lambda op: "" if max(op.outputs[0].shape[1:3], default=0) <= most else f"to more than {most} positions"


def one_row(op: Op) -> str:
    """It takes one row."""
    return "" if all(side == 1 for side in _first(op).shape[:-1]) else "of more than one row"


def never(reason: str) -> Check:
    """It is not taken at all, for a reason that a table gives."""
    return lambda _: reason


def _first(op: Op) -> Tensor:
    """What it computes on: the first input that is no constant; a number where it has none."""
    given = [tensor for tensor in op.inputs if tensor is not None]
    return next((tensor for tensor in given if not tensor.constant), given[0] if given else NUMBER)


def _weight(op: Op) -> Tensor:
    return (op.inputs[WEIGHT] if len(op.inputs) > WEIGHT else None) or NUMBER


def _values(op: Op, position: int) -> tuple[int, ...]:
    tensor = op.inputs[position] if position < len(op.inputs) else None
    return () if tensor is None else tensor.values


def _dilations(op: Op) -> tuple[int, int]:
    return op.options.get("dilationHFactor", 1), op.options.get("dilationWFactor", 1)
