"""The loop learns, keeps its schedule, and goes on after a kill to the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from galenic.record.errors import GalenicError
from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.training.augment import Views
from galenic.training.loop import Surroundings, TrainingData, learning_rate, parameter_groups, train, update_average
from galenic.training.objective import LabelTerm, Objective

CONFIG = TrainingConfig(
    epochs=4, batch_size=16, learning_rate=0.01, warmup_epochs=1, precision="float32", memory_format="contiguous"
)


def small_net() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(256, 2))


def data_of(task, augment: bool = True) -> TrainingData:
    views = Views(task.preprocessing.modality, len(task.train), 0, None, augment, CONFIG.flips)
    return TrainingData(task.train, task.preprocessing, task.kind, views)


def plain() -> Objective:
    return Objective([LabelTerm(nn.CrossEntropyLoss())])


def test_the_loss_falls_and_the_model_ends_in_evaluation_mode(task, tmp_path: Path) -> None:
    net = small_net()
    losses = train(net, plain(), data_of(task, augment=False), CONFIG, Surroundings(0, tmp_path))
    assert len(losses) == 4
    assert losses[-1] < 0.5 * losses[0]
    assert not net.training


def test_warm_up_then_cosine_by_hand() -> None:
    config = TrainingConfig(epochs=3, learning_rate=1.0, warmup_epochs=1)
    rates = [learning_rate(config, step, steps_per_epoch=2) for step in range(6)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1.0, 0.8535534, 0.5, 0.1464466])


def test_only_matrices_decay() -> None:
    decayed, free = parameter_groups(small_net(), None, 0.1)
    assert [p.ndim for p in decayed["params"]] == [4, 4, 2]  # type: ignore[attr-defined]
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0.0
    assert len(free["params"]) == 5  # type: ignore[arg-type]


def test_the_average_moves_by_one_minus_decay() -> None:
    average, model = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        average.weight.fill_(1.0)
        model.weight.fill_(3.0)
    update_average(average, model, 0.75)
    assert average.weight.item() == pytest.approx(1.5)


def test_a_loss_that_is_not_finite_is_refused_with_a_remedy(task, tmp_path: Path) -> None:
    class Broken:
        own = None

        def loss(self, model, batch):
            return model(batch.inputs).sum() * float("nan")

    with pytest.raises(GalenicError, match="lower learning_rate"):
        train(small_net(), Broken(), data_of(task), CONFIG, Surroundings(0, tmp_path))


def test_a_batch_of_one_row_is_left_out(task) -> None:
    data = data_of(task)
    sizes = [len(batch.rows) for batch in data.batches(0, 9, 47, 0, torch.device("cpu"))]
    assert sizes == [47]
    assert data.steps(47) == 1
    assert data.steps(16) == 3


def test_batches_depend_on_seed_and_epoch_alone(task) -> None:
    data = data_of(task)
    first = next(data.batches(1, 9, 16, 5, torch.device("cpu")))
    again = next(data.batches(1, 9, 16, 5, torch.device("cpu")))
    other = next(data.batches(2, 9, 16, 5, torch.device("cpu")))
    assert torch.equal(first.inputs, again.inputs)
    assert list(first.rows) == list(again.rows)
    assert list(first.rows) != list(other.rows)


KILLED = """
import sys, time
from pathlib import Path
import torch
sys.path[:0] = sys.argv[2:4]
from conftest import make_task
from test_loop import CONFIG, data_of, plain, small_net
from galenic.training.loop import Surroundings, train
torch.set_num_threads(1)

def slow(work, done, total, note=""):
    print(done, flush=True)
    time.sleep(0.3)

config = CONFIG.model_copy(update={"ema_decay": 0.9})
train(small_net(), plain(), data_of(make_task()), config, Surroundings(3, Path(sys.argv[1]), slow))
"""


def test_a_killed_training_goes_on_to_the_same_weights_bit_for_bit(task, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"ema_decay": 0.9})
    undisturbed = small_net()
    train(undisturbed, plain(), data_of(task), config, Surroundings(3, tmp_path / "undisturbed"))
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, tmp_path / "killed", here, here.parent]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        while other.stdout.readline().strip() != "2":
            time.sleep(0.01)
        os.kill(other.pid, signal.SIGKILL)
    seen: list[int] = []
    resumed = small_net()
    where = Surroundings(3, tmp_path / "killed", lambda work, done, total, note="": seen.append(done))
    train(resumed, plain(), data_of(task), config, where)
    assert seen[0] >= 2, "it began anew"
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_bfloat16_and_channels_last_train_too(task, tmp_path: Path) -> None:
    config = CONFIG.model_copy(
        update={"precision": Precision.BFLOAT16, "memory_format": MemoryFormat.CHANNELS_LAST, "epochs": 2}
    )
    net = small_net()
    losses = train(net, plain(), data_of(task, augment=False), config, Surroundings(0, tmp_path))
    assert losses[1] < losses[0]
    assert next(net.parameters()).dtype is torch.float32
