"""BERT teaches DistilBERT on notes of a CSV: soft targets, hidden states and attention in one phase, then ONNX."""

from __future__ import annotations

import csv
import math
import socket
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.compress.distill.attention_matrices import AttentionMatrices, attention_divergence
from galenic.compress.distill.hidden_states import HiddenStates
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.method import Bench, Teacher, train_together, training_data
from galenic.compress.quantize.static_int8 import StaticInt8
from galenic.compress.supervised import Supervised
from galenic.exporters.onnxruntime import EXPORTER
from galenic.preprocess.transform import to_inputs
from galenic.record.errors import ModelError
from galenic.record.task import Split, Task
from galenic.record.training import MemoryFormat, Precision, TrainingConfig
from galenic.runtimes.load import artifact_of_file, open_session
from galenic.tasks import load_task
from galenic.training.layers import captured
from galenic.training.objective import Objective
from galenic.zoo.build import build, fitted_options
from galenic.zoo.model import Model, weights_hash

if find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

LENGTH = 16
SMALL = {"heads": 4, "hidden": 32, "intermediate": 64, "dropout": 0.0}
FILLING = (
    "patient",
    "reports",
    "mild",
    "pain",
    "and",
    "cough",
    "since",
    "monday",
    "no",
    "known",
    "allergies",
    "on",
    "exam",
)
ILL, WELL = ("dyspnoea", "haemoptysis", "syncope"), ("stable", "asymptomatic", "comfortable")


def write_notes(path: Path, rows: int = 320) -> None:
    """Made-up notes of 5 to 10 words; one word, anywhere in the note, decides the label."""
    random = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in range(rows):
            words = list(random.choice(FILLING, random.integers(4, 10)))
            words.insert(random.integers(len(words)), random.choice((WELL, ILL)[row % 2]))
            writer.writerow([" ".join(words).capitalize() + ".", ("well", "ill")[row % 2]])


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Task:
    folder = tmp_path_factory.mktemp("notes")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", *FILLING, *ILL, *WELL]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    write_notes(folder / "notes.csv")
    return load_task(
        f"text:{folder / 'notes.csv'}",
        vocabulary=folder / "vocab.txt",
        length=LENGTH,
        classes="well,ill",
        overlap="drop-train",
    )


def net(name: str, task: Task, layers: int, **options) -> Model:
    fitted = fitted_options(name, task.preprocessing, {**SMALL, "layers": layers, **options})
    return build(name, task.preprocessing.input_shape, task.outputs, options=fitted)


def config(epochs: int, **options) -> TrainingConfig:
    return TrainingConfig(
        epochs=epochs,
        batch_size=32,
        learning_rate=2e-3,
        precision=Precision.FLOAT32,
        memory_format=MemoryFormat.CONTIGUOUS,
        **options,
    )


def logits_of(model: Model, task: Task, split: Split) -> np.ndarray:
    with torch.no_grad():
        answers: np.ndarray = model.module(torch.from_numpy(to_inputs(task.preprocessing, split.inputs))).numpy()
    return answers


def accuracy(model: Model, task: Task) -> float:
    return float((logits_of(model, task, task.validation).argmax(1) == task.validation.labels).mean())


def as_teacher(model: Model, task: Task) -> Teacher:
    def predict(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            answers: np.ndarray = model.module(torch.from_numpy(inputs)).numpy()
        return answers

    return Teacher("bert", weights_hash(model), task.classes, predict, model)


@pytest.fixture(scope="module")
def teacher(task: Task, tmp_path_factory) -> Model:
    torch.set_num_threads(1)
    bench = Bench(task, 0, tmp_path_factory.mktemp("teacher"), config(8))
    (trained,) = Supervised().apply(net("bert", task, 4), bench)
    assert accuracy(trained, task) > 0.95
    return trained


def test_a_batch_is_a_dictionary_and_a_text_has_one_view(task: Task, tmp_path) -> None:
    data = training_data(Bench(task, 0, tmp_path, config(1)), 8)
    batch = next(data.batches(3, 4, 16, 0, torch.device("cpu")))
    assert batch.view == 0
    assert set(batch.inputs) == {"input_ids", "attention_mask"}
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    assert ids.dtype == mask.dtype == torch.int64
    assert ids.tolist() == task.train.inputs[batch.rows].tolist()
    assert torch.equal(mask, (ids > 0).long())
    assert data.inputs(0, batch.rows).tolist() == ids.tolist()


def test_one_phase_of_soft_targets_hidden_states_and_attention(task: Task, teacher: Model, tmp_path) -> None:
    bench = Bench(task, 0, tmp_path, config(14), (as_teacher(teacher, task),))
    start = net("distilbert", task, 2, hidden=24, heads=2)
    student = train_together([SoftTarget(), HiddenStates(), AttentionMatrices()], start, bench)
    assert accuracy(student, task) > 0.9 > accuracy(start, task)
    assert student.lineage == ("distilbert", "soft_target", "hidden_states", "attention_matrices")
    assert apart(student, teacher, task) < 0.5 * apart(start, teacher, task)
    assert {name for name, _ in student.module.named_parameters()} == {n for n, _ in start.module.named_parameters()}


@pytest.mark.parametrize("method", [HiddenStates, AttentionMatrices])
def test_a_cached_teacher_says_what_the_live_one_says(task: Task, teacher: Model, tmp_path, method) -> None:
    bench = Bench(task, 0, tmp_path, config(1), (as_teacher(teacher, task),))
    student = net("distilbert", task, 2, hidden=24, heads=2)
    batch = next(training_data(bench, 8).batches(0, 1, 24, 0, torch.device("cpu")))
    losses = []
    for cache_mb in (0.0, 100.0):
        (term,) = method(cache_mb=cache_mb).contribute(student, bench).terms
        assert term.teacher.live == (cache_mb == 0)
        losses.append(Objective([term]).loss(student.module, batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] > 0


def apart(student: Model, teacher: Model, task: Task) -> float:
    """How far the last layers' attention matrices of two nets are on validation."""
    ids = torch.from_numpy(to_inputs(task.preprocessing, task.validation.inputs))
    ours, theirs = "distilbert.transformer.layer.1.attention", "bert.encoder.layer.3.attention.self"
    with torch.no_grad(), captured(student.module, [ours]) as here, captured(teacher.module, [theirs]) as there:
        student.module(ids), teacher.module(ids)
    return attention_divergence(here[ours][1], there[theirs][1], (ids != 0).long()).item()


def test_the_default_pairs(task: Task, teacher: Model, tmp_path) -> None:
    told: list[str] = []
    bench = Bench(
        task, 0, tmp_path, config(1), (as_teacher(teacher, task),), progress=lambda *said: told.append(str(said[3:]))
    )
    student = net("distilbert", task, 2)
    AttentionMatrices().contribute(student, bench)
    HiddenStates().contribute(student, bench)
    for layer, theirs in ((0, 1), (1, 3)):
        assert (
            f"distilbert.transformer.layer.{layer}.attention <- bert.encoder.layer.{theirs}.attention.self" in told[0]
        )
        assert f"distilbert.transformer.layer.{layer} (16, 32) <- bert.encoder.layer.{theirs} (16, 32)" in told[1]


def test_dropout_on_the_students_matrices_is_refused(task: Task, teacher: Model, tmp_path) -> None:
    """Our own nets have none; a net that comes from outside may."""
    bench = Bench(task, 0, tmp_path, config(1), (as_teacher(teacher, task),))
    student = net("distilbert", task, 2)
    student.module.distilbert.transformer.layer[0].attention.dropout.p = 0.1
    with pytest.raises(ModelError, match=r"dropout of 0\.1"):
        AttentionMatrices().contribute(student, bench)


def test_the_onnx_file_takes_ids_and_answers_as_torch_does(task: Task, teacher: Model, tmp_path) -> None:
    artifact = EXPORTER.export(teacher, tmp_path / "bert.onnx", preprocessing=task.preprocessing, classes=task.classes)
    session = open_session(artifact)
    inputs = to_inputs(task.preprocessing, task.validation.inputs)
    answers = session.run(inputs)
    np.testing.assert_allclose(answers, logits_of(teacher, task, task.validation), atol=1e-4)
    assert artifact.preprocessing.text is not None
    assert artifact_of_file(artifact.path, task.preprocessing, task.classes).sha256 == artifact.sha256
    with pytest.raises(Exception, match="expected int64"):
        session.run(inputs.astype(np.float32))


def test_static_integers_are_refused(teacher: Model) -> None:
    with pytest.raises(ModelError, match="a text net, as static 8-bit integers"):
        StaticInt8().refuse_model(teacher)


def test_no_socket_is_opened(task: Task, monkeypatch, tmp_path) -> None:
    def refused(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    small = load_task(task.source, length=LENGTH, overlap="drop-train", vocabulary_size=80, classes="well,ill")
    other = net("bert", small, 2)
    bench = Bench(small, 0, tmp_path, config(1), (as_teacher(other, small),))
    train_together([SoftTarget(), AttentionMatrices()], net("distilbert", small, 1), bench)
    assert math.isfinite(logits_of(other, small, small.test).sum())
