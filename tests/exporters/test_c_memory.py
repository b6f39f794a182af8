import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from galenic.exporters.c_memory import plan
from galenic.exporters.c_steps import Arrangement, Combination, Lookup, Net, Tensor, strides_of


def tensor(storage, size):
    return Tensor(f"t{storage}", (1, 1, size), 1.0, 0, storage)


def copy(entry, output, first=0):
    strides = strides_of(entry.shape)
    return Arrangement((entry,), output, entry.shape, strides, strides, 0, first)


def test_tensors_of_other_times_share_bytes():
    a, b, c = tensor(0, 100), tensor(1, 40), tensor(2, 60)
    memory = plan(Net(a, (copy(a, b), copy(b, c)), c, channel_last=True))
    # a and b live together, then b and c: c lies where a was
    assert memory.size == 140
    assert memory.places == {0: 0, 1: 100, 2: 0}


def test_what_is_computed_value_by_value_lies_upon_its_input_unless_that_is_read_later():
    a, b, c = tensor(0, 100), tensor(1, 100), tensor(2, 100)
    table = np.zeros(256, np.int8)
    assert plan(Net(a, (Lookup((a,), b, table),), b, channel_last=True)).size == 100
    again = (Lookup((a,), b, table), Combination((a, b), c, (-128, 127), product=False))
    assert plan(Net(a, again, c, channel_last=True)).size == 200


def test_parts_of_one_tensor_are_made_in_one_place():
    a, b, joined = tensor(0, 10), tensor(1, 10), tensor(2, 20)
    memory = plan(Net(a, (copy(a, b), copy(a, joined), copy(b, joined, 10)), joined, channel_last=True))
    assert memory.size == 40


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_no_two_tensors_of_one_time_touch(data):
    tensors = [tensor(0, data.draw(st.integers(1, 50)))]
    steps = []
    for number in range(1, data.draw(st.integers(1, 8)) + 1):
        entry, other = (data.draw(st.sampled_from(tensors)) for _ in range(2))
        made = tensor(number, data.draw(st.integers(1, 50)))
        kinds = [copy(entry, made)]
        if entry.size == made.size:
            kinds.append(Lookup((entry,), made, np.zeros(256, np.int8)))
            kinds.append(Combination((entry, other), made, (-128, 127), product=True))
        steps.append(data.draw(st.sampled_from(kinds)))
        tensors.append(made)
    net = Net(tensors[0], tuple(steps), tensors[-1], channel_last=True)
    memory = plan(net)
    last = {one.storage: at for at, step in enumerate(steps) for one in step.inputs} | {tensors[-1].storage: len(steps)}
    for at, step in enumerate(steps):
        alive = [one for one in tensors[: at + 1] if last.get(one.storage, -1) >= at]
        spans = {one.storage: (memory.places[one.storage], memory.places[one.storage] + one.size) for one in alive}
        begin, end = memory.places[step.output.storage], memory.places[step.output.storage] + step.output.size
        assert end <= memory.size
        for storage, (low, high) in spans.items():
            upon = not isinstance(step, Arrangement) and last[storage] == at and (low, high) == (begin, end)
            assert upon or high <= begin or end <= low
