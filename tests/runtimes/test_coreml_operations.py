"""Each of MIL's operations in numpy against torch, which computes the same by other code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from galenic.runtimes.coreml_arguments import Arguments
from galenic.runtimes.coreml_evaluate import OPERATIONS


def compute(kind: str, declared: tuple[int, ...] = (), /, **values: object):
    """One operation; the shape that is declared matters where it is asked for before much is computed."""
    return OPERATIONS[kind](Arguments({name: _value(value) for name, value in values.items()}, (declared,)))


def _value(value: object) -> object:
    if isinstance(value, str | np.ndarray):
        return value
    if isinstance(value, list) and isinstance(value[0], np.ndarray | str):
        return value
    return np.asarray(value, np.float32 if isinstance(value, float) else None)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check_close(ours: np.ndarray, theirs: torch.Tensor, tolerance: float = 2e-6) -> None:
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=tolerance, atol=tolerance)


@st.composite
def convolutions(draw):
    sides = draw(st.integers(1, 2))
    each, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "sides": sides,
        "each": each,
        "groups": groups,
        "out": groups * draw(st.integers(1, 3)),
        "kernel": draw(st.lists(st.integers(1, 3), min_size=sides, max_size=sides)),
        "strides": draw(st.lists(st.integers(1, 3), min_size=sides, max_size=sides)),
        "dilations": draw(st.lists(st.integers(1, 2), min_size=sides, max_size=sides)),
        "pads": draw(st.lists(st.integers(0, 2), min_size=sides, max_size=sides)),
        "size": draw(st.lists(st.integers(5, 8), min_size=sides, max_size=sides)),
    }


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_convolutions_of_any_groups_strides_dilations_and_paddings(case) -> None:
    x = normal(2, case["each"] * case["groups"], *case["size"])
    weight, bias = normal(case["out"], case["each"], *case["kernel"], seed=1), normal(case["out"], seed=2)
    theirs = (F.conv1d, F.conv2d)[case["sides"] - 1](
        *map(torch.from_numpy, (x, weight, bias)), case["strides"], case["pads"], case["dilations"], case["groups"]
    )
    ours = compute(
        "conv", tuple(theirs.shape), x=x, weight=weight, bias=bias, strides=case["strides"], pad_type="custom",
        pad=[one for pad in case["pads"] for one in (pad, pad)], dilations=case["dilations"], groups=case["groups"],
    )  # fmt: skip
    check_close(ours, theirs, 1e-5)


@settings(deadline=None, max_examples=60)
@given(convolutions(), st.booleans())
def test_transposed_convolutions_of_any_groups_strides_dilations_and_paddings(case, given_shape) -> None:
    x = normal(2, case["out"], *case["size"])
    weight, outputs = normal(case["out"], case["each"], *case["kernel"], seed=1), case["each"] * case["groups"]
    theirs = (F.conv_transpose1d, F.conv_transpose2d)[case["sides"] - 1](
        torch.from_numpy(x), torch.from_numpy(weight), torch.from_numpy(normal(outputs, seed=2)), case["strides"],
        [0] * case["sides"], 0, case["groups"], case["dilations"],
    )  # fmt: skip
    pads = [min(pad, (side - 1) // 2) for pad, side in zip(case["pads"], theirs.shape[2:], strict=True)]
    cut = theirs[(..., *(slice(pad, side - pad) for pad, side in zip(pads, theirs.shape[2:], strict=True)))]
    ours = compute(
        "conv_transpose", tuple(cut.shape), x=x, weight=weight, bias=normal(outputs, seed=2), strides=case["strides"],
        pad_type="custom", pad=[one for pad in pads for one in (pad, pad)], dilations=case["dilations"],
        groups=case["groups"], **({"output_shape": list(cut.shape)} if given_shape else {}),
    )  # fmt: skip
    check_close(ours, cut, 1e-5)


def test_a_transposed_convolution_with_rows_that_no_window_reaches() -> None:
    x, weight = normal(1, 2, 4, 4), normal(2, 3, 3, 3, seed=1)
    theirs = F.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(weight), stride=2, padding=1, output_padding=1)
    ours = compute(
        "conv_transpose", tuple(theirs.shape), x=x, weight=weight, strides=[2, 2], pad_type="custom", pad=[1, 0, 1, 0],
        output_shape=[1, 3, 8, 8],
    )  # fmt: skip
    check_close(ours, theirs, 1e-5)


@pytest.mark.parametrize(("kind", "pads"), [("same", (0, 1)), ("same_lower", (1, 0))])
def test_same_padding_puts_the_odd_one_behind_or_before(kind: str, pads: tuple[int, int]) -> None:
    x, weight = normal(1, 1, 6, 6), normal(1, 1, 3, 3, seed=1)
    padded = F.pad(torch.from_numpy(x), (*pads, *pads))
    theirs = F.conv2d(padded, torch.from_numpy(weight), stride=2)
    check_close(compute("conv", (1, 1, 3, 3), x=x, weight=weight, strides=[2, 2], pad_type=kind), theirs)
    peaks = compute("max_pool", x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type=kind)
    inside = F.pad(torch.from_numpy(x), (*pads, *pads), value=-torch.inf)
    check_close(peaks, F.max_pool2d(inside, 3, 2))


@settings(deadline=None, max_examples=80)
@given(
    st.integers(2, 4), st.integers(1, 3), st.integers(0, 2), st.integers(5, 9), st.booleans(), st.booleans(), st.integers(1, 2)
)  # fmt: skip
def test_pools_of_any_windows_with_rounding_up_and_with_padding_that_counts_or_not(
    size, stride, pad, side, ceil, excluded, sides
) -> None:
    x, pad = normal(2, 3, *[side] * sides), min(pad, size // 2)
    given_values = {
        "x": x,
        "kernel_sizes": [size] * sides,
        "strides": [stride] * sides,
        "pad_type": "custom",
        "pad": [pad] * 2 * sides,
        "ceil_mode": ceil,
    }
    rows = torch.from_numpy(x)
    mean, peak = ((F.avg_pool1d, F.max_pool1d), (F.avg_pool2d, F.max_pool2d))[sides - 1]
    means = compute("avg_pool", exclude_padding_from_average=excluded, **given_values)
    check_close(means, mean(rows, size, stride, pad, ceil, not excluded))
    check_close(compute("max_pool", **given_values), peak(rows, size, stride, pad, ceil_mode=ceil))


UNARY: dict[str, tuple[Callable, dict]] = {
    "abs": (torch.abs, {}),
    "atan": (torch.atan, {}),
    "ceil": (torch.ceil, {}),
    "clamped_relu": (lambda x: torch.where(x >= 0, x, 0.3 * x).clamp(max=0.7), {"alpha": 0.3, "beta": 0.7}),
    "clip": (lambda x: x.clamp(-0.5, 0.4), {"alpha": -0.5, "beta": 0.4}),
    "cos": (torch.cos, {}),
    "elu": (lambda x: F.elu(x, 0.7), {"alpha": 0.7}),
    "erf": (torch.erf, {}),
    "exp": (torch.exp, {}),
    "exp2": (torch.exp2, {}),
    "floor": (torch.floor, {}),
    "gelu": (F.gelu, {"mode": "EXACT"}),
    "identity": (lambda x: x, {}),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), {"alpha": 0.2}),
    "linear_activation": (lambda x: 2 * x - 1, {"alpha": 2.0, "beta": -1.0}),
    "prelu": (lambda x: F.prelu(x, torch.tensor([0.1, 0.2, 0.3])), {"alpha": np.array([0.1, 0.2, 0.3], np.float32)}),
    "relu": (F.relu, {}),
    "relu6": (lambda x: F.relu6(x), {}),
    "round": (torch.round, {}),
    "scaled_tanh": (lambda x: 1.7 * torch.tanh(0.6 * x), {"alpha": 1.7, "beta": 0.6}),
    "sigmoid": (torch.sigmoid, {}),
    "sigmoid_hard": (F.hardsigmoid, {"alpha": 1 / 6, "beta": 0.5}),
    "sign": (torch.sign, {}),
    "silu": (F.silu, {}),
    "sin": (torch.sin, {}),
    "softmax": (lambda x: torch.softmax(x, 1), {"axis": 1}),
    "softplus": (F.softplus, {}),
    "softplus_parametric": (
        lambda x: torch.tensor([1.0, 2.0, 3.0]).view(3, 1) * F.softplus(0.5 * x),
        {"alpha": np.array([1, 2, 3], np.float32), "beta": np.array([0.5] * 3, np.float32)},
    ),
    "softsign": (F.softsign, {}),
    "square": (torch.square, {}),
    "tanh": (torch.tanh, {}),
    "threshold": (lambda x: x.clamp(min=0.3), {"alpha": 0.3}),
    "thresholded_relu": (lambda x: F.threshold(x, -0.5, 0.0), {"alpha": -0.5}),
}


@pytest.mark.parametrize("kind", UNARY)
def test_operations_on_each_value(kind: str) -> None:
    function, values = UNARY[kind]
    x = 2 * normal(4, 3, 50)
    check_close(compute(kind, x=x, **values), function(torch.from_numpy(x)))


POSITIVE: dict[str, tuple[Callable, dict]] = {
    "inverse": (lambda x: 1 / (x + 0.5), {"epsilon": 0.5}),
    "log": (torch.log, {}),
    "rsqrt": (lambda x: torch.rsqrt(x + 0.5), {"epsilon": 0.5}),
    "sqrt": (torch.sqrt, {}),
}


@pytest.mark.parametrize("kind", POSITIVE)
def test_operations_on_each_positive_value(kind: str) -> None:
    function, values = POSITIVE[kind]
    x = np.abs(normal(40)) + 0.01
    check_close(compute(kind, x=x, **values), function(torch.from_numpy(x)))


def test_the_two_approximations_of_a_gelu_and_large_values() -> None:
    x = 3 * normal(200)
    check_close(compute("gelu", x=x, mode="TANH_APPROXIMATION"), F.gelu(torch.from_numpy(x), approximate="tanh"))
    check_close(
        compute("gelu", x=x, mode="SIGMOID_APPROXIMATION"),
        torch.from_numpy(x) * torch.sigmoid(1.702 * torch.from_numpy(x)),
    )
    large = np.array([-1e4, 1e4], np.float32)
    assert compute("sigmoid", x=large).tolist() == [0.0, 1.0]
    assert compute("softplus", x=large).tolist() == [0.0, 1e4]
    assert compute("softmax", x=large, axis=0).tolist() == [0.0, 1.0]


BINARY: dict[str, Callable] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "real_div": torch.div, "floor_div": torch.floor_divide,
    "mod": torch.remainder, "maximum": torch.maximum, "minimum": torch.minimum, "equal": torch.eq, "not_equal": torch.ne,
    "greater": torch.gt, "greater_equal": torch.ge, "less": torch.lt, "less_equal": torch.le,
    "pow": torch.pow, "logical_and": torch.logical_and, "logical_or": torch.logical_or, "logical_xor": torch.logical_xor,
}  # fmt: skip


@pytest.mark.parametrize("kind", BINARY)
def test_operations_on_two_values_stretch_sides_of_one(kind: str) -> None:
    x, y = np.rint(3 * normal(2, 3, 1, 4)), np.rint(3 * normal(5, 1, seed=1)) + 0.5
    x = np.abs(x) + 1 if kind == "pow" else x
    check_close(compute(kind, (2, 3, 5, 4), x=x, y=y), BINARY[kind](torch.from_numpy(x), torch.from_numpy(y)))
    with pytest.raises(ValueError, match="declared as"):
        compute(kind, (2, 3, 5, 5), x=x, y=y)


REDUCED: dict[str, Callable] = {
    "reduce_l2_norm": lambda x, d, k: torch.linalg.vector_norm(x, dim=d, keepdim=k),
    "reduce_log_sum_exp": lambda x, d, k: torch.logsumexp(x, d, keepdim=k),
    "reduce_max": lambda x, d, k: torch.amax(x, d, keepdim=k),
    "reduce_mean": lambda x, d, k: torch.mean(x, d, keepdim=k),
    "reduce_min": lambda x, d, k: torch.amin(x, d, keepdim=k),
    "reduce_prod": lambda x, d, k: torch.stack([one.prod() for one in x.unbind(0)]).reshape((2, 1, 1) if k else (2,)),
    "reduce_sum": lambda x, d, k: torch.sum(x, d, keepdim=k),
    "reduce_sum_square": lambda x, d, k: torch.sum(x**2, d, keepdim=k),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", REDUCED)
def test_reductions(kind: str, keep: bool) -> None:
    x = normal(2, 3, 4)
    check_close(
        compute(kind, x=x, axes=[1, -1], keep_dims=keep), REDUCED[kind](torch.from_numpy(x), (1, 2), keep), 1e-5
    )


def test_the_place_of_the_largest_and_the_least_value() -> None:
    x = normal(2, 3, 4)
    check_close(compute("reduce_argmax", x=x, axis=1, keep_dims=True), torch.argmax(torch.from_numpy(x), 1, True))
    check_close(compute("reduce_argmin", x=x, axis=-1), torch.argmin(torch.from_numpy(x), -1))


def test_normalisations() -> None:
    x, gamma, beta, mean = normal(2, 3, 4, 5), normal(3, seed=1), normal(3, seed=2), normal(3, seed=3)
    variance = np.abs(normal(3, seed=4)) + 0.1
    rows, *rest = map(torch.from_numpy, (x, mean, variance, gamma, beta))
    values = {"x": x, "gamma": gamma, "beta": beta, "epsilon": 1e-3}
    check_close(
        compute("batch_norm", mean=mean, variance=variance, **values), F.batch_norm(rows, *rest, eps=1e-3), 1e-5
    )
    check_close(compute("instance_norm", **values), F.instance_norm(rows, weight=rest[2], bias=rest[3], eps=1e-3), 1e-5)
    gamma, beta = normal(4, 5, seed=5), normal(4, 5, seed=6)
    theirs = F.layer_norm(rows, (4, 5), torch.from_numpy(gamma), torch.from_numpy(beta), 1e-3)
    check_close(compute("layer_norm", x=x, gamma=gamma, beta=beta, axes=[2, 3], epsilon=1e-3), theirs, 1e-5)
    check_close(compute("layer_norm", x=x, axes=[-1]), F.layer_norm(rows, (5,)), 1e-5)


def test_products() -> None:
    x, y, weight, bias = normal(2, 3, 4), normal(2, 4, 5, seed=1), normal(6, 4, seed=2), normal(6, seed=3)
    check_close(compute("matmul", (2, 3, 5), x=x, y=y), torch.from_numpy(x) @ torch.from_numpy(y))
    turned = compute("matmul", (2, 3, 5), x=x.swapaxes(1, 2), y=y.swapaxes(1, 2), transpose_x=True, transpose_y=True)
    check_close(turned, torch.from_numpy(x) @ torch.from_numpy(y))
    theirs = F.linear(*map(torch.from_numpy, (x, weight, bias)))
    check_close(compute("linear", (2, 3, 6), x=x, weight=weight, bias=bias), theirs)


@pytest.mark.parametrize("masked", ["none", "bool", "float"])
def test_attention(masked: str) -> None:
    query, key, value = normal(2, 3, 4, 5), normal(2, 3, 6, 5, seed=1), normal(2, 3, 6, 7, seed=2)
    mask = {"none": None, "bool": normal(4, 6, seed=3) > -0.5, "float": normal(4, 6, seed=3)}[masked]
    theirs = F.scaled_dot_product_attention(
        *map(torch.from_numpy, (query, key, value)), None if mask is None else torch.from_numpy(mask)
    )
    values = {} if mask is None else {"attn_mask": mask}
    found = compute("scaled_dot_product_attention", (2, 3, 4, 7), query=query, key=key, value=value, **values)
    check_close(found, theirs, 1e-5)


def test_slices_by_index_with_masks_and_squeezed_sides() -> None:
    x = normal(4, 5, 6)
    found = compute(
        "slice_by_index", x=x, begin=[1, 2, -3], end=[9, 4, 0], stride=[1, 2, 1], begin_mask=[True, False, False],
        end_mask=[False, True, True], squeeze_mask=[False, False, False],
    )  # fmt: skip
    np.testing.assert_array_equal(found, x[:9, 2::2, -3:])
    one = compute("slice_by_index", x=x, begin=[1, 2, 0], end=[2, 3, 6], squeeze_mask=[True, True, False])
    np.testing.assert_array_equal(one, x[1, 2])
    np.testing.assert_array_equal(compute("slice_by_size", x=x, begin=[1, 0, 2], size=[2, -1, 3]), x[1:3, :, 2:5])


def test_gathering() -> None:
    x, indices = normal(4, 5, 6), np.array([[0, 2], [3, 3]], np.int32)
    np.testing.assert_array_equal(compute("gather", x=x, indices=indices, axis=1), x[:, indices])
    batched = compute("gather", x=x[:2], indices=indices, axis=1, batch_dims=1)
    np.testing.assert_array_equal(batched, np.stack([x[0][indices[0]], x[1][indices[1]]]))
    np.testing.assert_array_equal(compute("gather_nd", x=x, indices=indices), x[[0, 3], [2, 3]])
    places = np.random.default_rng(0).integers(0, 5, (4, 2, 6))
    theirs = torch.gather(torch.from_numpy(x), 1, torch.from_numpy(places))
    check_close(compute("gather_along_axis", x=x, indices=places, axis=1), theirs)


def test_values_that_move() -> None:
    x, rows = normal(2, 4, 3, 3), torch.from_numpy(normal(2, 4, 3, 3))
    check_close(compute("reshape", x=x, shape=[0, -1]), rows.flatten(1))
    check_close(compute("transpose", x=x, perm=[0, 2, 3, 1]), rows.permute(0, 2, 3, 1))
    check_close(compute("expand_dims", x=x, axes=[0, -1]), rows[None, ..., None])
    check_close(compute("squeeze", x=x[:1], axes=[0]), rows[0])
    check_close(compute("squeeze", x=x[:1, :1]), rows[0, 0])
    check_close(compute("flatten2d", x=x, axis=2), rows.reshape(8, 9))
    check_close(compute("reverse", x=x, axes=[1]), rows.flip(1))
    check_close(compute("tile", (4, 4, 3, 9), x=x, reps=[2, 1, 1, 3]), rows.repeat(2, 1, 1, 3))
    check_close(compute("pixel_shuffle", x=x, upscale_factor=2), F.pixel_shuffle(rows, 2))
    check_close(compute("stack", values=[x, x], axis=1), torch.stack([rows, rows], 1))
    check_close(compute("concat", values=[x, 2 * x], axis=1), torch.cat([rows, 2 * rows], 1))
    interleaved = compute("concat", values=[x, 2 * x], axis=1, interleave=True)
    check_close(interleaved, torch.stack([rows, 2 * rows], 2).flatten(1, 2))
    check_close(compute("fill", (2, 3), shape=[2, 3], value=1.5), torch.full((2, 3), 1.5))
    assert compute("shape", x=x).tolist() == [2, 4, 3, 3]
    up = compute("upsample_nearest_neighbor", (2, 4, 6, 9), x=x, scale_factor_height=2, scale_factor_width=3)
    check_close(up, F.interpolate(rows, scale_factor=(2, 3)))
    for ours, theirs in zip(compute("split", x=x, num_splits=2, axis=1), rows.chunk(2, 1), strict=True):
        check_close(ours, theirs)
    for ours, theirs in zip(compute("split", x=x, split_sizes=[1, 3], axis=1), rows.split([1, 3], 1), strict=True):
        check_close(ours, theirs)
    chosen = compute("select", (2, 4, 3, 3), cond=x > 0, a=x, b=np.zeros(1, np.float32))
    check_close(chosen, F.relu(rows))


@pytest.mark.parametrize(
    ("mode", "theirs"), [("constant", "constant"), ("reflect", "reflect"), ("replicate", "replicate")]
)
def test_padding_of_the_last_sides(mode: str, theirs: str) -> None:
    x = normal(2, 3, 4, 5)
    value = {"constant_val": 1.5} if mode == "constant" else {}
    expected = F.pad(torch.from_numpy(x), (3, 0, 1, 2), mode=theirs, value=1.5 if value else None)
    check_close(compute("pad", (2, 3, 7, 8), x=x, pad=[1, 2, 3, 0], mode=mode, **value), expected)


def test_quantize_rounds_ties_to_even_and_clips_and_dequantize_goes_back() -> None:
    x = np.array([-10.0, -0.5, 0.5, 0.75, 1.25, 1000.0], np.float32)
    found = compute("quantize", input=x, scale=0.5, zero_point=np.uint8(3), output_dtype="uint8")
    # -20 + 3 is below 0; -1 + 3, 1 + 3, 1.5 -> 2 + 3, 2.5 -> 2 + 3; 2003 is above 255
    assert found.tolist() == [0, 2, 4, 5, 5, 255]
    back = compute("dequantize", input=found.astype(np.uint8), scale=0.5, zero_point=np.uint8(3))
    assert back.tolist() == [-1.5, -0.5, 0.5, 1.0, 1.0, 126.0]
    signed = compute("quantize", input=x, scale=0.5, output_dtype="int8")
    assert signed.tolist() == [-20, -1, 1, 2, 2, 127]
    rows = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    scales, zeros = np.array([1.0, 0.5], np.float32), np.array([0, 1], np.int8)
    each = compute("quantize", input=rows, scale=scales, zero_point=zeros, axis=1, output_dtype="int8")
    assert each.tolist() == [[1, 5], [3, 9]]
    back = compute("dequantize", input=each.astype(np.int8), scale=scales, zero_point=zeros, axis=1)
    assert back.tolist() == rows.tolist()


def test_weights_of_fewer_bits() -> None:
    integers = np.arange(8, dtype=np.int8).reshape(2, 4)
    scales = np.array([0.5, 2.0], np.float32)
    whole = compute("constexpr_affine_dequantize", quantized_data=integers, scale=scales, zero_point=np.int8(1), axis=0)
    assert whole.tolist() == [[-0.5, 0.0, 0.5, 1.0], [6.0, 8.0, 10.0, 12.0]]
    blocks = np.array([[1.0, 10.0], [100.0, 1000.0]], np.float32)
    found = compute("constexpr_blockwise_shift_scale", data=integers, scale=blocks)
    assert found.tolist() == [[0, 1, 20, 30], [400, 500, 6000, 7000]]
    shifted = compute(
        "constexpr_blockwise_shift_scale", data=integers, scale=blocks, offset=np.full((2, 2), 1, np.int8)
    )
    assert shifted.tolist() == [[-1, 0, 10, 20], [300, 400, 5000, 6000]]
    with pytest.raises(ValueError, match=r"scales of shape \(2, 3\)"):
        compute("constexpr_blockwise_shift_scale", data=integers, scale=np.ones((2, 3), np.float32))
    assert compute("constexpr_cast", source_val=np.float32(1.5), output_dtype="fp32") == 1.5


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("conv", {"weight": normal(4, 2, 3, 3)}, "3 channels in 1 groups"),
        ("conv", {"weight": normal(4, 3, 3, 3), "strides": [0, 1]}, "windows"),
        ("conv", {"weight": normal(4, 3, 3, 3), "pad_type": "custom", "pad": [-1, 0, 0, 0]}, "a padding of"),
        ("conv", {"weight": normal(4, 3, 3, 3), "pad_type": "custom", "pad": [2**30, 0, 2**30, 0]}, "a padding of"),
        ("conv", {"weight": normal(4, 3, 3, 3), "pad_type": "circular"}, "the padding 'circular'"),
        ("conv_transpose", {"weight": normal(4, 3, 3, 3)}, "3 channels in 1 groups"),
        ("tile", {"reps": [1, 1, 2**30, 2**30]}, "declared as"),
        ("pad", {"pad": [2**30, 0]}, "declared as"),
        ("pad", {"pad": [-1, 0]}, "a padding of"),
        ("fill", {"shape": [2**30, 2**30]}, "declared as"),
        ("gelu", {"mode": "ROUGH"}, "the mode 'ROUGH'"),
        ("quantize", {"input": normal(2), "scale": 1.0, "output_dtype": "int2"}, "integers of the type 'int2'"),
        ("softmax", {"axis": "last"}, "no array for its parameter axis"),
        ("concat", {"values": ["a"], "axis": 0}, "no arrays for its parameter values"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_before_memory_is_taken_for_it(kind, values, why) -> None:
    with pytest.raises(ValueError, match=why):
        compute(kind, (1, 4, 6, 6), **{"x": normal(1, 3, 8, 8), **values})


def test_truth_is_turned_and_a_cast_is_left_to_the_declared_type() -> None:
    assert compute("logical_not", x=np.array([True, False])).tolist() == [False, True]
    assert compute("cast", x=np.array([1.5, -1.5])).tolist() == [1.5, -1.5]


def test_every_operation_is_tested_here() -> None:
    source = Path(__file__).read_text()
    assert [kind for kind in OPERATIONS if f'"{kind}"' not in source] == []
