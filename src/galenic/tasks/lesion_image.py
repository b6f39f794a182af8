"""Draw one synthetic skin lesion from its traits, the way a dermoscope would show it.

The traits follow the ABCD rule of dermoscopy (Stolz et al., 1994): asymmetry, border, colour, and dermoscopic
structures with the diameter. Pigment absorbs light by Beer and Lambert's law on the skin's own colour:

    rgb = skin * exp(-melanin * (0.55, 0.95, 1.15))        melanin (height, width), in units of optical depth

so that the same lesion has less contrast on darker skin. Coordinates run from -1 to 1 over the image. All fields are
(side, side) float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_ABSORPTION = np.array([0.55, 0.95, 1.15], dtype=np.float32)
_SKIN_TONES = np.array(  # sRGB of Fitzpatrick's types I to VI, by eye
    [
        [0.94, 0.80, 0.74],
        [0.90, 0.73, 0.63],
        [0.82, 0.63, 0.51],
        [0.70, 0.50, 0.38],
        [0.54, 0.37, 0.27],
        [0.38, 0.26, 0.19],
    ],
    dtype=np.float32,
)
_RED = np.array([0.74, 0.30, 0.28], dtype=np.float32)
_BLUE_GREY = np.array([0.42, 0.46, 0.56], dtype=np.float32)
_PALE = np.array([0.86, 0.76, 0.73], dtype=np.float32)


@dataclass(frozen=True)
class Traits:
    """What is drawn; the first five in [0, 1], none of them a label.

    Attributes:
        asymmetry: of the outline and of the pigment.
        border: irregularity and abrupt ends of the outline.
        colour: how many colours, how unevenly.
        diameter: of the lesion.
        structure: irregular network, globules, streaks.
        skin_tone: 0 to 5, Fitzpatrick I to VI.
        hairs: how many cross the image.
    """

    asymmetry: float
    border: float
    colour: float
    diameter: float
    structure: float
    skin_tone: int
    hairs: int


@dataclass(frozen=True)
class Canvas:
    """What all images of one size share: coordinates, and the bases of smooth noise by their number of bumps."""

    axis: np.ndarray
    x: np.ndarray
    y: np.ndarray
    bases: dict[int, np.ndarray]


@lru_cache(maxsize=4)
def canvas(side: int) -> Canvas:
    """The canvas of a side in pixels."""
    axis = ((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return Canvas(axis, x, y, {bumps: _basis(axis, bumps) for bumps in (4, 7, 14)})


def draw(traits: Traits, side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(side, side, 3) uint8 image and (side, side) uint8 mask of the lesion, 1 inside."""
    paper = canvas(side)
    skin = _skin(traits, paper, random)
    distance, cosine = _outline(traits, paper, random)
    melanin = _melanin(traits, paper, distance, cosine, random)
    lesion = skin * np.exp(-melanin[..., None] * _ABSORPTION)
    lesion = _patches(traits, paper, lesion, random)
    softness = 0.05 + 0.11 * (1 - traits.border) * random.uniform(0.6, 1.2)
    alpha = _sigmoid((1 - distance) / np.float32(softness))[..., None]
    image = skin + (lesion - skin) * alpha
    image = _hairs(traits.hairs, paper, image, random)
    image = _light(paper, image, random)
    image += random.standard_normal(image.shape, dtype=np.float32) * np.float32(random.uniform(0.008, 0.025))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), (distance < 1).astype(np.uint8)


def _skin(traits: Traits, paper: Canvas, random: np.random.Generator) -> np.ndarray:
    """The tone, with large blotches, fine relief and a little redness."""
    tone = _SKIN_TONES[traits.skin_tone] * random.normal(1, 0.035, 3).astype(np.float32)
    relief = 1 + 0.03 * _noise(paper, 4, random) + 0.02 * _noise(paper, 14, random)
    skin: np.ndarray = relief[..., None] * tone
    skin[..., 0] += 0.012 * _noise(paper, 7, random)
    return skin


def _outline(traits: Traits, paper: Canvas, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the centre in units of the outline's radius there (1 on the outline), and cos of the angle.

    radius(angle) = r0 * (1 + sum_k a_k cos(k angle + phase_k)), low k from asymmetry, middle from border, high streaks.
    """
    turn = random.uniform(0, 2 * np.pi)
    centre = random.uniform(-0.14, 0.14, 2)
    x, y = paper.x - np.float32(centre[0]), paper.y - np.float32(centre[1])
    u, v = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    v *= 1 + random.uniform(0, 0.25) + 0.25 * traits.asymmetry
    u, v = u.astype(np.float32), v.astype(np.float32)
    length = np.sqrt(u * u + v * v) + np.float32(1e-4)
    unit = ((u + 1j * v) / length).astype(np.complex64)
    amplitudes = np.zeros(12)
    amplitudes[2:4] = 0.01 + 0.15 * traits.asymmetry * random.uniform(0.5, 1.0, 2)
    amplitudes[4:9] = 0.006 + 0.062 * traits.border * random.uniform(0.3, 1.0, 5)
    phases = np.exp(1j * random.uniform(0, 2 * np.pi, 12))
    wave, power = np.ones_like(length), unit.copy()
    for k in range(2, 9):
        power = power * unit
        wave += (power * np.complex64(amplitudes[k] * phases[k])).real
    sector = np.clip((unit * np.complex64(phases[0])).real, 0, 1)  # streaks leave one side of the rim
    wave += np.float32(0.16 * traits.structure**2) * sector * np.clip((power * power).real, 0, 1)
    radius = 0.42 + 0.24 * traits.diameter + random.normal(0, 0.04)
    return length / (np.float32(radius) * np.maximum(wave, np.float32(0.3))), unit.real


def _melanin(
    traits: Traits, paper: Canvas, distance: np.ndarray, cosine: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Optical depth: a dome, unevenness, one heavier side, network lines and globules."""
    depth = random.uniform(0.55, 1.0) + 0.25 * traits.colour
    melanin = depth * (0.75 + 0.35 * np.clip(1 - distance, 0, 1))
    melanin += 0.10 * _noise(paper, 7, random) + 0.55 * traits.colour * _noise(paper, 4, random)
    melanin += np.float32(0.35 * traits.asymmetry) * cosine * np.minimum(distance, 1)
    melanin += _network(traits, paper, random) + _globules(traits, paper, random)
    bounded: np.ndarray = np.clip(melanin, 0.05, 3.2)
    return bounded.astype(np.float32)


def _network(traits: Traits, paper: Canvas, random: np.random.Generator) -> np.ndarray:
    """A net of pigment lines: even and thin, or (atypical) warped, patchy and dark."""
    turn, pitch = random.uniform(0, np.pi), random.uniform(16, 22)
    warp = np.float32(0.5 + 1.5 * traits.structure)
    u = np.float32(pitch) * (paper.x * np.cos(turn) + paper.y * np.sin(turn)) + warp * _noise(paper, 7, random)
    v = np.float32(pitch) * (paper.y * np.cos(turn) - paper.x * np.sin(turn)) + warp * _noise(paper, 7, random)
    lines = np.maximum(np.abs(np.cos(u.astype(np.float32))), np.abs(np.cos(v.astype(np.float32)))) ** 4
    patchy = np.clip(1 + 1.2 * traits.structure * _noise(paper, 4, random), 0, 2.5)
    strength = random.uniform(0.04, 0.20) + 0.2 * traits.structure
    net: np.ndarray = np.float32(strength) * patchy * (lines - 0.4)
    return net


def _globules(traits: Traits, paper: Canvas, random: np.random.Generator) -> np.ndarray:
    """Dark dots, more of them and less alike with ``structure``; a sum of Gaussians, as one product of matrices."""
    number = random.poisson(3 + 9 * traits.structure)
    if number == 0:
        return np.zeros_like(paper.x)
    reach = 0.28 + 0.3 * traits.structure
    at = random.normal(0, reach, (2, number))
    size = 0.05 * np.exp(random.normal(0, 0.15 + 0.45 * traits.structure, number))
    dark = random.uniform(0.2, 0.5 + 0.5 * traits.structure, number)
    rows = np.exp(-(((paper.axis[:, None] - at[0]) / size) ** 2)) * dark
    columns = np.exp(-(((paper.axis[:, None] - at[1]) / size) ** 2))
    dots: np.ndarray = (rows @ columns.T).astype(np.float32)
    return dots


def _patches(traits: Traits, paper: Canvas, lesion: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Red, blue-grey and pale areas, as far as ``colour`` has them, dimmer on darker skin."""
    dim = 0.3 + 0.7 * float(_SKIN_TONES[traits.skin_tone].mean() / _SKIN_TONES[0].mean())
    for tint, reach in ((_RED, 0.8), (_BLUE_GREY, 1.0), (_PALE, 0.7)):
        weight = reach * traits.colour * random.uniform(0.3, 1.0)
        area = np.float32(weight) * _sigmoid(8 * (_noise(paper, 4, random) - np.float32(1.2 - 0.5 * traits.colour)))
        lesion = lesion + (tint * np.float32(dim * random.uniform(0.75, 1.0)) - lesion) * area[..., None]
    return lesion


def _hairs(number: int, paper: Canvas, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Thin, slightly bent, dark lines."""
    for _ in range(number):
        turn, offset, bend = random.uniform(0, np.pi), random.uniform(-0.9, 0.9), random.normal(0, 0.25)
        cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        along = paper.x * cosine + paper.y * sine
        across = paper.y * cosine - paper.x * sine - np.float32(offset) - np.float32(bend) * along * along
        width = np.float32(max(random.uniform(0.012, 0.026), 0.6 / len(paper.axis)))
        ink = np.float32(random.uniform(0.45, 0.9)) * np.exp(-((across / width) ** 2))
        image = image * (1 - ink[..., None] * np.float32(0.92))
    return image


def _light(paper: Canvas, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exposure, a slope, white balance, and the dark corners of the lens."""
    slope = random.normal(0, 0.05, 2).astype(np.float32)
    light = np.float32(random.uniform(0.88, 1.08)) + slope[0] * paper.x + slope[1] * paper.y
    square = paper.x * paper.x + paper.y * paper.y
    light -= np.float32(random.uniform(0, 0.10)) * square
    if random.random() < 0.2:
        light *= _sigmoid((np.float32(random.uniform(1.1, 1.4)) - np.sqrt(square)) / np.float32(0.03))
    balance = random.normal(1, 0.02, 3).astype(np.float32)
    lit: np.ndarray = image * light[..., None] * balance
    return lit


def _basis(axis: np.ndarray, bumps: int) -> np.ndarray:
    """(side, bumps) Gaussians whose rows have unit length, so that noise built on them has unit variance everywhere."""
    centres = np.linspace(-1.1, 1.1, bumps)
    spread = 1.0 * (centres[1] - centres[0])
    basis = np.exp(-(((axis[:, None] - centres) / spread) ** 2))
    unit: np.ndarray = (basis / np.linalg.norm(basis, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _noise(paper: Canvas, bumps: int, random: np.random.Generator) -> np.ndarray:
    """A smooth field of unit variance with about ``bumps`` bumps a side."""
    basis = paper.bases[bumps]
    field: np.ndarray = basis @ random.standard_normal((bumps, bumps), dtype=np.float32) @ basis.T
    return field


def _sigmoid(value: np.ndarray) -> np.ndarray:
    result: np.ndarray = 0.5 + 0.5 * np.tanh(0.5 * value)
    return result
