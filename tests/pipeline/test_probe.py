"""The probe: what it says of predictions whose intervals are known, and of a good, a harmful and a diverging teacher."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from galenic.compress.distill.progressive import Assistant, Progressive
from galenic.compress.distill.soft_target import SoftTarget
from galenic.compress.supervised import Supervised
from galenic.pipeline import probe as module
from galenic.pipeline.chain import run_chain
from galenic.pipeline.file_stages import export_stage, predict_stage
from galenic.pipeline.plan import make_plan
from galenic.pipeline.probe import Distilling, judge_probe, probe, short_training, together
from galenic.pipeline.recipes import parse_recipe
from galenic.pipeline.reference import as_teacher
from galenic.pipeline.run import compress
from galenic.pipeline.setting import Setting
from galenic.pipeline.training_stages import run_phase
from galenic.record.errors import DivergedTraining
from galenic.record.predictions import Predictions
from galenic.record.report import ProbeOutcome
from galenic.record.task import SplitName, Task, TaskKind
from galenic.record.training import Rows, TrainingConfig
from galenic.store.stages import Store
from galenic.tasks.load import load_task
from galenic.zoo.build import build
from galenic.zoo.model import Model
from galenic.zoo.saving import save_model

TRAINING = TrainingConfig(
    epochs=7, batch_size=16, learning_rate=1e-2, augment=False, precision="float32", memory_format="contiguous"
)
WORSE = "the teacher is worse than the student alone"


def answers(scores: np.ndarray, positive: np.ndarray) -> Predictions:
    """Validation predictions of a binary task whose log odds are ``scores``."""
    return Predictions(
        ids=np.array([f"case-{row}" for row in range(len(scores))]),
        labels=positive.astype(np.int64),
        logits=np.stack([np.zeros(len(scores)), scores], axis=1).astype(np.float32),
        split=SplitName.VALIDATION,
        split_hash="5" * 64,
        kind=TaskKind.SINGLE_LABEL,
        classes=("benign", "malignant"),
        positive=(1,),
        made_by="a" * 64,
    )


def ranked(wrong: int, half: int = 40, seed: int = 0) -> Predictions:
    """``half`` negatives and positives by noise around 0 and 1, the scores of ``wrong`` pairs exchanged."""
    rng = np.random.default_rng(seed)
    positive = np.arange(2 * half) >= half
    scores = positive + 0.3 * rng.normal(size=2 * half)
    scores[:wrong], scores[half : half + wrong] = scores[half : half + wrong].copy(), scores[:wrong].copy()
    return answers(scores, positive)


def delong(first: Predictions, second: Predictions) -> tuple[float, float, float]:
    """The difference of two AUCs with its 95 % interval, from DeLong's formula: V over all pairs, S of the components."""
    parts = []
    for one in (first, second):
        scores = (one.logits[:, 1] - one.logits[:, 0]).astype(np.float64)
        inside, outside = scores[one.labels == 1], scores[one.labels == 0]
        wins = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
        parts.append((wins.mean(axis=1), wins.mean(axis=0), wins.mean()))
    (v10, v01, auc), (w10, w01, other) = parts
    variance = np.var(v10 - w10, ddof=1) / len(v10) + np.var(v01 - w01, ddof=1) / len(v01)
    half = 1.959963984540054 * math.sqrt(variance)
    return auc - other, auc - other - half, auc - other + half


@pytest.mark.parametrize(
    ("teacher", "alone", "distilled", "outcome"),
    [
        (2, 12, 10, ProbeOutcome.HELP),
        (2, 12, None, ProbeOutcome.HELP),
        (12, 2, 1, ProbeOutcome.HURT),
        (12, 2, None, ProbeOutcome.HURT),
        (2, 10, 22, ProbeOutcome.HURT),
        (9, 10, 10, ProbeOutcome.UNDECIDED),
        (9, 10, 1, ProbeOutcome.UNDECIDED),
        (10, 10, None, ProbeOutcome.UNDECIDED),
    ],
)
def test_the_outcome_follows_from_the_paired_intervals(
    teacher: int, alone: int, distilled: int | None, outcome: ProbeOutcome
) -> None:
    seen = [ranked(teacher), ranked(alone), ranked(distilled) if distilled is not None else None]
    found = judge_probe(*seen, epochs=3)
    assert found.outcome is outcome
    for gain, one in ((found.teacher_gain, seen[0]), (found.distilled_gain, seen[2])):
        assert (gain is None) is (one is None)
        if gain is None or one is None or np.array_equal(one.logits, seen[1].logits):
            continue
        value, low, high = delong(one, seen[1])
        assert gain.value == pytest.approx(value, abs=1e-12)
        assert (gain.low, gain.high) == pytest.approx((low, high), abs=1e-9)
    assert ("Warning" in found.sentence) is (outcome is ProbeOutcome.HURT)
    assert outcome.value in found.sentence


def test_an_interval_worked_out_by_hand() -> None:
    # 12 negatives at 0 and 12 positives at 1 (AUC 1); alone puts one positive below all negatives: AUC 11/12.
    positive = np.arange(24) >= 12
    teacher = answers(positive.astype(float), positive)
    scores = positive.astype(float)
    scores[-1] = -1
    # The difference of components is 0 for 11 positives and 1 for one, and 1/12 for every negative:
    # S10 = (1 - 12 / 144) / 11 = 1/12, S01 = 0, so the standard error is sqrt(1/144) = 1/12.
    gain = judge_probe(teacher, answers(scores, positive)).teacher_gain
    assert gain is not None
    assert gain.value == pytest.approx(1 / 12)
    assert (gain.low, gain.high) == pytest.approx((1 / 12 - 1.959964 / 12, 1 / 12 + 1.959964 / 12), abs=1e-6)


def test_too_few_cases_decide_nothing() -> None:
    found = judge_probe(ranked(0, half=9), ranked(9, half=9))
    assert found.teacher_gain is not None
    assert found.teacher_gain.low > 0
    assert found.outcome is ProbeOutcome.UNDECIDED
    assert "9 cases" in found.sentence


def test_a_student_trained_in_full_is_said_to_be_so_and_a_short_one_may_catch_up() -> None:
    full, short = judge_probe(ranked(2), ranked(12)), judge_probe(ranked(2), ranked(12), ranked(11), epochs=1)
    assert (full.epochs, full.distilled) == (None, None)
    assert "the student trained in full" in full.sentence
    assert "catch up" not in full.sentence
    assert "the students after 1 epoch)" in short.sentence
    assert "may still catch up" in short.sentence


def test_several_teachers_are_judged_by_the_mean_of_their_probabilities() -> None:
    # Log odds log 3 and log 1/3 have the probabilities 3/4 and 1/4: their mean is 1/2. log 3 and 0 give 5/8.
    positive = np.array([True, False])
    first, second = answers(np.log([3.0, 3.0]), positive), answers(np.log([1 / 3, 1.0]), positive)
    mean = together([first, second])
    assert mean.probabilities()[:, 1] == pytest.approx([0.5, 0.625], abs=1e-6)
    assert mean.made_by not in {first.made_by, second.made_by}
    assert together([first]) is first
    labels = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    several = [dataclasses.replace(one, kind=TaskKind.MULTI_LABEL, labels=labels) for one in (first, second)]
    assert together(several).probabilities() == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.625]]), abs=1e-6)


def test_the_short_training_is_the_same_but_for_its_length() -> None:
    long = TRAINING.model_copy(update={"epochs": 60, "warmup_epochs": 5.0})
    assert short_training(long, 3) == long.model_copy(update={"epochs": 3, "warmup_epochs": 1.0})
    assert short_training(TRAINING, 6).warmup_epochs == TRAINING.warmup_epochs


def net(seed: int) -> Model:
    return build("mlp", (1, 12, 12), 2, seed=seed, options={"hidden": [8]})


@pytest.fixture
def told() -> list[tuple[str, int, int, str]]:
    return []


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def setting(task: Task, store: Store, told: list[tuple[str, int, int, str]]) -> Setting:
    return Setting(task, store, 0, 1, lambda *said: told.append((*said, "")[:4]))


def ahead(setting: Setting, teacher: Model, **changes: object) -> Distilling:
    file = export_stage(setting, teacher, "onnxruntime")
    return Distilling(
        methods=[SoftTarget(views=1)],
        training=TRAINING.model_copy(update=changes),
        start=net(1),
        teachers=[as_teacher(setting, file, "teacher")],
        answers=[predict_stage(setting, file, SplitName.VALIDATION)],
        runtime="onnxruntime",
    )


def test_an_untrained_teacher_is_warned_of_at_once_and_the_short_trainings_are_kept(setting: Setting, told) -> None:
    found = probe(setting, ahead(setting, net(5)), 3)
    assert found.outcome is ProbeOutcome.HURT
    assert WORSE in found.sentence
    assert found.student_alone is not None
    assert found.student_alone.value > 0.9
    assert told[-1] == (module.WORK, 1, 1, found.sentence)
    assert {"supervised", "soft_target"} < {work for work, *_ in told}
    told.clear()
    assert probe(setting, ahead(setting, net(5)), 3) == found
    assert {work for work, *_ in told} == {module.WORK}, "nothing was trained again"


def test_a_good_teacher_is_expected_to_help_a_student_that_is_slow_alone(setting: Setting) -> None:
    teacher = run_phase(setting, [Supervised()], net(0), TRAINING)[0]
    found = probe(setting, ahead(setting, teacher, learning_rate=1e-7), 1)
    assert found.outcome is ProbeOutcome.HELP
    assert found.teacher is not None
    assert found.teacher.value > 0.95
    assert found.epochs == 1


def test_a_short_distillation_is_not_probed_but_a_student_trained_in_full_is_compared(setting: Setting, told) -> None:
    short = ahead(setting, net(5), epochs=6)
    found = probe(setting, short, 3)
    assert found.outcome is ProbeOutcome.LEFT_OUT
    assert "6 epochs" in found.sentence
    assert told[-1][3] == found.sentence
    labels = setting.task.validation.labels
    alone = dataclasses.replace(short.answers[0], logits=np.eye(2, dtype=np.float32)[labels])
    found = probe(setting, short, 3, alone)
    assert (found.outcome, found.epochs) == (ProbeOutcome.HURT, None)
    assert {work for work, *_ in told} == {module.WORK}, "nothing was trained"


def test_the_student_alone_learns_from_labelled_rows_and_a_diverging_probe_stops_nothing(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrainingConfig] = []

    def diverge(setting, methods, model, training, teachers=()):
        asked.append(training)
        raise DivergedTraining("the loss of supervised became nan in epoch 1", "a finite loss", "lower learning_rate")

    monkeypatch.setattr(module, "run_phase", diverge)
    found = probe(setting, ahead(setting, net(5), rows=Rows.BOTH), 3)
    assert [one.rows for one in asked] == [Rows.TRAIN]
    assert found.outcome is ProbeOutcome.UNDECIDED
    assert "became nan" in found.sentence


def test_assistants_which_would_be_trained_in_full_are_left_out_of_a_probe(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def kept(setting, methods, model, training, teachers=()):
        asked.append([method.name for method in methods])
        return [model]

    monkeypatch.setattr(module, "run_phase", kept)
    progressive = Progressive(assistants=(Assistant(model="mlp"),))
    found = probe(setting, dataclasses.replace(ahead(setting, net(5)), methods=[progressive]), 3)
    assert asked == [["supervised"], ["soft_target"]]
    assert found.distilled_gain is not None
    assert found.distilled_gain.value == 0


RECIPE = """
name = "harmful"
threads = 1
[task]
source = "wisconsin"
[reference]
model = "mlp"
options = {{ hidden = [16] }}
weights = "{weights}"
[student]
model = "mlp"
options = {{ hidden = [8] }}
[[phase]]
method = "soft_target"
[phase.options.soft_target]
views = 1
[phase.training]
epochs = 5
learning_rate = 1e-2
precision = "float32"
memory_format = "contiguous"
[probe]
epochs = {epochs}
[gate.margins]
auc = 0.1
[measure]
runs = 20
warmup = 1
"""


def test_a_run_under_a_harmful_teacher_says_so_before_it_distils_and_in_its_report(tmp_path: Path, told) -> None:
    inverted = build("mlp", (30,), 2, seed=0, options={"hidden": [16]})
    with torch.no_grad():  # this seed's net happens to tell the classes apart, so minus its answers do so wrongly
        for parameter in inverted.module.get_submodule("classifier").parameters():
            parameter.neg_()
    save_model(inverted, tmp_path / "teacher")
    (weights,) = (tmp_path / "teacher").glob("*.safetensors")
    recipe = parse_recipe(RECIPE.format(weights=weights, epochs=2), "harmful.toml")
    outcome = compress(recipe, Store(tmp_path / "store"), lambda *said: told.append((*said, "")[:4]))
    found = outcome.report.probe
    assert found is not None
    assert (found.outcome, found.epochs) == (ProbeOutcome.HURT, 2)
    assert WORSE in found.sentence
    assert outcome.report.notes[0] == found.sentence
    warned = told.index((module.WORK, 1, 1, found.sentence))
    lengths = [(place, total) for place, (work, _, total, _) in enumerate(told) if work == "soft_target"]
    assert {total for place, total in lengths if place < warned} == {2}
    assert {total for place, total in lengths if place > warned} == {5}
    assert found.sentence in (outcome.folder / "report.html").read_text()
    plan = make_plan(parse_recipe(RECIPE.format(weights=weights, epochs=0), "unprobed.toml"))
    chain = run_chain(Setting(load_task("wisconsin"), Store(tmp_path / "store"), 0, 1), plan)
    assert chain.probe is None
