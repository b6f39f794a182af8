from types import SimpleNamespace

import numpy as np
import pytest

from galenic.record.errors import ModelError
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.runtimes.integer_ends import IntegerEnds

ENDS = IntegerEnds(input_scale=0.5, input_zero=10, output_scale=0.25, output_zero=-3, channel_last=True)


def test_values_go_to_the_nearest_integer_halves_away_from_zero_and_are_clipped():
    values = np.array([[0.0, 0.5, 0.24, 0.25, -0.25, -0.26, 1000.0, -1000.0]], np.float32)
    flat = IntegerEnds(0.5, 10, 0.25, -3, channel_last=False)
    assert flat.entering(values).tolist() == [[10, 11, 10, 11, 9, 9, 127, -128]]


def test_the_channel_goes_last_where_the_net_has_it_there():
    inputs = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    entering = ENDS.entering(inputs)
    assert entering.shape == (1, 2, 3, 2)
    assert entering[0, 1, 2].tolist() == [10 + 2 * 5, 10 + 2 * 11]
    assert entering.flags["C_CONTIGUOUS"]


def test_integers_become_logits():
    logits = ENDS.leaving(np.array([[-3, 1, -128]], np.int8))
    assert (logits.tolist(), logits.dtype) == ([[0.0, 1.0, -31.25]], np.float32)


def test_a_net_for_another_task_is_refused_with_both_numbers():
    plain = Preprocessing(modality=Modality.TABLE, raw_shape=(3,), scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    artifact = SimpleNamespace(path="net.c", preprocessing=plain, classes=("a", "b"))
    facts = {"inputs": 3, "outputs": 2, "input_scale": 1.0, "input_zero": 0, "output_scale": 1.0, "output_zero": 0}
    assert IntegerEnds.of(artifact, facts | {"channel_last": False}).input_scale == 1.0
    with pytest.raises(ModelError, match="takes 4 values and answers 2; expected 3 values"):
        IntegerEnds.of(artifact, facts | {"inputs": 4, "channel_last": False})
