"""Files of a few operations, written with LiteRT's schema alone: what becomes steps, and what is refused."""

import numpy as np
import pytest

from galenic.exporters.c_graph import read
from galenic.exporters.c_steps import Arrangement, Convolution
from galenic.record.errors import ModelError
from tflite_by_hand import INTEGER, File


def net(file, answer):
    """The steps of the file that ends with the tensor ``answer``."""
    return read(file.data(answer), "by hand")


@pytest.fixture
def file():
    return File()


def strided(file, begin, steps=(1, 1, 1), **masks):
    entry = file.start((1, 6, 4))
    numbers = [file.numbers(one) for one in (begin, (1, 5, 4), steps)]
    return file.operation("STRIDED_SLICE", [entry, *numbers], (1, 3, 2), options="StridedSliceOptions", **masks)


def test_a_slice_begins_where_it_says(file):
    (step,) = net(file, strided(file, (0, 2, 1))).steps
    assert isinstance(step, Arrangement)
    assert (step.size, step.first_in, step.stride_in, step.stride_out) == ((3, 2), 2 * 4 + 1, (4, 1), (2, 1))


@pytest.mark.parametrize(
    ("begin", "options"),
    [
        ((0, -4, 1), {}),
        ((0, 2, 1), {"beginMask": 2}),
        ((0, 2, 1), {"ellipsisMask": 1}),
        ((0, 2, 1), {"newAxisMask": 1}),
        ((0, 2, 1), {"shrinkAxisMask": 4}),
        ((0, 2, 1), {"steps": (1, 2, 1)}),
    ],
    ids=str,
)
def test_a_slice_of_another_kind_is_refused(file, begin, options):
    with pytest.raises(ModelError, match="made is cut by steps, masks or from the end"):
        net(file, strided(file, begin, **options))


def test_a_copy_onto_another_grid_is_refused(file):
    answer = strided(file, (0, 2, 1))
    file.graph.tensors[answer].quantization.scale = [0.25]
    with pytest.raises(ModelError, match="made has another grid than made"):
        net(file, answer)


def cut(file, entry):
    begin, size = file.numbers((0, 0)), file.numbers((2, 4))
    return file.operation("SLICE", [entry, begin, size], (2, 4), name="block/SLICE")


def averaged(file, entry):
    options = {"options": "ReducerOptions", "keepDims": False}
    return file.operation("MEAN", [entry, file.numbers((1,))], (6,), name="block/MEAN", **options)


def padded(file, entry):
    return file.operation("PAD", [entry, file.numbers(((1, 1), (0, 0)))], (8, 4), name="block/PAD")


@pytest.mark.parametrize("operation", [cut, averaged, padded])
def test_an_operation_along_axes_needs_one_row_in_its_batch(file, operation):
    rows = file.operation("RESHAPE", [file.start((1, 24)), file.numbers((6, 4))], (6, 4))
    with pytest.raises(ModelError, match="in the module 'block', not on one row; expected a batch of 1"):
        net(file, operation(file, rows))


def test_a_mean_over_the_batch_is_refused(file):
    entry = file.start((1, 6))
    answer = file.operation("MEAN", [entry, file.numbers((0, 1))], (1,), options="ReducerOptions")
    with pytest.raises(ModelError, match="over the batch"):
        net(file, answer)


def test_a_dense_layers_rows_may_lie_in_the_place_of_the_batch(file):
    """LiteRT makes (10, 4) of (1, 10, 8)."""
    weight = file.tensor((4, 8), INTEGER, np.ones((4, 8), np.int8))
    options = {"options": "FullyConnectedOptions"}
    rows = file.operation("FULLY_CONNECTED", [file.start((1, 10, 8)), weight, -1], (10, 4), **options)
    made = net(file, file.operation("RESHAPE", [rows, file.numbers((1, 40))], (1, 40)))
    (step,) = made.steps
    assert isinstance(step, Convolution)
    assert (step.inputs[0].shape, step.output.shape, made.output.size) == ((1, 10, 8), (1, 10, 4), 40)
