"""Outlines of simple drawn things (fish, house, star, ...) as polygons, the raw material of the synthetic pictures.

A shape is a list of parts ``(role, outline)`` drawn in order. Roles are "body" (carries the texture), "second" (the
palette's second colour), "accent" and "dark". Outlines are (n, 2) in a box of -1 to 1, x to the right, y down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Part = tuple[str, np.ndarray]


def _ellipse(
    x: float, y: float, rx: float, ry: float, *, start: float = 0.0, stop: float = 1.0, n: int = 48
) -> np.ndarray:
    angle = 2 * np.pi * np.linspace(start, stop, n)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _polar(radius: Callable[[np.ndarray], np.ndarray], *, n: int = 120) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    r = radius(angle)
    return np.stack([r * np.cos(angle - np.pi / 2), r * np.sin(angle - np.pi / 2)], axis=1)


def _points(*pairs: float) -> np.ndarray:
    return np.array(pairs, dtype=float).reshape(-1, 2)


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return _points(left, top, right, top, right, bottom, left, bottom)


def ball() -> list[Part]:
    return [("body", _ellipse(0, 0, 0.85, 0.85))]


def ring() -> list[Part]:
    outer, inner = _ellipse(0, 0, 0.88, 0.88), _ellipse(0, 0, 0.42, 0.42)
    return [
        ("body", np.concatenate([outer, inner[::-1]])),
        ("second", np.concatenate([inner, _ellipse(0, 0, 0.3, 0.3)[::-1]])),
    ]


def star() -> list[Part]:
    angle = np.arange(10) * np.pi / 5 - np.pi / 2
    r = np.where(np.arange(10) % 2 == 0, 0.97, 0.42)
    return [("body", np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)), ("second", _ellipse(0, 0, 0.2, 0.2))]


def heart() -> list[Part]:
    t = np.linspace(0, 2 * np.pi, 100)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [("body", np.stack([x / 18, y / 18 - 0.05], axis=1))]


def flower() -> list[Part]:
    petals = _polar(lambda a: 0.62 + 0.32 * np.abs(np.cos(2.5 * a)), n=200)
    return [("body", petals), ("accent", _ellipse(0, 0, 0.28, 0.28)), ("second", _ellipse(0, 0, 0.13, 0.13))]


def leaf() -> list[Part]:
    t = np.linspace(-1, 1, 50)
    half = 0.48 * (1 - t**2) ** 0.75
    outline = np.concatenate([np.stack([half, t * 0.9], 1), np.stack([-half, t * 0.9], 1)[::-1]])
    veins = [
        ("second", _points(0, y, s * 0.33, y - 0.22, s * 0.3, y - 0.15, 0, y + 0.07))
        for y in (-0.15, 0.2)
        for s in (1, -1)
    ]
    return [("body", outline), ("second", _box(-0.035, -0.75, 0.035, 1.0)), *veins]


def moon() -> list[Part]:
    outer = _ellipse(0, 0, 0.9, 0.9, start=0.13, stop=0.87, n=80)
    inner = _ellipse(0.36, 0, 0.62, 0.66, start=0.17, stop=0.83, n=80)
    return [("body", np.concatenate([outer, inner[::-1]]))]


def fish() -> list[Part]:
    tail = _points(0.45, 0.0, 0.98, -0.5, 0.86, 0.0, 0.98, 0.5)
    fin = _points(-0.2, -0.4, 0.25, -0.75, 0.32, -0.32)
    eye = [("accent", _ellipse(-0.5, -0.1, 0.12, 0.12)), ("dark", _ellipse(-0.5, -0.1, 0.06, 0.06))]
    return [("second", tail), ("second", fin), ("body", _ellipse(-0.15, 0, 0.72, 0.46)), *eye]


def house() -> list[Part]:
    roof = _points(-0.92, -0.1, 0, -0.9, 0.92, -0.1)
    windows = [("accent", _box(x, 0.1, x + 0.28, 0.38)) for x in (-0.52, 0.24)]
    return [("body", _box(-0.7, -0.12, 0.7, 0.85)), ("second", roof), ("dark", _box(-0.14, 0.36, 0.14, 0.85)), *windows]


def tree() -> list[Part]:
    layers = [
        ("body", _points(0, top, w, bottom, -w, bottom))
        for top, w, bottom in ((-0.95, 0.5, -0.25), (-0.6, 0.66, 0.2), (-0.2, 0.8, 0.65))
    ]
    return [("dark", _box(-0.13, 0.6, 0.13, 0.97)), *reversed(layers)]


def mushroom() -> list[Part]:
    stem = _points(-0.22, 0.0, 0.22, 0.0, 0.3, 0.85, -0.3, 0.85)
    spots = [
        ("accent", _ellipse(x, y, r, r)) for x, y, r in ((-0.42, -0.25, 0.13), (0.05, -0.5, 0.16), (0.48, -0.2, 0.11))
    ]
    return [("second", stem), ("body", _ellipse(0, 0.08, 0.92, 0.9, start=0.5, stop=1.0)), *spots]


def cup() -> list[Part]:
    handle = np.concatenate([_ellipse(0.55, -0.05, 0.4, 0.4), _ellipse(0.55, -0.05, 0.24, 0.24)[::-1]])
    body = _points(-0.75, -0.6, 0.55, -0.6, 0.42, 0.75, -0.62, 0.75)
    return [
        ("second", handle),
        ("body", body),
        ("dark", _ellipse(-0.1, -0.6, 0.65, 0.14)),
        ("second", _box(-0.68, 0.75, 0.48, 0.85)),
    ]


def butterfly() -> list[Part]:
    wings = [("body", _ellipse(s * 0.45, -0.35, 0.48, 0.45)) for s in (-1, 1)]
    lower = [("second", _ellipse(s * 0.36, 0.38, 0.34, 0.42)) for s in (-1, 1)]
    spots = [("accent", _ellipse(s * 0.5, -0.38, 0.15, 0.15)) for s in (-1, 1)]
    return [*lower, *wings, *spots, ("dark", _ellipse(0, 0.02, 0.09, 0.68))]


def boat() -> list[Part]:
    hull = _points(-0.9, 0.35, 0.9, 0.35, 0.6, 0.85, -0.6, 0.85)
    sails = [
        ("body", _points(0.05, -0.9, 0.05, 0.22, 0.78, 0.22)),
        ("accent", _points(-0.07, -0.65, -0.07, 0.22, -0.62, 0.22)),
    ]
    return [("dark", _box(-0.05, -0.92, 0.03, 0.4)), *sails, ("second", hull)]


def cloud() -> list[Part]:
    puffs = ((-0.5, 0.15, 0.4), (0.0, -0.15, 0.52), (0.5, 0.12, 0.42))
    return [*(("body", _ellipse(x, y, r, r)) for x, y, r in puffs), ("body", _box(-0.52, 0.1, 0.52, 0.545))]


def drop() -> list[Part]:
    t = np.linspace(0, 2 * np.pi, 80)
    return [("body", np.stack([0.85 * np.sin(t) * np.sin(t / 2) ** 1.5, -0.92 * np.cos(t)], axis=1))]


def gem() -> list[Part]:
    crown = _points(-0.5, -0.65, 0.5, -0.65, 0.9, -0.15, -0.9, -0.15)
    facets = [
        ("second", _points(-0.5, -0.65, -0.25, -0.15, -0.9, -0.15)),
        ("second", _points(0.5, -0.65, 0.25, -0.15, 0.9, -0.15)),
    ]
    return [("body", _points(-0.9, -0.15, 0.9, -0.15, 0, 0.9)), ("accent", crown), *facets]


def crown() -> list[Part]:
    points = _points(-0.85, 0.6, -0.85, -0.45, -0.42, 0.05, 0, -0.75, 0.42, 0.05, 0.85, -0.45, 0.85, 0.6)
    jewels = [("accent", _ellipse(x, y, 0.12, 0.12)) for x, y in ((-0.85, -0.5), (0, -0.78), (0.85, -0.5))]
    return [("body", points), ("second", _box(-0.85, 0.42, 0.85, 0.72)), *jewels]


def bell() -> list[Part]:
    y = np.linspace(-0.8, 0.55, 40)
    half = 0.3 + 0.25 * (y + 0.8) / 1.35 + 0.25 * np.clip((y - 0.1) / 0.45, 0, 1) ** 2
    half[0] = 0.16
    outline = np.concatenate([np.stack([half, y], 1), np.stack([-half, y], 1)[::-1]])
    return [
        ("accent", _ellipse(0, 0.66, 0.17, 0.17)),
        ("body", outline),
        ("second", _box(-0.86, 0.5, 0.86, 0.64)),
        ("second", _ellipse(0, -0.82, 0.13, 0.13)),
    ]


def cactus() -> list[Part]:
    arms = [
        ("body", _box(-0.72, -0.3, -0.46, 0.25)),
        ("body", _box(-0.72, 0.05, 0, 0.3)),
        ("body", _box(0.46, -0.5, 0.72, 0.1)),
        ("body", _box(0, -0.1, 0.72, 0.14)),
    ]
    tips = [("body", _ellipse(x, y, r, r)) for x, y, r in ((0, -0.6, 0.26), (-0.59, -0.3, 0.13), (0.59, -0.5, 0.13))]
    pot = _points(-0.48, 0.5, 0.48, 0.5, 0.36, 0.95, -0.36, 0.95)
    return [
        ("body", _box(-0.26, -0.6, 0.26, 0.6)),
        *arms,
        *tips,
        ("second", pot),
        ("accent", _ellipse(0, -0.84, 0.13, 0.1)),
    ]


SHAPES: dict[str, Callable[[], list[Part]]] = {
    f.__name__: f
    for f in (ball, bell, boat, butterfly, cactus, cloud, crown, cup, drop, fish, flower, gem, heart, house, leaf, moon,
              mushroom, ring, star, tree)
}  # fmt: skip
