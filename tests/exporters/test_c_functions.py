"""Tables beside TFLite Micro's own kernels, to the bit, on grids from everywhere."""

import numpy as np
import pytest

from galenic.exporters.c_functions import FUNCTIONS, answers
from galenic.exporters.c_steps import Tensor
from tflite_by_hand import File, grids, micro

ALL = np.arange(-128, 128)
OWN = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
SAME = {"RELU6"}  # TFLite Micro's kernel knows one grid for both


@pytest.mark.parametrize("kind", sorted(FUNCTIONS))
def test_a_table_has_tflite_micros_answers(kind):
    slope = 0.1 if kind == "LEAKY_RELU" else 0.0
    options = {"options": "LeakyReluOptions", "alpha": slope} if slope else {}
    for entry, narrower in grids(1):
        output = entry if kind in SAME else OWN.get(kind, narrower)
        file = File()
        file.graph.inputs = [file.tensor((1, 256), grid=entry)]
        answer = file.operation(kind, file.graph.inputs, (1, 256), grid=output, **options)
        ours = answers(kind, Tensor("in", (256,), *entry, 0), Tensor("out", (256,), *output, 1), slope)
        np.testing.assert_array_equal(ours, micro(file, answer, ALL.reshape(1, 256)))
