"""Aware training: what was trained is what is simulated and what is exported; resuming; teachers and features; refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.compress.distill.features import FeatureMatching
from galenic.compress.distill.pairs import Pair
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Contribution, Teacher, TrainedMethod, contributed, train_together
from galenic.compress.quantize.aware_graph import RANGES, WEIGHTS
from galenic.compress.quantize.calibrate import in_batches
from galenic.compress.quantize.places import logits
from galenic.compress.quantize.qat import QAT
from galenic.compress.quantize.simulate import simulated
from galenic.compress.quantize.static import Choices, Rows, quantize_static
from galenic.compress.quantize.weights import scales_of
from galenic.compress.supervised import Supervised
from galenic.exporters.onnxruntime import EXPORTER
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import ModelError
from galenic.record.model import ModelSpec
from galenic.record.preprocessing import Modality, Preprocessing
from galenic.record.quant import FLOAT_BITS, LayerRule, Observer, QuantRule, TensorRole
from galenic.record.task import Split, SplitName, Task, TaskKind
from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.runtimes.load import open_session
from galenic.training.callbacks import State
from galenic.training.layers import captured
from galenic.zoo.build import build
from galenic.zoo.graph import traced
from galenic.zoo.model import Model, weights_hash

CONFIG = TrainingConfig(
    epochs=4, batch_size=16, learning_rate=3e-3, ema_decay=0.9, augment=False, precision="float32",
    memory_format="contiguous",
)  # fmt: skip


class Net(nn.Module):
    """A folded norm, a depthwise layer, a residual sum, a ReLU6, a pool."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        )
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.2)
        self.head = nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.drop(self.pool(x + self.block(x)).flatten(1)))


def net(side: int, classes: int) -> Model:
    torch.manual_seed(0)
    module = Net(classes)
    for _ in range(3):
        module(torch.randn(8, 1, side, side))
    spec = ModelSpec(architecture="net", input_shape=(1, side, side), outputs=classes)
    return Model(module.eval(), spec, ("net",))


def answers(model: Model, rows: Tensor) -> Tensor:
    """Of the simulation."""
    assert model.quant is not None
    graph = traced(model)
    with torch.no_grad():
        return simulated(graph, model.quant.points, rows, (logits(graph),))


def rows_of(task: Task, name: SplitName = SplitName.VALIDATION) -> Tensor:
    return torch.from_numpy(to_inputs(task.preprocessing, task.splits[name].inputs))


@pytest.fixture
def bench(task, tmp_path: Path) -> Bench:
    return Bench(task, seed=0, folder=tmp_path, training=CONFIG)


class Watched:
    """Aware training whose trained graph's answers in evaluation are kept."""

    def __init__(self, inner: QAT, rows: Tensor) -> None:
        self.inner, self.rows = inner, rows
        self.name, self.version, self.trains = inner.name, 1, True
        self.needs_teacher, self.rule = inner.needs_teacher, inner.rule

    def contribute(self, model: Model, bench: Bench) -> Contribution:
        given = self.inner.contribute(model, bench)
        self.before = {name: one.detach().clone() for name, one in given.model.module.named_parameters()}

        def finish(trained: Model) -> Model:
            assert not trained.module.training
            with torch.no_grad():
                self.answered = trained.module(self.rows)
            self.after = {name: one.detach().clone() for name, one in trained.module.named_parameters()}
            return given.finish(trained)

        return replace(given, finish=finish)

    def apply(self, model: Model, bench: Bench) -> list[Model]:
        return [train_together([self], model, bench)]  # type: ignore[list-item]


@pytest.mark.parametrize("weight_bits", [8, 4])
def test_the_trained_graph_the_simulation_and_the_file_answer_alike(weight_bits: int, bench: Bench, tmp_path) -> None:
    rows = rows_of(bench.task)
    method = Watched(QAT(weight_bits=weight_bits, end_bits=0), rows)
    start = net(12, 2)
    (made,) = method.apply(start, bench)
    assert start.quant is None
    assert made.lineage == ("net", "qat")
    torch.testing.assert_close(answers(made, rows), method.answered, atol=1e-5, rtol=0)
    learned = {name for name in method.before if not torch.equal(method.before[name], method.after[name])}
    assert any(name.startswith(RANGES) for name in learned)
    assert any(name.startswith(WEIGHTS) for name in learned)
    assert "stem.0.weight" in learned
    artifact = EXPORTER.export(
        made, tmp_path / "net.onnx", preprocessing=bench.task.preprocessing, classes=bench.task.classes
    )
    found = open_session(artifact).run(rows.numpy())
    np.testing.assert_allclose(found, method.answered, atol=1e-5)
    assert artifact.integer_ops.floating == 0


def test_the_specification_is_that_of_the_baked_weights(bench: Bench) -> None:
    (made,) = QAT(weight_bits=4, keep=("block.2",)).apply(net(12, 2), bench)
    spec = made.quant
    assert spec is not None
    assert spec.weights_hash == weights_hash(made)
    assert spec.stays_float == ("block.2",)
    assert spec.rule.calibration_hash == bench.task.split_hashes["calibration"]
    assert spec.rule.calibration_rows == 48
    assert spec.rule.observer is Observer.MSE
    weights = {point.tensor: point for point in spec.points if point.role is TensorRole.WEIGHT}
    assert {name: point.bits for name, point in weights.items()} == {"stem.0": 8, "block.0": 4, "head": 8}
    for name, point in weights.items():
        weight = made.module.get_parameter(f"{name}.weight").detach().flatten(1)
        integers = weight / scales_of(point, len(weight))
        torch.testing.assert_close(integers, integers.round(), atol=1e-4, rtol=0)
        assert (integers.abs().amax(dim=1).round() == 2 ** (point.bits - 1) - 1).all(), "some weight reaches the end"
    activations = [point.tensor for point in spec.points if point.role is not TensorRole.WEIGHT]
    assert activations[0] == "input"
    assert activations[-1] == "head"
    assert spec.shares == {"pool/max_pool2d": "add", "flatten": "add"}


def test_the_range_of_the_logits_is_that_of_the_trained_model(bench: Bench) -> None:
    (made,) = QAT().apply(net(12, 2), bench)
    found = answers(made, rows_of(bench.task, SplitName.CALIBRATION))
    point = next(one for one in made.quant.points if one.tensor == "head" and one.role is not TensorRole.WEIGHT)
    low, high = -point.scale[0] * point.zero_point[0], point.scale[0] * (255 - point.zero_point[0])
    assert low == pytest.approx(min(float(found.min()), 0.0), abs=point.scale[0])
    assert high == pytest.approx(max(float(found.max()), 0.0), abs=point.scale[0])


def test_ranges_stay_as_they_are_after_their_share_of_the_epochs(bench: Bench) -> None:
    contribution = QAT(learned_until=0.5).contribute(net(12, 2), bench)
    graph = contribution.model.module
    (callback,) = contribution.callbacks
    learned = [one for name, one in graph.named_parameters() if name.startswith((RANGES, WEIGHTS))]
    others = [one for name, one in graph.named_parameters() if not name.startswith((RANGES, WEIGHTS))]
    optimizer = torch.optim.AdamW(graph.parameters())
    for epoch, expected in ((0, True), (1, True), (2, False), (3, False)):
        callback.epoch_starts(State(graph, optimizer, epoch, 0, epochs=4, steps=1))
        assert {one.requires_grad for one in learned} == {expected}
        assert {one.requires_grad for one in others} == {True}


@pytest.mark.parametrize(("until", "moved"), [(0.0, False), (1.0, True)])
def test_ranges_are_learned_or_not(until: float, moved: bool, bench: Bench) -> None:
    method = Watched(QAT(learned_until=until), rows_of(bench.task))
    method.apply(net(12, 2), bench)
    ranges = [name for name in method.before if name.startswith((RANGES, WEIGHTS))]
    assert any(not torch.equal(method.before[name], method.after[name]) for name in ranges) is moved


def test_bfloat16_and_channels_last_train_too(bench: Bench) -> None:
    config = CONFIG.model_copy(
        update={"precision": Precision.BFLOAT16, "memory_format": MemoryFormat.CHANNELS_LAST, "epochs": 2}
    )
    rows = rows_of(bench.task)
    method = Watched(QAT(weight_bits=4), rows)
    (made,) = method.apply(net(12, 2), replace(bench, training=config))
    torch.testing.assert_close(answers(made, rows), method.answered, atol=1e-5, rtol=0)


def digits() -> Task:
    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8)[..., None], bunch.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    parts = zip(SplitName, np.split(order[:1700], [900, 1000, 1200]), strict=True)
    splits = {
        name: Split(images[rows], labels[rows], np.array([f"{name.value}-{row}" for row in rows]))
        for name, rows in parts
    }
    preprocessing = Preprocessing(modality=Modality.IMAGE, raw_shape=(8, 8, 1), scale=1 / 16, mean=(0.3,), std=(0.4,))
    names = tuple(str(digit) for digit in range(10))
    return Task("digits", TaskKind.SINGLE_LABEL, names, (), splits, preprocessing, "scikit-learn")


def test_four_bits_are_better_trained_than_rounded(tmp_path: Path) -> None:
    task = digits()
    config = CONFIG.model_copy(update={"epochs": 8, "learning_rate": 1e-2, "ema_decay": 0.0, "batch_size": 32})
    bench = Bench(task, seed=0, folder=tmp_path / "float", training=config)
    (trained,) = Supervised().apply(net(8, 10), bench)
    rows, labels = rows_of(task), torch.from_numpy(task.validation.labels)
    calibration = in_batches(rows_of(task, SplitName.CALIBRATION).numpy())
    rounded = quantize_static(
        trained, QuantRule(weight_bits=4), Rows(calibration, calibration), Choices(Observer.MSE, False, False, False)
    )
    short = replace(bench, folder=tmp_path / "aware", training=config.model_copy(update={"epochs": 3}))
    (aware,) = QAT(weight_bits=4, end_bits=0).apply(trained, short)
    losses = [float(F.cross_entropy(answers(one, rows), labels)) for one in (rounded, aware)]
    right = [float((answers(one, rows).argmax(dim=1) == labels).float().mean()) for one in (rounded, aware)]
    assert losses[1] < 0.8 * losses[0]
    assert right[1] > right[0]
    assert right[1] > 0.9


def teacher_of(bench: Bench, model: Model) -> Teacher:
    def predict(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.module(torch.from_numpy(inputs)).numpy()

    return Teacher("wide", "0" * 64, bench.task.classes, predict, model)


@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_a_teacher_and_its_layers_are_learned_from_in_the_same_phase(first: bool, bench: Bench) -> None:
    bench = replace(bench, teachers=(teacher_of(bench, net(12, 2)),))
    features = FeatureMatching(pairs=(Pair(student="stem", teacher="stem"), Pair(student="block", teacher="block")))
    methods: list[TrainedMethod] = [SoftTarget(views=8), features, QAT(weight_bits=4)]
    together = train_together(methods[::-1] if first else methods, net(12, 2), bench)
    assert together.quant is not None
    assert together.quant.weights_hash == weights_hash(together)
    assert isinstance(together.module, Net)


def test_layers_that_are_suggested_before_batch_norms_are_folded_are_found_in_the_graph(bench: Bench) -> None:
    bench = replace(bench, teachers=(teacher_of(bench, build("resnet8", (1, 12, 12), 2)),))
    student = build("resnet8", (1, 12, 12), 2, options={"width": 0.5})
    together = contributed([FeatureMatching(), QAT()], student, bench)
    names = [layer for term in together.terms for layer in term.layers]
    assert names == ["stages.0", "stages.1", "stages.2"]
    with captured(together.model.module, names) as seen:
        together.model.module(rows_of(bench.task)[:2])
    assert [seen[name].shape[1] for name in names] == [8, 16, 32]


@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_a_layer_without_an_output_of_its_own_is_refused(first: bool, bench: Bench) -> None:
    bench = replace(bench, teachers=(teacher_of(bench, net(12, 2)),))
    features = FeatureMatching(pairs=(Pair(student="stem.0", teacher="stem.0"),))
    methods: list[TrainedMethod] = [features, QAT()]
    with pytest.raises(ModelError, match="not call"):
        train_together(methods[::-1] if first else methods, net(12, 2), bench)


def test_it_is_not_for_quantized_models_text_nets_or_bits_that_are_none(bench: Bench) -> None:
    (made,) = QAT().apply(net(12, 2), replace(bench, training=CONFIG.model_copy(update={"epochs": 1})))
    with pytest.raises(ModelError, match="quantized already"):
        QAT().apply(made, bench)
    text = net(12, 2)
    text.module.vocabulary = 9
    with pytest.raises(ModelError, match="a text net"):
        QAT().apply(text, bench)
    for bits in (1, 9, 16):
        with pytest.raises(ValidationError):
            QAT(weight_bits=bits)
    with pytest.raises(ModelError, match="matches no layer"):
        QAT(layers=(LayerRule(layer="stem.9", weight_bits=FLOAT_BITS),)).apply(net(12, 2), bench)


KILLED = """
import sys, time
from pathlib import Path
import torch
sys.path[:0] = sys.argv[2:4]  # two folders have a conftest
from conftest import make_task
from test_qat import CONFIG, net
from galenic.compress.method import Bench
from galenic.compress.quantize.qat import QAT
torch.set_num_threads(1)

def slow(work, done, total, note=""):
    print(done, flush=True)
    time.sleep(0.3)

bench = Bench(make_task(), seed=3, folder=Path(sys.argv[1]), training=CONFIG, progress=slow)
QAT(weight_bits=4, learned_until=0.75).apply(net(12, 2), bench)
"""


def test_a_killed_training_goes_on_to_the_same_model_bit_for_bit(task, tmp_path: Path) -> None:
    method = QAT(weight_bits=4, learned_until=0.75)
    (undisturbed,) = method.apply(net(12, 2), Bench(task, 3, tmp_path / "undisturbed", CONFIG))
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, tmp_path / "killed", here.parents[1], here]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        while other.stdout.readline().strip() != "2":
            assert other.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        os.kill(other.pid, signal.SIGKILL)
    seen: list[int] = []
    bench = Bench(task, 3, tmp_path / "killed", CONFIG, progress=lambda work, done, total, note="": seen.append(done))
    (resumed,) = method.apply(net(12, 2), bench)
    assert seen[0] >= 2, "it began anew"
    assert resumed.quant == undisturbed.quant
    assert weights_hash(resumed) == weights_hash(undisturbed)
