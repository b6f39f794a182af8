"""``lesions``: synthetic skin lesions after the ABCD rule, benign or malignant. No patient stands behind them.

A latent severity z is drawn from two overlapping bells (45 % from the malignant one); each trait is drawn around z:

    trait = sigmoid(1.5 (z + noise)),      P(malignant | z) = sigmoid(5 z)

so that no trait decides, the label itself is uncertain near z = 0, and who read all traits perfectly would reach an AUC
of 0.993. Skin tone, hair and light do not depend on z. Case i of a split depends on (seed, split, i) alone.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from galenic.record.preprocessing import Modality
from galenic.record.task import Split, SplitName, TaskKind
from galenic.tasks.lesion_image import Traits, draw
from galenic.tasks.source import RawTask, Source, SourceOptions

SKIN_TONES = ("I", "II", "III", "IV", "V", "VI")
MALIGNANT_SHARE = 0.45
_BELL, _SPREAD = 1.15, 0.5  # the two bells of z stand at -1.15 and 1.15
_TRAIT_NOISE = 0.5
_HAIRY_SHARE = 0.3


class LesionOptions(SourceOptions):
    """What ``lesions`` takes."""

    size: int = Field(default=64, ge=16, le=512, description="side of the images in pixels")
    train: int = Field(default=2400, ge=20, description="training images")
    calibration: int = Field(default=200, ge=1, description="images for quantization ranges, not in train")
    validation: int = Field(default=500, ge=20, description="validation images")
    test: int = Field(default=1300, ge=20, description="test images; 1,300 have some 585 malignant ones")


def load_lesions(_: str, options: LesionOptions) -> RawTask:
    """Draw all images."""
    counts = {
        SplitName.TRAIN: options.train,
        SplitName.CALIBRATION: options.calibration,
        SplitName.VALIDATION: options.validation,
        SplitName.TEST: options.test,
    }
    return RawTask(
        name=f"Synthetic skin lesions {options.size}x{options.size}",
        where="synthetic lesions",
        kind=TaskKind.SINGLE_LABEL,
        classes=("benign", "malignant"),
        positive=(1,),
        splits={name: draw_split(name, count, options.size, options.seed) for name, count in counts.items()},
        modality=Modality.IMAGE,
        scale=1 / 255,
        synthetic=True,
    )


def draw_split(name: SplitName, count: int, size: int, seed: int) -> Split:
    """``count`` cases of one split, with masks and the groups skin_tone and hair."""
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    masks = np.empty((count, size, size), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    tones, hairs = np.empty(count, dtype="U3"), np.empty(count, dtype="U4")
    part = list(SplitName).index(name)
    for row in range(count):
        random = np.random.default_rng([seed, part, row])
        labels[row], traits = draw_case(random)
        images[row], masks[row] = draw(traits, size, random)
        tones[row], hairs[row] = SKIN_TONES[traits.skin_tone], "hair" if traits.hairs else "none"
    ids = np.array([f"synthetic-{name.value}-{row:05d}" for row in range(count)])
    return Split(images, labels, ids, groups={"skin_tone": tones, "hair": hairs}, masks=masks)


def draw_case(random: np.random.Generator) -> tuple[int, Traits]:
    """The label (1 malignant) and the traits of one case."""
    bell = _BELL if random.random() < MALIGNANT_SHARE else -_BELL
    severity = bell + _SPREAD * random.standard_normal()
    label = int(random.random() < _sigmoid(5 * severity))
    shown = _sigmoid(1.5 * (severity + _TRAIT_NOISE * random.standard_normal(5)))
    hairs = int(random.integers(2, 8)) if random.random() < _HAIRY_SHARE else 0
    asymmetry, border, colour, diameter, structure = (float(value) for value in shown)
    tone = int(random.integers(len(SKIN_TONES)))
    return label, Traits(asymmetry, border, colour, diameter, structure, tone, hairs)


def _sigmoid(value: np.ndarray | float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.asarray(value))))


LESIONS = Source(
    "lesions", "", "synthetic skin lesions after the ABCD rule, with masks and skin tones", LesionOptions, load_lesions
)
