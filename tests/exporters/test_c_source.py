"""Each kernel in C, compiled and run, beside the same arithmetic in numpy and in Python's exact integers."""

import hashlib
import re
import subprocess
from importlib.resources import files
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.exporters.c_source import (
    BITMAP,
    BYTES,
    NIBBLES,
    as_multiplier,
    entrance,
    mean_multiplier,
    packed_weights,
    source_of,
)
from galenic.exporters.c_steps import (
    Arrangement,
    Combination,
    Convolution,
    Lookup,
    Mean,
    Net,
    Pooling,
    Tensor,
    strides_of,
)
from galenic.record.artifact import Artifact
from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes.c import load
from tflite_by_hand import File, grids, micro

RANDOM = np.random.default_rng(0)
WHOLE = (-128, 127)


def tensor(storage, shape, scale=1.0, zero=0, constant=None):
    return Tensor(f"t{storage}", tuple(shape), float(np.float32(scale)), zero, storage, constant)


def integers(*shape, low=-128, high=127):
    return RANDOM.integers(low, high + 1, shape).astype(np.int8)


@pytest.fixture
def answers(tmp_path):
    """What a net of these steps answers to int8 rows in its input's order, as int8."""

    def run(entry, steps, output, rows):
        net = Net(entry, tuple(steps), output, channel_last=True)
        plain = Preprocessing(
            modality=Modality.TABLE,
            raw_shape=(entry.size,),
            scale=1.0,
            mean=(0.0,) * entry.size,
            std=(1.0,) * entry.size,
        )
        classes = tuple(f"c{number}" for number in range(output.size))
        data = (source_of(net, "by hand").text + entrance(plain, classes)).encode()
        path = tmp_path / "net.c"
        path.write_bytes(data)
        made = Artifact(
            path=path,
            runtime="c",
            precision="int8",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            lineage=("by hand",),
            preprocessing=plain,
            classes=classes,
        )
        real = (rows.reshape(len(rows), -1).astype(np.float32) - entry.zero_point) * np.float32(entry.scale)
        logits = load(made).run(real)
        return np.rint(logits / output.scale + output.zero_point).astype(np.int64)

    return run


def rounded(value, factor):
    return rounded_by(value, *as_multiplier(factor))


def rounded_by(value, multiplier, shift):
    """TensorFlow Lite's fixed-point product, in Python's integers: two roundings, each to nearest, halves as it has them."""
    left, right = max(shift, 0), max(-shift, 0)
    doubled = value * 2**left * multiplier
    nudge = 2**30 if doubled >= 0 else 1 - 2**30
    high = abs(doubled + nudge) // 2**31 * (1 if doubled + nudge >= 0 else -1)
    rest, half = high % 2**right, (2**right - 1) // 2 + (high < 0)
    return high // 2**right + (rest > half)


def clip(values, low=-128, high=127):
    return np.clip(values, low, high)


def convolved(rows, step):
    """The convolution as four sums, in Python's integers."""
    (entry,), output = step.inputs, step.output
    out_height, out_width, channels = output.shape
    found = np.zeros((len(rows), *output.shape), np.int64)
    for row, y, x, channel in product(range(len(rows)), range(out_height), range(out_width), range(channels)):
        group = channel // step.group_out
        total = int(step.bias[channel])
        for i, j, c in product(*(range(side) for side in step.weight.shape[1:])):
            line = y * step.stride[0] - step.pad[0] + i * step.dilation[0]
            column = x * step.stride[1] - step.pad[1] + j * step.dilation[1]
            if 0 <= line < entry.shape[0] and 0 <= column < entry.shape[1]:
                value = int(rows[row, line, column, group * step.weight.shape[3] + c])
                total += int(step.weight[channel, i, j, c]) * (value - entry.zero_point)
        factor = entry.scale * float(step.scales[channel]) / output.scale
        found[row, y, x, channel] = rounded(total, factor) + output.zero_point
    return clip(found, *step.clip)


CONVOLUTIONS = {
    "plain": {"channels": (3, 4), "kernel": (3, 3), "pad": (1, 1)},
    "strided, one row above alone": {"channels": (2, 3), "kernel": (3, 3), "stride": (2, 2), "pad": (0, 1)},
    "dilated": {"channels": (2, 2), "kernel": (3, 2), "dilation": (2, 2), "pad": (2, 1)},
    "depthwise": {"channels": (4, 4), "kernel": (3, 3), "groups": 4, "pad": (1, 1)},
    "depthwise, two of each": {"channels": (2, 4), "kernel": (2, 2), "groups": 2, "pad": (0, 0)},
    "grouped": {"channels": (4, 6), "kernel": (1, 3), "groups": 2, "pad": (0, 1)},
    "one by one": {"channels": (5, 7), "kernel": (1, 1), "pad": (0, 0)},
}


def convolution(entry, channels, kernel, pad, stride=(1, 1), dilation=(1, 1), groups=1, limit=127, clipped=WHOLE):
    sides = [
        (side + 2 * margin - (size - 1) * step - 1) // every + 1
        for side, margin, size, step, every in zip(entry.shape[:2], pad, kernel, dilation, stride, strict=True)
    ]
    return Convolution(
        inputs=(entry,),
        output=tensor(1, (*sides, channels[1]), 0.11, 7),
        weight=integers(channels[1], *kernel, channels[0] // groups, low=-limit, high=limit),
        scales=RANDOM.uniform(0.001, 0.004, channels[1]).astype(np.float32),
        bias=RANDOM.integers(-900, 900, channels[1]).astype(np.int32),
        group_out=channels[1] // groups,
        stride=stride,
        dilation=dilation,
        pad=pad,
        clip=clipped,
    )


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("limit", [127, 7], ids=["bytes", "nibbles"])
def test_a_convolution_is_its_sums(answers, name, limit):
    options = CONVOLUTIONS[name]
    entry = tensor(0, (5, 6, options["channels"][0]), 0.05, -3)
    step = convolution(entry, limit=limit, **options)
    rows = integers(3, *entry.shape)
    np.testing.assert_array_equal(
        answers(entry, [step], step.output, rows).reshape(3, *step.output.shape), convolved(rows, step)
    )


def test_a_sparse_convolution_is_its_sums(answers):
    entry = tensor(0, (4, 4, 6), 0.05, -3)
    step = convolution(entry, (6, 5), (3, 3), (1, 1))
    step.weight[RANDOM.random(step.weight.shape) < 0.8] = 0
    assert packed_weights(step.weight)[1] == BITMAP
    rows = integers(2, *entry.shape)
    found = answers(entry, [step], step.output, rows).reshape(2, *step.output.shape)
    np.testing.assert_array_equal(found, convolved(rows, step))


def test_strides_and_dilations_may_be_wide(answers):
    entry = tensor(0, (1, 900, 2), 0.05, -3)
    step = convolution(entry, (2, 3), (1, 2), (0, 0), stride=(1, 270), dilation=(1, 300))
    rows = integers(2, *entry.shape)
    found = answers(entry, [step], step.output, rows).reshape(2, *step.output.shape)
    np.testing.assert_array_equal(found, convolved(rows, step))


def test_a_dense_layer_may_have_more_inputs_than_16_bits_count(answers):
    entry = tensor(0, (1, 1, 65_600), 0.05, -3)
    step = convolution(entry, (65_600, 2), (1, 1), (0, 0), limit=3)
    rows = integers(2, *entry.shape)
    found = answers(entry, [step], step.output, rows).reshape(2, *step.output.shape)
    np.testing.assert_array_equal(found, convolved(rows, step))


def test_a_fused_activation_clips(answers):
    entry = tensor(0, (3, 3, 2), 0.5)
    step = convolution(entry, (2, 2), (1, 1), (0, 0), clipped=(7, 60))
    rows = integers(4, *entry.shape)
    found = answers(entry, [step], step.output, rows).reshape(4, *step.output.shape)
    assert (found.min(), found.max()) == (7, 60)
    np.testing.assert_array_equal(found, convolved(rows, step))


@pytest.mark.parametrize("mean", [False, True], ids=["largest", "mean"])
def test_a_pool_leaves_out_what_lies_outside(answers, mean):
    entry, output = tensor(0, (5, 4, 2)), tensor(1, (3, 2, 2))
    step = Pooling((entry,), output, (3, 3), (2, 2), (1, 1), WHOLE, mean)
    rows = integers(3, *entry.shape)
    expected = np.zeros((3, 3, 2, 2), np.int64)
    for y, x in product(range(3), range(2)):
        window = rows[:, max(2 * y - 1, 0) : 2 * y + 2, max(2 * x - 1, 0) : 2 * x + 2].astype(np.int64)
        if mean:
            exact = window.mean(axis=(1, 2))
            expected[:, y, x] = np.trunc(exact + np.copysign(0.5, exact))
        else:
            expected[:, y, x] = window.max(axis=(1, 2))
    np.testing.assert_array_equal(answers(entry, [step], output, rows).reshape(expected.shape), expected)


@pytest.mark.parametrize("mean", [False, True], ids=["largest", "mean"])
def test_a_pool_may_be_wider_than_a_byte_counts(answers, mean):
    entry, output = tensor(0, (1, 700, 2)), tensor(1, (1, 2, 2))
    step = Pooling((entry,), output, (1, 300), (1, 350), (0, 0), WHOLE, mean)
    rows = integers(3, *entry.shape)
    windows = np.stack([rows[:, 0, :300], rows[:, 0, 350:650]], axis=1).astype(np.int64)
    exact = windows.mean(axis=2)
    expected = np.trunc(exact + np.copysign(0.5, exact)) if mean else windows.max(axis=2)
    np.testing.assert_array_equal(answers(entry, [step], output, rows).reshape(expected.shape), expected)


FIVE, FOUR = (2, 1, 2, 1, 2), (2, 1, 2, 2)
DEEP, HIGH = tensor(0, FIVE), tensor(0, FOUR)
WITHOUT_ROOM = {
    "size (2, 1, 2, 1, 2); expected 4 axes at most": Arrangement(
        (DEEP,), tensor(1, FIVE), FIVE, strides_of(FIVE), strides_of(FIVE)
    ),
    "size (2, 1, 2, 2); expected 3 axes at most": Combination((HIGH, HIGH), tensor(1, FOUR), WHOLE, product=False),
    "kept (2, 1, 2, 1); expected 3 axes at most": Mean((HIGH,), tensor(1, (2, 1, 2)), FOUR, strides_of(FOUR), (3,)),
    "kernel_width 65536; expected 0 to 65535": Pooling(
        (tensor(0, (1, 2, 1)),), tensor(1, (1, 1, 1)), (1, 65_536), (1, 1), (0, 0), WHOLE, mean=False
    ),
}


@pytest.mark.parametrize("said", WITHOUT_ROOM)
def test_what_a_kernels_struct_has_no_room_for_is_refused(said):
    step = WITHOUT_ROOM[said]
    with pytest.raises(ModelError, match=re.escape(f"one net cannot become plain C: t1 has {said}")):
        source_of(Net(step.inputs[0], (step,), step.output, channel_last=True), "one net")


def test_a_mean_reads_a_turned_tensor_where_it_lies(answers):
    entry, output = tensor(0, (4, 3, 5), 0.02, 10), tensor(1, (5, 4), 0.015, -4)
    # turned: (5, 4, 3), its last axis averaged
    turned = (5, 4, 3)
    strides = tuple(strides_of(entry.shape)[axis] for axis in (2, 0, 1))
    step = Mean((entry,), output, turned, strides, (2,))
    rows = integers(3, *entry.shape)
    sums = (rows.astype(np.int64) - 10).transpose(0, 3, 1, 2).sum(axis=3)
    multiplier, shift = as_multiplier(entry.scale / output.scale)
    factor = multiplier * 2 // 3, shift - 1  # 2 is the largest power of two in 3
    expected = clip(np.vectorize(lambda total: rounded_by(int(total), *factor) - 4)(sums))
    np.testing.assert_array_equal(answers(entry, [step], output, rows).reshape(expected.shape), expected)


@pytest.mark.parametrize("side", [2, 3, 7])
def test_a_mean_is_rounded_as_tflite_micro_rounds_it(side):
    random = np.random.default_rng(2)
    for entry, output in grids(3):
        values = random.integers(-128, 128, (1, side, side, 16))
        file = File()
        file.graph.inputs = [file.tensor(values.shape, grid=entry)]
        inputs = [*file.graph.inputs, file.numbers((1, 2))]
        answer = file.operation("MEAN", inputs, (1, 16), grid=output, options="ReducerOptions")
        sums = values.sum(axis=(0, 1, 2)) - side**2 * entry[1]
        factor = mean_multiplier(entry[0] / output[0], side**2)
        ours = [min(max(rounded_by(int(total), *factor) + output[1], -128), 127) for total in sums]
        assert ours == micro(file, answer, values).tolist()


@pytest.mark.parametrize("shape", [(3, 2, 4), (1, 1, 4), (1, 1, 1)], ids=str)
def test_a_product_repeats_what_has_one_value(answers, shape):
    entry, output = tensor(0, (3, 2, 4), 0.02, 10), tensor(1, (3, 2, 4), 0.03, -5)
    other = tensor(9, shape, 0.04, 3, integers(*shape))
    rows = integers(3, *entry.shape)
    exact = (rows.astype(np.int64) - 10) * (other.constant.astype(np.int64) - 3)
    factor = entry.scale * other.scale / output.scale
    expected = clip(np.vectorize(lambda value: rounded(int(value), factor) - 5)(exact), -100, 90)
    for inputs in ((entry, other), (other, entry)):
        step = Combination(inputs, output, (-100, 90), product=True)
        np.testing.assert_array_equal(answers(entry, [step], output, rows).reshape(expected.shape), expected)


def test_a_sum_is_within_a_thousandth_of_a_step_of_the_real_one(answers):
    entry, output = tensor(0, (4, 4, 3), 0.021, 10), tensor(1, (4, 4, 3), 0.035, -5)
    other = tensor(9, (4, 4, 3), 0.047, 3, integers(4, 4, 3))
    step = Combination((entry, other), output, WHOLE, product=False)
    rows = integers(5, *entry.shape)
    real = (entry.scale * (rows - 10.0) + other.scale * (other.constant - 3.0)) / output.scale - 5
    found = answers(entry, [step], output, rows).reshape(real.shape)
    inside = (real > -127) & (real < 126)
    assert np.abs(found - real)[inside].max() <= 0.501
    np.testing.assert_array_equal(found[~inside], clip(np.floor(real + 0.5))[~inside])


def test_a_table_is_read_by_the_integer(answers):
    entry, output = tensor(0, (1, 1, 256)), tensor(1, (1, 1, 256))
    table = integers(256)
    rows = np.arange(-128, 128).astype(np.int8).reshape(1, 1, 1, 256)
    np.testing.assert_array_equal(answers(entry, [Lookup((entry,), output, table)], output, rows)[0], table)


def test_padding_turning_joining_and_cutting_are_copies(answers):
    entry, padded, joined, turned, cut = (
        tensor(0, (2, 3, 2)),
        tensor(1, (4, 4, 2)),
        tensor(2, (4, 4, 4)),
        tensor(3, (4, 4, 4)),
        tensor(4, (2, 2, 3)),
    )
    whole = strides_of(joined.shape)
    steps = [
        Arrangement((entry,), padded, entry.shape, strides_of(entry.shape), strides_of(padded.shape), 0, 10, fill=-9),
        Arrangement((padded,), joined, padded.shape, strides_of(padded.shape), whole),
        Arrangement((padded,), joined, padded.shape, strides_of(padded.shape), whole, 0, 2),
        Arrangement((joined,), turned, turned.shape, (whole[2], whole[0], whole[1]), whole),
        Arrangement((turned,), cut, cut.shape, whole, strides_of(cut.shape), first_in=1 * 16 + 1 * 4 + 1),
    ]
    rows = integers(2, *entry.shape)
    expected = np.pad(rows, ((0, 0), (1, 1), (1, 0), (0, 0)), constant_values=-9)
    expected = np.concatenate([expected, expected], axis=3).transpose(0, 3, 1, 2)[:, 1:3, 1:3, 1:4]
    np.testing.assert_array_equal(answers(entry, steps, cut, rows).reshape(expected.shape), expected)


def test_a_fixed_point_product_is_the_reference_of_tensorflow_lite(tmp_path):
    """The kernel alone, on values from everywhere, beside Python's integers."""
    program = tmp_path / "main.c"
    kernel = files("galenic.exporters").joinpath("c_kernels", "requantize.c").read_text()
    program.write_text(
        f"#include <stdint.h>\n#include <stdio.h>\n{kernel}\nint main(void) {{ int value, multiplier, shift; "
        'while (scanf("%d %d %d", &value, &multiplier, &shift) == 3) '
        'printf("%d\\n", (int)requantize(value, multiplier, (int8_t)shift)); return 0; }\n'
    )
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", program, "-o", tmp_path / "main"], check=True)
    values = np.concatenate([RANDOM.integers(-(2**24), 2**24, 3000), RANDOM.integers(-300, 300, 3000), [0, 1, -1]])
    factors = 2.0 ** RANDOM.uniform(-20, 6, len(values))
    lines = "\n".join(f"{value} {m} {s}" for value, (m, s) in zip(values, map(as_multiplier, factors), strict=True))
    said = subprocess.run([tmp_path / "main"], input=lines, capture_output=True, text=True, check=True).stdout
    expected = [rounded(int(value), float(factor)) for value, factor in zip(values, factors, strict=True)]
    assert [int(line) for line in said.split()] == expected


@given(st.floats(1e-12, 1e6, allow_nan=False))
@settings(deadline=None)
def test_a_multiplier_has_31_bits(factor):
    multiplier, shift = as_multiplier(factor)
    if multiplier:
        assert 2**30 <= multiplier < 2**31
        assert multiplier * 2.0 ** (shift - 31) == pytest.approx(factor, rel=2**-31)
    else:
        assert factor < 2**-31


def test_weights_take_the_smallest_form():
    row = np.array([[1, -8, 7, 0, 3]], np.int8)
    stored, form = packed_weights(row)
    assert (form, stored.tolist()) == (NIBBLES, [0x81, 0x07, 0x03])  # -8 is 8 in four bits; the last half is empty
    dense = np.array([[100, -100, 3, 4]], np.int8)
    assert packed_weights(dense)[1] == BYTES
    sparse = np.zeros((2, 16), np.int8)
    sparse[0, 1], sparse[1, 15] = 100, -1
    stored, form = packed_weights(sparse)
    assert (form, stored.tolist()) == (BITMAP, [0b10, 0, 100, 0, 0b10000000, 255])


def test_tables_are_counted_as_they_lie_in_flash():
    entry = tensor(0, (1, 1, 2), 0.05)
    step = convolution(entry, (2, 3), (1, 1), (0, 0))
    step.weight[:] = 100
    net = Net(entry, (step, Lookup((step.output,), step.output, integers(256))), step.output, channel_last=True)
    # 2 x 3 weights; a bias and a multiplier of 4 bytes and a shift of 1 for each output; a table
    assert source_of(net, "one").stored_bytes == 6 + 3 * (4 + 4 + 1) + 256


def test_a_name_cannot_end_the_comment_that_it_is_in():
    plain = Preprocessing(modality=Modality.TABLE, raw_shape=(1,), scale=1.0, mean=(0.0,), std=(1.0,))
    text = entrance(plain, ("*/ int evil; /*",))
    assert text.count("*/") == 1


def test_equal_tables_stand_in_the_file_once():
    entry, first, second = tensor(0, (1, 1, 4)), tensor(1, (1, 1, 4)), tensor(2, (1, 1, 4))
    table = integers(256)
    net = Net(entry, (Lookup((entry,), first, table), Lookup((first,), second, table)), second, channel_last=True)
    assert source_of(net, "two").text.count("static const int8_t answers") == 1
    assert source_of(net, "two").arena_bytes == prod(entry.shape)
