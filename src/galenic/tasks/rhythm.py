"""``rhythm``: synthetic ECG rhythms, one or two leads, split by subject. No patient stands behind them.

A window is a train of beats, each a sum of five Gaussians (P, Q, R, S, T; after McSharry et al., IEEE TBME 2003), plus
breathing, muscle and mains noise:

    sinus                 regular, 55-95 a minute, slowed and quickened by breathing
    atrial fibrillation   irregular gaps, no P waves, a fine 4-9 Hz wave between the beats
    bigeminy              every second beat early, wide and tall, without a P wave
    tachycardia           regular, 100-150 a minute

Waves, noise and resting rate belong to the subject, whose windows are not independent: subjects are the clusters.
Window w of subject s depends on (seed, s, w) alone. Values are int16 in steps of 5 microvolts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.source import RawTask, Source, SourceOptions

CLASSES = ("sinus", "atrial fibrillation", "bigeminy", "tachycardia")
STEPS_PER_MV = 200
_SHARES = (0.4, 0.2, 0.2, 0.2)
_OFFSET_S = np.array([-0.18, -0.03, 0.0, 0.03, 0.26])  # of P, Q, R, S, T from the R peak, at rest
_WIDTH_S = np.array([0.025, 0.010, 0.011, 0.010, 0.045])
_HEIGHT_MV = np.array([[0.12, -0.10, 1.1, -0.22, 0.28], [0.07, -0.05, 0.5, -0.45, 0.18]])  # per lead


class RhythmOptions(SourceOptions):
    """What ``rhythm`` takes."""

    leads: int = Field(default=1, ge=1, le=2, description="1 or 2")
    length: int = Field(default=640, ge=128, description="samples of a window")
    hz: int = Field(default=128, ge=50, le=500, description="sampling rate")
    windows: int = Field(default=20, ge=4, description="windows of each subject")
    train_subjects: int = Field(default=100, ge=4, description="subjects in train")
    validation_subjects: int = Field(default=25, ge=2, description="subjects in validation")
    test_subjects: int = Field(default=60, ge=2, description="subjects in test")


@dataclass(frozen=True)
class Subject:
    """What does not change between a subject's windows.

    Attributes:
        height_mv: (leads, 5) of P, Q, R, S, T.
        width_s: (5,).
        rate: beats a minute at rest.
        noise_mv: of the muscles.
        wander_mv: of the baseline.
        mains_mv: at 50 Hz, or its alias at low sampling rates.
    """

    height_mv: np.ndarray
    width_s: np.ndarray
    rate: float
    noise_mv: float
    wander_mv: float
    mains_mv: float


@dataclass(frozen=True)
class Beats:
    """A train of beats: R peaks in seconds, and which of them are ectopic; P waves as a share of the subject's."""

    peaks_s: np.ndarray
    ectopic: np.ndarray
    p_wave: float


def load_rhythm(_: str, options: RhythmOptions) -> RawTask:
    """Make all windows."""
    counts = (options.train_subjects, options.validation_subjects, options.test_subjects)
    names = (SplitName.TRAIN, SplitName.VALIDATION, SplitName.TEST)
    firsts = (0, counts[0], counts[0] + counts[1])
    return RawTask(
        name=f"Synthetic ECG rhythms, {options.leads} lead{'s' if options.leads > 1 else ''}",
        where="synthetic rhythms",
        kind=TaskKind.SINGLE_LABEL,
        classes=CLASSES,
        positive=(1, 2, 3),
        splits={
            name: make_split(range(first, first + count), options)
            for name, first, count in zip(names, firsts, counts, strict=True)
        },
        modality=Modality.SIGNAL,
        scale=1 / STEPS_PER_MV,
        synthetic=True,
        cluster_name="subject",
    )


def make_split(subjects: range, options: RhythmOptions) -> Split:
    """All windows of these subjects."""
    windows, labels, ids, owners = [], [], [], []
    for number in subjects:
        subject = make_subject(np.random.default_rng([options.seed, number]))
        for window in range(options.windows):
            random = np.random.default_rng([options.seed, number, window + 1])
            label = int(random.choice(len(CLASSES), p=_SHARES))
            windows.append(make_window(subject, label, options, random))
            labels.append(label)
            ids.append(f"synthetic-{number:04d}-{window:03d}")
            owners.append(f"synthetic-{number:04d}")
    who = np.array(owners)
    return Split(
        np.stack(windows), np.array(labels, dtype=np.int64), np.array(ids), groups={"subject": who}, clusters=who.copy()
    )


def make_subject(random: np.random.Generator) -> Subject:
    """A subject's waves, resting rate and noise."""
    return Subject(
        height_mv=_HEIGHT_MV * np.exp(random.normal(0, 0.25, (2, 5))) * np.exp(random.normal(0, 0.15)),
        width_s=_WIDTH_S * np.exp(random.normal(0, 0.12, 5)),
        rate=random.uniform(58, 90),
        noise_mv=float(np.exp(random.normal(np.log(0.04), 0.5))),
        wander_mv=random.uniform(0.02, 0.2),
        mains_mv=random.exponential(0.012),
    )


def make_window(subject: Subject, label: int, options: RhythmOptions, random: np.random.Generator) -> np.ndarray:
    """(length, leads) int16."""
    time_s = np.arange(options.length) / options.hz
    beats = _RHYTHMS[label](subject, float(time_s[-1]), random)
    clean = beat_waves(subject, beats, time_s)[:, : options.leads]
    if label == 1:
        clean = clean + _fibrillation(time_s, random)[:, None] * np.array([1.0, 0.7])[: options.leads]
    noise = subject.noise_mv * random.standard_normal((options.length, options.leads))
    phase = random.uniform(0, 2 * np.pi, 2)
    slow = subject.wander_mv * np.sin(2 * np.pi * random.uniform(0.15, 0.4) * time_s + phase[0])
    mains = subject.mains_mv * np.sin(2 * np.pi * 50 * time_s + phase[1])
    signal_mv = clean + noise + (slow + mains)[:, None]
    steps: np.ndarray = np.clip(np.rint(signal_mv * STEPS_PER_MV), -32768, 32767)
    return steps.astype(np.int16)


def beat_waves(subject: Subject, beats: Beats, time_s: np.ndarray) -> np.ndarray:
    """(time, 2) millivolts. Offsets of P and T shrink with the square root of the gap (Bazett)."""
    gaps = np.diff(beats.peaks_s, append=beats.peaks_s[-1] + np.diff(beats.peaks_s).mean())
    stretch = np.sqrt(np.clip(gaps, 0.3, 1.4))[:, None]
    centre = beats.peaks_s[:, None] + _OFFSET_S * np.where(np.abs(_OFFSET_S) > 0.1, stretch, 1.0)
    wide = np.where(beats.ectopic, 3.2, 1.0)[:, None]
    width = subject.width_s * np.where(np.arange(5) == 0, 1.0, wide)
    scale = np.ones((len(gaps), 5))
    scale[:, 0] = np.where(beats.ectopic, 0.0, beats.p_wave)
    scale[beats.ectopic, 2] = 1.4
    scale[beats.ectopic, 4] = -1.3
    shapes = np.exp(-0.5 * ((time_s[:, None, None] - centre) / width) ** 2)
    waves: np.ndarray = np.einsum("tbw,bw,lw->tl", shapes, scale, subject.height_mv)
    return waves


def _regular(rate: float, seconds: float, sway: float, random: np.random.Generator) -> Beats:
    """Beats at ``rate`` a minute, whose gaps sway by the share ``sway`` with breathing and by 1.5 % at random."""
    number = int(seconds * rate / 60 * 1.4) + 4
    gap = 60 / rate
    breath = 2 * np.pi * random.uniform(0.18, 0.32) * gap * np.arange(number) + random.uniform(0, 2 * np.pi)
    gaps = gap * (1 + sway * np.sin(breath) + 0.015 * random.standard_normal(number))
    return Beats(np.cumsum(gaps) - gap * random.uniform(1, 2), np.zeros(number, dtype=bool), 1.0)


def _sinus(subject: Subject, seconds: float, random: np.random.Generator) -> Beats:
    return _regular(subject.rate * random.uniform(0.92, 1.12), seconds, random.uniform(0.01, 0.09), random)


def _tachycardia(_: Subject, seconds: float, random: np.random.Generator) -> Beats:
    return _regular(random.uniform(100, 150), seconds, random.uniform(0.0, 0.02), random)


def _atrial_fibrillation(subject: Subject, seconds: float, random: np.random.Generator) -> Beats:
    rate = subject.rate * random.uniform(0.9, 1.6)
    number = int(seconds * rate / 60 * 2) + 6
    gaps = 60 / rate * np.clip(1 + random.uniform(0.10, 0.24) * random.standard_normal(number), 0.5, 1.9)
    return Beats(np.cumsum(gaps) - 60 / rate, np.zeros(number, dtype=bool), random.uniform(0, 0.15))


def _bigeminy(subject: Subject, seconds: float, random: np.random.Generator) -> Beats:
    regular = _regular(subject.rate * random.uniform(0.92, 1.12), seconds, 0.02, random)
    ectopic = np.arange(len(regular.peaks_s)) % 2 == random.integers(2)
    early = 60 / subject.rate * random.uniform(0.2, 0.4)
    return Beats(regular.peaks_s - early * ectopic, ectopic, 1.0)


def _fibrillation(time_s: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(time,) millivolts of the fine wave between the beats."""
    hz, phase = random.uniform(4, 9, 3), random.uniform(0, 2 * np.pi, 3)
    waves: np.ndarray = np.sin(2 * np.pi * time_s[:, None] * hz + phase).sum(axis=1) * random.uniform(0.01, 0.05)
    return waves


_RHYTHMS: tuple[Callable[[Subject, float, np.random.Generator], Beats], ...] = (
    _sinus,
    _atrial_fibrillation,
    _bigeminy,
    _tachycardia,
)

RHYTHM = Source("rhythm", "", "synthetic ECG rhythms, one or two leads, split by subject", RhythmOptions, load_rhythm)
