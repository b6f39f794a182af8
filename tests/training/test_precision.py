"""What measured fastest is chosen, and only where it was left open."""

from __future__ import annotations

from torch import nn

from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.training import precision


def test_the_fastest_choice_wins(monkeypatch) -> None:
    seconds = {
        (Precision.FLOAT32, MemoryFormat.CONTIGUOUS): 3.0,
        (Precision.FLOAT32, MemoryFormat.CHANNELS_LAST): 2.0,
        (Precision.BFLOAT16, MemoryFormat.CONTIGUOUS): 1.0,
        (Precision.BFLOAT16, MemoryFormat.CHANNELS_LAST): 1.5,
    }
    monkeypatch.setattr(precision, "step_seconds", lambda model, shape, *choice: seconds[choice])
    found = precision.resolve(TrainingConfig(), nn.Identity(), (1, 8, 8))
    assert (found.precision, found.memory_format) == (Precision.BFLOAT16, MemoryFormat.CONTIGUOUS)
    fixed = TrainingConfig(precision="float32")
    assert precision.resolve(fixed, nn.Identity(), (1, 8, 8)).memory_format is MemoryFormat.CHANNELS_LAST


def test_a_given_choice_is_not_measured(monkeypatch) -> None:
    monkeypatch.setattr(precision, "step_seconds", lambda *_: 1 / 0)
    config = TrainingConfig(precision="float32", memory_format="contiguous")
    assert precision.resolve(config, nn.Identity(), (1, 8, 8)) == config


def test_a_real_measurement_leaves_the_model_alone() -> None:
    net = nn.Sequential(nn.Conv1d(2, 2, 3), nn.BatchNorm1d(2)).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = precision.resolve(TrainingConfig(), net, (2, 16))
    assert found.precision is not Precision.AUTO
    assert found.memory_format is MemoryFormat.CONTIGUOUS
    assert all((before[name] == tensor).all() for name, tensor in net.state_dict().items())
    assert not net.training
