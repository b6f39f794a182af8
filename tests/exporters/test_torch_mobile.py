"""Files for PyTorch Mobile's lite interpreter: torch's own answers, half the bytes in float16, no pickles and no paths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from galenic.compress.quantize.half import HalfPrecision, to_half
from galenic.exporters.torch_mobile import EXPORTER, without_counters
from galenic.record.card import Card
from galenic.record.errors import ModelError
from galenic.record.quant import Arithmetic, QuantRule
from galenic.runtimes.card import card_inside
from galenic.runtimes.load import open_session
from galenic.runtimes.torch_mobile import NAME
from galenic.zoo.build import build
from known_net import known_net

SHAPE = (2, 12, 12)


def net() -> nn.Sequential:
    """Batch norm, a view that names the batch's size, and enough weights for a file to be mostly weights."""

    class Flat(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(x.shape[0], -1)

    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        nn.AvgPool2d(2),
        Flat(),
        nn.Linear(72, 400),
        nn.ReLU(),
        nn.Linear(400, 3),
    )


@pytest.fixture(scope="module")
def files(wrap, ends, tmp_path_factory):
    """The model, its float file and the one with float16 weights."""
    folder, model = tmp_path_factory.mktemp("ptl"), wrap(net(), SHAPE, 3)
    whole = EXPORTER.export(model, folder / "float.ptl", **ends(model))
    return model, whole, EXPORTER.export(to_half(model, HalfPrecision().rule), folder / "half.ptl", **ends(model))


@pytest.mark.slow
def test_both_files_answer_as_torch_does_for_any_number_of_rows(files, rows) -> None:
    model, whole, half = files
    assert (whole.precision, half.precision) == ("float32", "float16")
    for artifact, tolerance in ((whole, 1e-5), (half, 2e-3)):
        with open_session(artifact) as session:
            for n in (1, 2, 5, 33):
                inputs = rows(n, SHAPE, seed=n)
                with torch.no_grad():
                    expected = model.module(torch.from_numpy(inputs)).numpy()
                assert np.abs(session.run(inputs) - expected).max() < tolerance * np.abs(expected).max()


def test_float16_weights_are_rounded_to_the_nearest_and_halve_the_file(wrap, ends, tmp_path) -> None:
    with torch.no_grad():
        module = known_net()
        module[0].weight.fill_(0.1)  # float16's nearest: 0.0999755859375
        module[0].bias.fill_(0.0)
    model = to_half(wrap(module, (2,), 3), HalfPrecision().rule)
    artifact = EXPORTER.export(model, tmp_path / "model.ptl", **ends(model))
    with open_session(artifact) as session:
        (found,) = session.run(np.array([[1.0, 1.0]], np.float32))
    hidden = 2 * 0.0999755859375
    np.testing.assert_allclose(found, [hidden, 0.25 * hidden - 4 * hidden + 1, 1.5 * hidden - 1], rtol=1e-5)


def test_the_file_is_half_as_large(files) -> None:
    _, whole, half = files
    # 2 * 8 * 9 + 8 + 72 * 400 + 400 + 400 * 3 + 3 = 30,555 numbers, and a graph that casts each tensor
    saved = whole.size_bytes - half.size_bytes
    assert 2 * 30_555 - 6_000 < saved < 2 * 30_555
    assert half.size_bytes < 0.55 * whole.size_bytes
    assert half.quant.rule.arithmetic is Arithmetic.FLOAT16


def test_the_form_is_a_flatbuffer_with_its_card_and_without_pickles(files, ends) -> None:
    model, *made = files
    for artifact in made:
        data = artifact.path.read_bytes()
        assert data[4:8] == b"PTMF"
        assert b"PK\x03\x04" not in data
        assert b".pkl" not in data
        assert card_inside(artifact.path) == Card(**ends(model))


def test_debug_handles_begin_at_zero_whatever_was_exported_before(wrap, ends, tmp_path) -> None:
    model = wrap(known_net(), (2,), 3)
    one, two = (EXPORTER.export(model, tmp_path / f"{n}.ptl", **ends(model)) for n in range(2))
    assert one.sha256 == two.sha256
    data = one.path.read_bytes()
    assert without_counters(data) == data


def test_another_card_changes_only_itself(files, ends) -> None:
    model, whole, _ = files
    data = whole.path.read_bytes()
    again = EXPORTER.label(data, **(ends(model) | {"classes": ("a", "b", "c")}))
    path = whole.path.with_name("again.ptl")
    path.write_bytes(again)
    assert card_inside(path).classes == ("a", "b", "c")
    changed = [n for n in range(len(data)) if again[n] != data[n]]
    assert len(changed) <= 4, "where the card is said to begin"


@pytest.mark.parametrize(
    "rule",
    [
        QuantRule(),
        QuantRule(arithmetic=Arithmetic.DYNAMIC),
        QuantRule(arithmetic=Arithmetic.WEIGHTS, weight_bits=4, activation_bits=32),
        QuantRule(arithmetic=Arithmetic.BFLOAT16, weight_bits=16, activation_bits=16),
    ],
)
def test_integers_and_bfloat16_are_refused_with_what_to_choose(rule) -> None:
    with pytest.raises(ModelError, match=f"{rule.weight_bits}-bit weights .* for {NAME}.*; choose executorch"):
        EXPORTER.check_rule(rule)


class BatchMean(nn.Module):
    """Computes on the size of its batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.shape[0]


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Whole(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.int64)


@pytest.mark.parametrize(
    ("module", "outputs", "words"),
    [
        (BatchMean(), 3, "computes on the size of its batch; expected a net for any number of rows"),
        (Two(), 3, "it answers 2 tensors; expected one tensor of logits"),
        (Whole(), 3, "it answers int64 of shape"),
        (nn.Linear(3, 4), 3, r"it answers float32 of shape \(3, 4\); expected float32 of shape \(batch, 3\)"),
    ],
)
def test_what_cannot_become_a_file_is_refused_with_its_reason(module, outputs, words, wrap, ends, tmp_path) -> None:
    model = wrap(module, (3,), outputs)
    with pytest.raises(ModelError, match=words):
        EXPORTER.export(model, tmp_path / "model.ptl", **ends(model))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_net_that_was_exported_is_as_it_was(wrap, ends, rows, tmp_path) -> None:
    model = wrap(build("ds_conv1d", (2, 65), 3).module, (2, 65), 3)
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    EXPORTER.export(to_half(model, HalfPrecision().rule), tmp_path / "model.ptl", **ends(model))
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())
    assert all(value.dtype != torch.float16 for value in model.module.state_dict().values())
    assert all(parameter.requires_grad for parameter in model.module.parameters())
