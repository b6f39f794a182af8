"""The steps of a net as one C99 file: constant tables, the kernels that it needs, one call a step. Nothing is allocated.

multiplier, shift    m / 2^s is the float64 factor, 2^30 <= m < 2^31 (Jacob et al. 2018, arXiv:1712.05877)
a mean's            m and s of the scales alone, then m 2^b / count and s - b, 2^b <= count
a sum's factors      scale(a) / scale(out) * 2^s with s so that 255 * factor < 2^29: 32 bits are enough for two
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import frexp, prod
from typing import Any

import numpy as np

from galenic.exporters.c_memory import Memory, plan
from galenic.exporters.c_room import check_room, kernel_text
from galenic.exporters.c_steps import (
    Arrangement,
    Combination,
    Convolution,
    Lookup,
    Mean,
    Net,
    Pooling,
    Step,
    Tensor,
    strides_of,
)
from galenic.record.card import Card, card_json
from galenic.record.preprocessing import Preprocessing

AXES = 4
BYTES, NIBBLES, BITMAP = 0, 1, 2
LOWEST_NIBBLE = -8
SUM_BITS = 20
LINE = 28  # numbers on a line


@dataclass(frozen=True)
class Source:
    """A C file, and what it takes.

    Attributes:
        text: of the file.
        arena_bytes: of the array that it computes in, the input's place included.
        scratch_bytes: for the unpacked weights of one channel.
        weight_bytes: of the weights as they are stored.
        stored_bytes: of all tables: weights, biases, factors, answers. They lie in flash, beside the code.
    """

    text: str
    arena_bytes: int
    scratch_bytes: int
    weight_bytes: int
    stored_bytes: int


def source_of(net: Net, name: str) -> Source:
    """The file of a net; ``entrance`` is to follow it."""
    writer = _Writer(name, plan(net))
    calls = [EMIT[type(step)](writer, step) for step in net.steps]
    scratch = f"#define SCRATCH {writer.scratch}\n\n" if writer.scratch else ""
    parts = [
        _head(net, writer, name),
        *(scratch * (name == "weights_packed") + kernel_text(name) for name in _needed(writer)),
        *writer.tables,
        _interface(net, writer, calls),
    ]
    return Source("\n".join(parts), writer.memory.size, writer.scratch, writer.weight_bytes, writer.stored_bytes)


@dataclass
class _Writer:
    """What the steps have left in the file so far."""

    name: str
    memory: Memory
    tables: list[str] = field(default_factory=list)
    kernels: set[str] = field(default_factory=set)
    shared: dict[bytes, str] = field(default_factory=dict)
    scratch: int = 0
    weight_bytes: int = 0
    stored_bytes: int = 0

    def table(self, kind: str, name: str, values: np.ndarray) -> str:
        """A constant array; one that is there already is used again."""
        key = kind.encode() + values.tobytes()
        if key not in self.shared:
            self.shared[key] = f"{name}_{len(self.tables)}"
            self.tables.append(_array(kind, self.shared[key], values))
            self.stored_bytes += values.nbytes
        return self.shared[key]

    def struct(self, step: Step, kernel: str, kind: str, fields: Mapping[str, Any]) -> str:
        """A constant struct of a kernel; ModelError where a number or an axis has no room in it."""
        self.kernels.add(kernel)
        check_room(kernel, kind, fields, f"{self.name} cannot become plain C: {step.output.name}")
        name = f"{kind}_{len(self.tables)}"
        inside = ",\n".join(f"    .{key} = {_value(value)}" for key, value in fields.items())
        self.tables.append(f"static const struct {kind} {name} = {{\n{inside},\n}};\n")
        return name

    def address(self, tensor: Tensor, first: int = 0) -> str:
        """Where a tensor's value number ``first`` lies."""
        if tensor.constant is not None:
            place = self.table("int8_t", "constant", tensor.constant.astype(np.int8).ravel())
        else:
            place, first = "arena", first + self.memory.places[tensor.storage]
        return f"{place} + {first}" if first else place


def _convolution(writer: _Writer, step: Convolution) -> str:
    (entry,), output = step.inputs, step.output
    stored, form = packed_weights(step.weight)
    _, height, width, group_in = step.weight.shape
    if form != BYTES:
        writer.scratch = max(writer.scratch, height * width * group_in)
    writer.weight_bytes += len(stored)
    factors = np.float64(entry.scale) * step.scales.astype(np.float64) / np.float64(output.scale)
    multiplier, shift = zip(*(as_multiplier(float(one)) for one in factors), strict=True)
    writer.kernels.add("requantize")
    name = writer.struct(
        step,
        "convolve",
        "convolution",
        dict(zip(("in_height", "in_width", "in_channels"), entry.shape, strict=True))
        | dict(zip(("out_height", "out_width", "out_channels"), output.shape, strict=True))
        | {"kernel_height": height, "kernel_width": width}
        | {"stride_height": step.stride[0], "stride_width": step.stride[1]}
        | {"dilation_height": step.dilation[0], "dilation_width": step.dilation[1]}
        | {"pad_top": step.pad[0], "pad_left": step.pad[1], "group_in": group_in, "group_out": step.group_out}
        | {"in_zero": entry.zero_point, "out_zero": output.zero_point, "low": step.clip[0], "high": step.clip[1]}
        | {"form": form, "weights": writer.table("uint8_t", "weights", stored)}
        | {"bias": writer.table("int32_t", "bias", step.bias.astype(np.int32))}
        | {"multiplier": writer.table("int32_t", "multiplier", np.array(multiplier, np.int32))}
        | {"shift": writer.table("int8_t", "shift", np.array(shift, np.int8))},
    )
    return f"convolve({writer.address(entry)}, {writer.address(output)}, &{name});"


def _pooling(writer: _Writer, step: Pooling) -> str:
    (entry,), output = step.inputs, step.output
    name = writer.struct(
        step,
        "pool",
        "pooling",
        dict(zip(("in_height", "in_width", "channels"), entry.shape, strict=True))
        | {"out_height": output.shape[0], "out_width": output.shape[1]}
        | {"kernel_height": step.kernel[0], "kernel_width": step.kernel[1]}
        | {"stride_height": step.stride[0], "stride_width": step.stride[1]}
        | {"pad_top": step.pad[0], "pad_left": step.pad[1], "low": step.clip[0], "high": step.clip[1]}
        | {"mean": int(step.mean)},
    )
    return f"pool({writer.address(entry)}, {writer.address(output)}, &{name});"


def _mean(writer: _Writer, step: Mean) -> str:
    (entry,), output = step.inputs, step.output
    count = prod(step.shape[axis] for axis in step.axes)
    multiplier, shift = mean_multiplier(entry.scale / output.scale, count)
    writer.kernels.add("requantize")
    ones = (1,) * (3 - len(step.shape))
    kept = ones + tuple(1 if axis in step.axes else size for axis, size in enumerate(step.shape))
    summed = ones + tuple(size if axis in step.axes else 1 for axis, size in enumerate(step.shape))
    fields: dict[str, Any] = {"kept": kept, "summed": summed, "stride": (0,) * len(ones) + step.strides}
    fields |= {"bias": -count * entry.zero_point, "multiplier": multiplier, "shift": shift}
    name = writer.struct(step, "mean", "averaging", fields | {"out_zero": output.zero_point})
    return f"average({writer.address(entry)}, {writer.address(output)}, &{name});"


def _combination(writer: _Writer, step: Combination) -> str:
    (a, b), output = step.inputs, step.output
    if step.product:
        factors = {"out": as_multiplier(a.scale * b.scale / output.scale)}
    else:
        twice = 2 * max(a.scale, b.scale)
        factors = {"a": as_multiplier(a.scale / twice), "b": as_multiplier(b.scale / twice)}
        factors["out"] = as_multiplier(twice / (2**SUM_BITS * output.scale))
    writer.kernels.add("requantize")
    shape = (1,) * (3 - len(output.shape)) + output.shape
    name = writer.struct(
        step,
        "combine",
        "combination",
        {"size": shape, "stride_a": _repeated(a, shape), "stride_b": _repeated(b, shape)}
        | {"zero_a": a.zero_point, "zero_b": b.zero_point, "out_zero": output.zero_point}
        | {"low": step.clip[0], "high": step.clip[1]}
        | {"product": int(step.product)}
        | factors,
    )
    return f"combine({writer.address(a)}, {writer.address(b)}, {writer.address(output)}, &{name});"


def _lookup(writer: _Writer, step: Lookup) -> str:
    (entry,), output = step.inputs, step.output
    writer.kernels.add("lookup")
    name = writer.table("int8_t", "answers", np.roll(step.table, -128))  # by the integer as an unsigned byte
    return f"lookup({writer.address(entry)}, {writer.address(output)}, {output.size}, {name});"


def _arrangement(writer: _Writer, step: Arrangement) -> str:
    (entry,), output = step.inputs, step.output
    missing = AXES - len(step.size)
    sides = {"size": (1,) * missing + step.size}
    sides |= {"stride_in": (0,) * missing + step.stride_in, "stride_out": (0,) * missing + step.stride_out}
    name = writer.struct(step, "arrange", "arrangement", sides)
    call = f"arrange({writer.address(entry, step.first_in)}, {writer.address(output, step.first_out)}, &{name});"
    if step.fill is None:
        return call
    writer.kernels.add("fill")
    return f"fill({writer.address(output)}, {output.size}, {step.fill});\n    {call}"


EMIT: Mapping[type[Step], Callable[[_Writer, Any], str]] = {
    Convolution: _convolution,
    Pooling: _pooling,
    Mean: _mean,
    Combination: _combination,
    Lookup: _lookup,
    Arrangement: _arrangement,
}


def as_multiplier(factor: float) -> tuple[int, int]:
    """(multiplier, shift) of a positive factor; (0, 0) where it is too small to move any value."""
    mantissa, shift = frexp(factor)
    multiplier = int(np.floor(mantissa * 2**31 + 0.5))
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    return (multiplier, shift) if shift >= -31 else (0, 0)


def mean_multiplier(factor: float, count: int) -> tuple[int, int]:
    """(multiplier, shift) of a factor over a count, cut as TensorFlow Lite's kernel cuts it: other shifts round otherwise."""
    multiplier, shift = as_multiplier(factor)
    bits = min(count.bit_length() - 1, 31 + shift)
    return (multiplier << bits) // count, shift - bits


def packed_weights(weight: np.ndarray) -> tuple[np.ndarray, int]:
    """Integer weights (out, ...) in the smallest of the forms that the kernel reads, and which it is."""
    rows = weight.reshape(len(weight), -1).astype(np.int8)
    forms = {BYTES: rows.view(np.uint8).ravel(), BITMAP: _bitmap(rows)}
    if rows.min() >= LOWEST_NIBBLE and rows.max() < -LOWEST_NIBBLE:
        even = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).view(np.uint8)
        forms[NIBBLES] = ((even[:, 0::2] & 15) | (even[:, 1::2] << 4)).ravel()
    best = min(forms, key=lambda form: (len(forms[form]), form))
    return forms[best], best


def _bitmap(rows: np.ndarray) -> np.ndarray:
    parts = []
    for row in rows:
        parts += [np.packbits(row != 0, bitorder="little"), row[row != 0].view(np.uint8)]
    return np.concatenate(parts)


def _repeated(tensor: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a tensor that is read in another shape: 0 along an axis where it has one value for all."""
    own = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape[-len(shape) :]
    strides = strides_of(own)
    return tuple(0 if size == 1 else stride for size, stride in zip(own, strides, strict=True))


ORDER = (
    "clamp",
    "requantize",
    "weights_bytes",
    "weights_packed",
    "convolve",
    "pool",
    "mean",
    "combine",
    "lookup",
    "fill",
    "arrange",
)


def _needed(writer: _Writer) -> Iterable[str]:
    weights = {"weights_packed" if writer.scratch else "weights_bytes"} if "convolve" in writer.kernels else set()
    return (name for name in ORDER if name in {"clamp"} | writer.kernels | weights)


def _head(net: Net, writer: _Writer, name: str) -> str:
    order = "channel last, as a raw row has it" if net.channel_last else "channels first"
    facts = json.dumps(
        {"inputs": net.input.size, "outputs": net.output.size, "channel_last": net.channel_last}
        | {"input_scale": net.input.scale, "input_zero": net.input.zero_point}
        | {"output_scale": net.output.scale, "output_zero": net.output.zero_point}
        | {"arena_bytes": writer.memory.size, "scratch_bytes": writer.scratch, "weight_bytes": writer.weight_bytes}
    )
    return f"""/* {name}, made by galenic. C99, integers alone; nothing is allocated, no library is needed.
 *
 *     galenic_set_input(raw)     preprocesses one raw row (channel last) and puts it on the input's grid
 *     galenic_run()              one int8 a class: logit = galenic_output_scale * (integer - galenic_output_zero)
 *
 * Instead of the first, {net.input.size} integers may be written to galenic_input() ({order}), before
 * each run: they are overwritten.
 * RAM: {writer.memory.size} bytes for tensors, {writer.scratch} for unpacked weights, and the stack.
 * Weights: {writer.weight_bytes} bytes.
 */
/* net: {facts} */
#include <stdint.h>

enum {{ GALENIC_INPUTS = {net.input.size}, GALENIC_OUTPUTS = {net.output.size}, GALENIC_ARENA = {writer.memory.size} }};
enum {{ GALENIC_CHANNEL_LAST = {int(net.channel_last)} }};

static int8_t arena[GALENIC_ARENA];
"""


def _interface(net: Net, writer: _Writer, calls: Iterable[str]) -> str:
    steps = "\n".join(f"    {call}" for call in calls)
    return f"""const float galenic_input_scale = {_float(net.input.scale)}, galenic_output_scale = {_float(net.output.scale)};
const int32_t galenic_input_zero = {net.input.zero_point}, galenic_output_zero = {net.output.zero_point};

int8_t *galenic_input(void)
{{
    return {writer.address(net.input)};
}}

const int8_t *galenic_run(void)
{{
{steps}
    return {writer.address(net.output)};
}}
"""


def entrance(preprocessing: Preprocessing, classes: tuple[str, ...]) -> str:
    """The function that preprocesses, and the card: preprocessing and classes as JSON in a comment.

    It computes as Python does: ``(raw * scale - mean) / std`` in float32, then the nearest integer, halves away from zero.
    """
    card = card_json(Card(preprocessing=preprocessing, classes=classes)).decode()
    told = card.replace("/", "\\/")  # so that no name ends the comment
    channels, inner = preprocessing.raw_shape[-1], prod(preprocessing.raw_shape[:-1])
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    return f"""
/* card: {told} */
{_array("float", "galenic_mean", mean)}
{_array("float", "galenic_std", std)}
void galenic_set_input(const float *raw)
{{
    int8_t *input = galenic_input();
    for (int32_t i = 0; i < GALENIC_INPUTS; i++) {{
        const int32_t channel = i % {channels};
        float value = raw[i] * {_float(preprocessing.scale)};
        value -= galenic_mean[channel];
        value /= galenic_std[channel];
        value /= galenic_input_scale;
        value = value < -256.0f ? -256.0f : value > 256.0f ? 256.0f : value;
        const int32_t nearest = (int32_t)(value < 0.0f ? value - 0.5f : value + 0.5f);
        input[GALENIC_CHANNEL_LAST ? i : channel * {inner} + i / {channels}] = clamped(nearest + galenic_input_zero, -128, 127);
    }}
}}
"""


def _array(kind: str, name: str, values: np.ndarray) -> str:
    shown = [_float(float(one)) if kind == "float" else str(one) for one in values.tolist()]
    lines = [", ".join(shown[at : at + LINE]) for at in range(0, len(shown), LINE)]
    return f"static const {kind} {name}[{len(shown)}] = {{\n    " + ",\n    ".join(lines) + ",\n};\n"


def _value(value: Any) -> str:
    return f"{{{', '.join(map(str, value))}}}" if isinstance(value, tuple) else str(value)


def _float(value: float) -> str:
    """A float32 as C reads it back to the bit."""
    return f"{float(np.float32(value)).hex()}f"
