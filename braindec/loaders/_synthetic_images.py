"""Pictures for the synthetic cohort: small drawn scenes, their names, and features computed from their pixels.

A concept is a combination of shape, texture, palette, number and background ("blue_striped_fish"); an exemplar moves,
turns, resizes and re-tints it. Everything is drawn from a seed, so the same seed gives the same pixels.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from braindec.errors import BraindecError
from braindec.loaders._synthetic_shapes import SHAPES

PALETTES = {  # hue, saturation, value of the body; hue of the second colour
    "red": (0.99, 0.80, 0.88, 0.08), "orange": (0.075, 0.88, 0.97, 0.00), "gold": (0.13, 0.80, 0.98, 0.06),
    "lime": (0.23, 0.72, 0.82, 0.35), "green": (0.38, 0.70, 0.62, 0.16), "teal": (0.49, 0.72, 0.72, 0.58),
    "blue": (0.60, 0.74, 0.88, 0.52), "violet": (0.74, 0.58, 0.82, 0.90), "pink": (0.91, 0.52, 0.97, 0.80),
    "white": (0.58, 0.06, 0.97, 0.60), "brown": (0.06, 0.62, 0.55, 0.11),
}  # fmt: skip
TEXTURES = ("plain", "striped", "dotted", "checked", "wavy", "ringed")
BACKGROUNDS = ("sky", "meadow", "night", "sunset", "dots", "bands", "rays", "paper")
_SCALE = 3  # drawn this much larger, then reduced: smooth edges
_LAYOUTS = {1: ((0.0, 0.0),), 2: ((-0.43, -0.12), (0.43, 0.14)), 3: ((0.0, -0.46), (-0.5, 0.36), (0.5, 0.4))}
_SIZES = {1: 0.66, 2: 0.43, 3: 0.38}


@dataclass(frozen=True)
class Concept:
    """What an image shows: names into SHAPES, TEXTURES, PALETTES, BACKGROUNDS, and how many there are."""

    shape: str
    texture: str
    palette: str
    background: str
    count: int = 1

    @property
    def name(self) -> str:
        """Readable identifier such as ``blue_striped_fish``."""
        middle = () if self.texture == "plain" else (self.texture,)
        return "_".join((self.palette, *middle, self.shape))


def draw_concepts(n: int, rng: np.random.Generator) -> list[Concept]:
    """Draw ``n`` different concepts whose shapes, textures, palettes and backgrounds are spread evenly.

    Raises
    ------
    BraindecError
        If more are asked for than there are combinations.
    """
    shapes, palettes = list(SHAPES), list(PALETTES)
    most = len(shapes) * len(palettes) * len(TEXTURES)
    if not 0 < n <= most:
        raise BraindecError(f"cannot draw {n} concepts", allowed=f"1 to {most}")
    combinations = [(s, t, p) for s in range(len(shapes)) for t in range(len(TEXTURES)) for p in range(len(palettes))]
    order = rng.permutation(len(combinations))
    # each attribute's values are taken about equally often: the candidate whose values were used least comes next
    used = [np.zeros(len(shapes)), np.zeros(len(TEXTURES)), np.zeros(len(palettes))]
    free = np.array(combinations)[order]
    chosen = []
    for i in range(n):
        cost = used[0][free[:, 0]] ** 2 * 4 + used[1][free[:, 1]] ** 2 * 0.4 + used[2][free[:, 2]] ** 2
        best = int(np.argmin(cost))
        s, t, p = free[best]
        for counts, value in zip(used, (s, t, p), strict=True):
            counts[value] += 1
        free = np.delete(free, best, axis=0)
        background = BACKGROUNDS[(i * 3 + int(rng.integers(3))) % len(BACKGROUNDS)]
        count = int(rng.choice([1, 2, 3], p=[0.6, 0.2, 0.2]))
        chosen.append(Concept(shapes[s], TEXTURES[t], palettes[p], background, count))
    return chosen


def redress(concept: Concept, rng: np.random.Generator) -> Concept:
    """Return the same shape in another palette, texture, background and number (a category's exemplars)."""
    return replace(
        concept, texture=str(rng.choice(TEXTURES)), palette=str(rng.choice(list(PALETTES))),
        background=str(rng.choice(BACKGROUNDS)), count=int(rng.choice([1, 2, 3], p=[0.6, 0.2, 0.2])),
    )  # fmt: skip


def render(concept: Concept, rng: np.random.Generator, *, size: int = 128) -> np.ndarray:
    """Draw one exemplar of a concept.

    Parameters
    ----------
    concept : Concept
        What to draw.
    rng : Generator
        Draws position, size, turn, hue and phase.
    size : int
        Pixels along each side.

    Returns
    -------
    array of shape (size, size, 3), uint8
    """
    side = size * _SCALE
    hue, saturation, value, second_hue = PALETTES[concept.palette]
    hue += rng.uniform(-0.018, 0.018)
    saturation, value = saturation * rng.uniform(0.9, 1.08), value * rng.uniform(0.93, 1.03)
    canvas = _background(concept.background, size, rng).resize((side, side), Image.Resampling.BICUBIC)
    layers = _place(concept, side, rng)
    _shadow(canvas, layers, side)
    colours = {
        "body": _texture(concept.texture, concept.palette, (hue, saturation, value), size, rng).resize(
            (side, side), Image.Resampling.BICUBIC
        ),
        "second": _rgb(second_hue, min(1.0, saturation * 0.75 + 0.1), value * 0.8),
        "accent": _rgb(hue + 0.5, 0.18, 1.0),
        "dark": _rgb(hue, 0.45, 0.24),
    }
    edge = tuple(int(c * 0.45) for c in _rgb(hue, saturation, value * 0.8))
    for role, polygons in layers:
        pen = ImageDraw.Draw(canvas)
        for polygon in polygons:  # the outline goes under the fill: parts of one layer melt into one silhouette
            pen.line([*polygon, polygon[0], polygon[1]], fill=edge, width=max(2, side // 64), joint="curve")
        mask = Image.new("L", (side, side))
        draw = ImageDraw.Draw(mask)
        for polygon in polygons:
            draw.polygon(polygon, fill=255)
        canvas.paste(colours[role], (0, 0, side, side) if isinstance(colours[role], tuple) else (0, 0), mask)
        if role == "body":
            canvas.paste((255, 255, 255), (0, 0, side, side), ImageChops.multiply(mask, _light(side)))
    return np.asarray(canvas.resize((size, size), Image.Resampling.LANCZOS))


def _place(concept: Concept, side: int, rng: np.random.Generator) -> list[tuple[str, list[list[tuple[float, float]]]]]:
    """Turn, size and place each object; parts of the same role and order are joined over objects."""
    parts = SHAPES[concept.shape]()
    layers: list[tuple[str, list]] = []
    for role, _ in parts:
        if not layers or layers[-1][0] != role:
            layers.append((role, []))
    for place in _LAYOUTS[concept.count]:
        scale = _SIZES[concept.count] * rng.uniform(0.86, 1.12)
        angle = rng.uniform(-0.26, 0.26)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array(place) + rng.uniform(-0.1, 0.1, size=2) * (1.6 if concept.count == 1 else 0.7)
        at = -1
        last = None
        for role, outline in parts:
            at += role != last
            last = role
            pixels = (outline @ turn.T + middle + 1) * side / 2
            layers[at][1].append([(float(x), float(y)) for x, y in pixels])
    return layers


def _shadow(canvas: Image.Image, layers: list, side: int) -> None:
    small = side // 4  # blurred small: the eye sees no difference, the clock does
    mask = Image.new("L", (small, small))
    draw = ImageDraw.Draw(mask)
    for _, polygons in layers:
        for polygon in polygons:
            draw.polygon([(x / 4 + small * 0.025, y / 4 + small * 0.04) for x, y in polygon], fill=110)
    mask = mask.filter(ImageFilter.GaussianBlur(small / 40)).resize((side, side), Image.Resampling.BILINEAR)
    canvas.paste((18, 16, 30), (0, 0, side, side), mask)


@lru_cache(maxsize=4)
def _light(side: int) -> Image.Image:
    """How much white a light from the upper left adds."""
    x, y = _grid(side)
    return Image.fromarray(np.uint8(80 * np.clip(1 - np.hypot(x + 0.5, y + 0.7) / 1.3, 0, 1)))


@lru_cache(maxsize=8)
def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    r, g, b = hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return int(255 * r), int(255 * g), int(255 * b)


def _blend(low: tuple[int, int, int], high: tuple[int, int, int], weight: np.ndarray) -> Image.Image:
    """Mix two colours with a weight of 0 to 1 a pixel, shape (side, side)."""
    a, b = np.array(low, np.float32), np.array(high, np.float32)
    return Image.fromarray(np.uint8(a + (b - a) * np.clip(weight, 0, 1)[:, :, None] + 0.5))


def _step(field: np.ndarray, width: float) -> np.ndarray:
    """A soft step at 0, about ``width`` wide: an edge without staircase."""
    return np.clip(field / width + 0.5, 0, 1)


def _texture(
    name: str, palette: str, hsv: tuple[float, float, float], size: int, rng: np.random.Generator
) -> Image.Image:
    hue, saturation, value = hsv
    main = _rgb(hue, saturation, value)
    light = PALETTES[palette][2] < 0.8  # a dark body gets a light pattern, a light body a dark one
    other = (
        _rgb(hue + 0.03, saturation * 0.45, 1.0) if light else _rgb(hue - 0.03, min(saturation + 0.12, 1), value * 0.6)
    )
    x, y = _grid(size)
    angle, phase, period = rng.uniform(-0.35, 0.35), rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.26)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    wave, soft = 2 * np.pi / period, 0.5
    if name == "plain":
        field = np.zeros_like(x)
    elif name == "striped":
        field = _step(np.sin(wave * u + phase), soft)
    elif name == "wavy":
        field = _step(np.sin(wave * (v + 0.07 * np.sin(9 * u)) + phase), soft)
    elif name == "checked":
        field = _step(np.sin(0.8 * wave * u + phase) * np.sin(0.8 * wave * v + phase), soft / 2)
    elif name == "dotted":
        field = _step(np.sin(0.8 * wave * u + phase) * np.sin(0.8 * wave * v) - 0.45, soft / 2)
    elif name == "ringed":
        field = _step(np.sin(wave * np.hypot(u - 0.1, v + 0.15) + phase), soft)
    else:
        raise BraindecError(f"there is no texture {name!r}", allowed=", ".join(TEXTURES))
    return _blend(main, other, field)


def _background(name: str, size: int, rng: np.random.Generator) -> Image.Image:
    x, y = _grid(size)
    tint, shift = rng.uniform(-0.02, 0.02), rng.uniform(-0.08, 0.08)
    down = (y + 1) / 2
    if name == "sky":
        return _blend(_rgb(0.57 + tint, 0.42, 0.92), _rgb(0.55 + tint, 0.10, 0.99), down)
    if name == "meadow":
        horizon = _step(y - 0.3 - shift - 0.06 * np.sin(3 * x + 9 * shift), 0.03)
        sky, grass = (
            np.asarray(_blend(_rgb(0.56, 0.25, 0.95), _rgb(0.14, 0.12, 1.0), down)),
            _rgb(0.27 + tint, 0.45, 0.68),
        )
        return Image.fromarray(np.uint8(sky * (1 - horizon[:, :, None]) + np.array(grass) * horizon[:, :, None]))
    if name == "night":
        canvas = _blend(_rgb(0.66 + tint, 0.72, 0.20), _rgb(0.70 + tint, 0.55, 0.42), down)
        draw = ImageDraw.Draw(canvas)
        for px, py in rng.integers(2, size - 2, size=(22, 2)).tolist():
            draw.point((px, py), fill=(225, 225, 245))
        return canvas
    if name == "sunset":
        return _blend(_rgb(0.86 + tint, 0.42, 0.62), _rgb(0.085 + tint, 0.52, 1.0), down + shift)
    if name == "dots":
        field = _step(np.sin(11 * (x + y) + 9 * shift) * np.sin(11 * (x - y)) - 0.55, 0.3)
        return _blend(_rgb(0.12 + tint, 0.16, 0.98), _rgb(0.03 + tint, 0.30, 0.94), field)
    if name == "bands":
        return _blend(
            _rgb(0.47 + tint, 0.22, 0.93),
            _rgb(0.50 + tint, 0.36, 0.80),
            _step(np.sin(8 * (x * 0.5 + y) + 20 * shift), 0.25),
        )
    if name == "rays":
        field = _step(np.sin(14 * np.arctan2(y - shift, x + shift)), 0.25) * np.clip(np.hypot(x, y) * 1.5, 0, 1)
        return _blend(_rgb(0.78 + tint, 0.12, 0.97), _rgb(0.76 + tint, 0.28, 0.88), field)
    if name == "paper":
        return _blend(_rgb(0.11 + tint, 0.07, 0.95), _rgb(0.09 + tint, 0.14, 0.84), np.hypot(x, y) / 1.5)
    raise BraindecError(f"there is no background {name!r}", allowed=", ".join(BACKGROUNDS))
