import numpy as np
import pytest

from galenic.record.preprocessing import Modality
from galenic.tasks import load_task
from galenic.tasks.rhythm import CLASSES, STEPS_PER_MV, Beats, RhythmOptions, beat_waves, make_split, make_subject

SMALL = {"train_subjects": 8, "validation_subjects": 3, "test_subjects": 5, "windows": 8}


@pytest.fixture(scope="module")
def task():
    return load_task("rhythm", **SMALL)


def test_shapes_and_names(task):
    assert task.synthetic
    assert "ynthetic" in task.name
    assert task.classes == CLASSES
    assert task.positive == (1, 2, 3)
    assert task.preprocessing.modality is Modality.SIGNAL
    assert task.preprocessing.raw_shape == (640, 1)
    assert task.preprocessing.scale == 1 / STEPS_PER_MV
    assert [len(split) for split in task.splits.values()] == [64, 6, 24, 40]
    assert task.train.inputs.dtype == np.int16


def test_subjects_are_on_one_side(task):
    sides = [set(split.clusters) for split in (task.train, task.validation, task.test)]
    assert [len(side) for side in sides] == [8, 3, 5]
    assert not (sides[0] & sides[1])
    assert not (sides[0] & sides[2])
    assert not (sides[1] & sides[2])
    assert (task.test.groups["subject"] == task.test.clusters).all()


def test_two_leads_and_seeds():
    two = load_task("rhythm", leads=2, **SMALL)
    assert two.preprocessing.input_shape == (2, 640)
    assert load_task("rhythm", leads=2, **SMALL).content_hash == two.content_hash
    assert load_task("rhythm", leads=2, seed=1, **SMALL).content_hash != two.content_hash


def gaps_s(window, hz):
    """Gaps between R peaks by a plain threshold and a refractory time."""
    signal = window[:, 0] - np.median(window[:, 0])
    high = np.flatnonzero(signal > 0.55 * signal.max())
    starts = high[np.insert(np.diff(high) > 0.25 * hz, 0, True)]
    return np.diff(starts) / hz


def test_rhythms_are_what_they_are_called():
    options = RhythmOptions(windows=40)
    split = make_split(range(6), options)
    rate, unrest = [], []
    for label in range(4):
        gaps = [gaps_s(window, options.hz) for window in split.inputs[split.labels == label]]
        rate.append(np.median([60 / gap.mean() for gap in gaps if len(gap)]))
        unrest.append(np.median([gap.std() / gap.mean() for gap in gaps if len(gap) > 2]))
    assert 55 < rate[0] < 98 < rate[3] < 152
    assert unrest[1] > 2 * unrest[0]
    assert unrest[2] > 2 * unrest[0]
    assert unrest[3] < 0.05


def test_one_beat_by_hand():
    subject = make_subject(np.random.default_rng(0))
    beats = Beats(np.array([1.0, 2.0]), np.array([False, False]), 1.0)
    waves = beat_waves(subject, beats, np.array([1.0, 1.5]))
    # at the R peak Q and S, 3 widths away, add almost nothing; half a second later all waves are over
    assert waves[0, 0] == pytest.approx(subject.height_mv[0, 2], abs=0.03)
    assert waves[1, 0] == pytest.approx(0, abs=0.01)


def test_an_ectopic_beat_has_no_p_wave():
    subject = make_subject(np.random.default_rng(1))
    time_s = np.array([2.0 - 0.18])
    normal = beat_waves(subject, Beats(np.array([1.0, 2.0, 3.0]), np.zeros(3, dtype=bool), 1.0), time_s)
    without = beat_waves(subject, Beats(np.array([1.0, 2.0, 3.0]), np.zeros(3, dtype=bool), 0.0), time_s)
    assert normal[0, 0] - without[0, 0] == pytest.approx(subject.height_mv[0, 0], rel=1e-3)
