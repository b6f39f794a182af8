"""What no exporter takes: refused before any conversion, so that no converter's own words are all that is left."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from galenic.exporters.ends import check_ends
from galenic.exporters.load import EXPORTERS
from galenic.record.errors import ModelError

every_exporter = pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda exporter: exporter.runtime)


class Pair(nn.Module):
    """Two inputs, of which the second one is needed or has a default."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(2, 3)

    def forward(self, image: Tensor, age: Tensor) -> Tensor:
        return self.dense(image + age)


class Optional(Pair):
    def forward(self, image: Tensor, *others: Tensor, age: Tensor | None = None, **more: Tensor) -> Tensor:
        return self.dense(image)


@pytest.fixture
def unlowered(exporter):
    return replace(exporter, lower=lambda model: pytest.fail("it was lowered"), needs=())


@every_exporter
def test_a_model_with_two_inputs_is_refused_by_their_names(unlowered, wrap, ends, known, tmp_path) -> None:
    model = replace(wrap(known, (2,), 3), module=Pair().eval())
    with pytest.raises(
        ModelError, match=r"its forward takes 2 inputs \(image, age\); expected a model with one"
    ) as refused:
        unlowered.export(model, tmp_path / "model", **ends(model))
    assert "wrap it" in refused.value.todo
    assert not list(tmp_path.iterdir())


@every_exporter
def test_float64_is_refused_with_the_parameters_name_and_nothing_of_this_machine(
    unlowered, wrap, ends, known, tmp_path
) -> None:
    model = replace(wrap(known, (2,), 3), module=known.double().eval())
    with pytest.raises(
        ModelError, match=r"0\.weight is float64, and 3 more are no float32; expected float32"
    ) as refused:
        unlowered.export(model, tmp_path / "model", **ends(model))
    assert "module.float()" in refused.value.todo
    assert not re.search(r"/\w+/|\x1b", str(refused.value))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_one_buffer_of_another_float_is_refused(kind, wrap, ends) -> None:
    model = wrap(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), (2,), 3)
    model.module[1].running_var = model.module[1].running_var.to(kind)
    words = rf"1\.running_var is {str(kind).removeprefix('torch.')}; expected float32"
    with pytest.raises(ModelError, match=words):
        check_ends(model, **ends(model))


def test_counters_and_inputs_that_may_be_left_out_are_no_reason(wrap, ends) -> None:
    model = wrap(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), (2,), 3)
    assert model.module[1].num_batches_tracked.dtype == torch.int64
    check_ends(model, **ends(model))
    check_ends(replace(model, module=Optional().eval()), **ends(model))
