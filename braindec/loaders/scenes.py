"""Drawn scenes: one coloured object a picture, still or moving, with everything that is shown in the table.

Shape, colour, background and (in films) direction of motion are crossed, each combination equally often; place, size, turn
and shade are drawn independently of them, so that pictures of one category differ and no factor gives another one away.
All shapes cover the same area. The same seed gives the same bytes.

Directions are those of pictures: x to the right, y down, from -1 to 1 between the edges of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._scene_shapes import REACH, SHAPES, coverage, moved
from braindec.loaders._scene_words import add_captions
from braindec.types import Features, Pictures
from braindec.types.signals import as_signal

__all__ = ["BACKGROUNDS", "COLOURS", "DIRECTIONS", "scene_features", "scene_flow", "scene_masks", "scene_pictures"]

COLOURS = {"red": 0.0, "green": 0.36, "blue": 0.62, "yellow": 0.155, "purple": 0.79, "orange": 0.075, "cyan": 0.5, "pink": 0.9}  # fmt: skip
BACKGROUNDS = {"dark": 0.12, "light": 0.86}
DIRECTIONS = {  # degrees, 0 to the right, counter-clockwise as seen
    "right": 0.0, "left": 180.0, "up": 90.0, "down": 270.0,
    "right and up": 45.0, "left and down": 225.0, "left and up": 135.0, "right and down": 315.0,
}  # fmt: skip
_CONCEPTS = {"object": ("colour", "shape"), "shape": ("shape",), "colour": ("colour",), "motion": ("motion",)}
_HUE, _TURN, _LEVEL = 0.022, 20.0, 0.05  # half ranges of hue, turn (degrees) and background around their category
_PAINT = ("shape", "x", "y", "radius", "angle", "red", "green", "blue", "level")


def scene_pictures(
    n: int = 400, *, size: int = 32, seed: int = 0, film: bool = False, shapes: int | Sequence[str] = 4,
    colours: int | Sequence[str] = 4, directions: int | Sequence[str] = 4, backgrounds: Sequence[str] = ("dark", "light"),
    radius: tuple[float, float] | None = None, concept: str = "object", n_frames: int = 6, frame_rate: float = 8.0,
    speed: float | tuple[float, float] | None = None, prefix: str = "scene",
) -> Pictures:  # fmt: skip
    """Draw scenes.

    Parameters
    ----------
    n : int
        Scenes. Combinations of shape, colour, background and direction come equally often when ``n`` is a multiple of
        their number, else as equally as can be.
    size : int
        Pixels a side, 8 to 256.
    seed : int
        Same seed, same bytes.
    film : bool
        Films of ``n_frames`` frames at ``frame_rate`` Hz in which the object moves.
    shapes, colours, directions : int or sequence of str
        Names of ``SHAPES``, :data:`COLOURS` and :data:`DIRECTIONS`, or how many of them.
    backgrounds : sequence of str
        Names of :data:`BACKGROUNDS`.
    radius : (float, float), optional
        Range of the radius of the disc with the object's area, in picture sides; .13 to .19 for pictures, .10 to .15
        for films.
    concept : {"object", "shape", "colour", "motion"}
        What ``concept_id`` is: "object" is colour and shape ("red-star").
    n_frames : int
        Frames a film.
    frame_rate : float
        Hz.
    speed : float or (float, float), optional
        Pixels a frame, or the range to draw it from; ``size`` / 42 to ``size`` / 21 by default.
    prefix : str
        ``stimulus_id`` is ``<prefix>-0000``, ...

    Returns
    -------
    Pictures of shape (n, [n_frames,] size, size, 3), uint8
        ``items`` has stimulus_id, concept_id, shape, colour, background; x, y (middle of the object, in films of its path;
        -1 to 1), radius (picture sides), angle (degrees), hue, red, green, blue, level (of the background); motion
        ("still" or a direction), direction (degrees), speed, dx, dy (pixels a frame); place, caption, caption_2 and
        caption_3 (the same in other words).

    Raises
    ------
    BraindecError
        If a name is unknown, a number makes no sense, or an object does not fit into the picture.
    """
    _check(n, size, n_frames, frame_rate, concept, film)
    check_seed(seed)
    levels = {"shape": _names("shapes", shapes, SHAPES), "colour": _names("colours", colours, COLOURS),
              "background": _names("backgrounds", backgrounds, BACKGROUNDS)}  # fmt: skip
    if film:
        levels["motion"] = _names("directions", directions, DIRECTIONS)
    ranges = _ranges(size, radius, speed, n_frames if film else None)
    items = _balanced(n, levels, np.random.default_rng([seed, 71]))
    items = _vary(items, ranges, film, np.random.default_rng([seed, 72]))
    items.insert(0, "stimulus_id", [f"{prefix}-{i:04d}" for i in range(n)])
    items.insert(1, "concept_id", items[list(_CONCEPTS[concept])].agg("-".join, axis=1))
    items = add_captions(items, room=ranges["room"])
    info = {"dataset": "drawn scenes", "seed": seed, "levels": levels, **ranges}
    values = _draw(items, size, n_frames if film else None)
    return Pictures(values, items, float(frame_rate) if film else None, info)


def scene_masks(pictures: Pictures) -> np.ndarray:
    """Return how much of each pixel the object covers, (n, [frame,] height, width) float32 of 0 to 1.

    Raises
    ------
    BraindecError
        If the pictures are no drawn scenes.
    """
    items, n_frames = check_scenes(pictures), pictures.shape[1] if pictures.is_film else None
    frames = [np.stack(_masks(row, pictures.size[0], n_frames)) for row in items.itertuples()]
    masks = np.stack(frames)
    return masks if pictures.is_film else masks[:, 0]


def scene_flow(pictures: Pictures) -> np.ndarray:
    """Return the true optical flow of films: where each pixel of a frame is in the next one.

    Returns
    -------
    array of shape (n, n_frames - 1, height, width, 2), float32
        (to the right, down) in pixels a frame; 0 outside the object (pixels that it covers by less than half).

    Raises
    ------
    BraindecError
        If the pictures are no films of drawn scenes.
    """
    items = check_scenes(pictures)
    if not pictures.is_film:
        raise BraindecError("pictures that do not move have no optical flow", found=repr(pictures), fix="film=True")
    inside = scene_masks(pictures)[:, :-1] >= 0.5
    steps = items[["dx", "dy"]].to_numpy(np.float32)
    return inside[..., None] * steps[:, None, None, None, :]


def scene_features(pictures: Pictures) -> Features:
    """Describe scenes by what was drawn: shape, colour, background and direction one-hot, the rest in its own range.

    Returns
    -------
    Features of shape (n, n_units)
        ``units.component`` is shape, colour, background, position, size, turn, hue or motion. One-hot units are 1 or 0 less
        the share of their level; continuous ones have about unit variance. Nothing is estimated from the pictures.

    Raises
    ------
    BraindecError
        If the pictures are no drawn scenes.
    """
    items, levels = check_scenes(pictures), pictures.info["levels"]
    columns: list[tuple[str, str, np.ndarray]] = []
    for factor, names in levels.items():
        for name in names if len(names) > 1 else ():
            columns.append((factor, f"{factor} {name}", (items[factor] == name) - 1 / len(names)))
    low, high = pictures.info["radius"]
    spread = pictures.info["room"] / np.sqrt(3)
    columns += [("position", axis, items[axis] / spread) for axis in ("x", "y")]
    columns.append(("size", "radius", (items["radius"] - (low + high) / 2) * np.sqrt(12) / max(high - low, 1e-6)))
    columns.append(("turn", "angle", items["angle"] / (_TURN / np.sqrt(3))))
    around = (items["hue"] - items["colour"].map(COLOURS) + 0.5) % 1 - 0.5
    columns.append(("hue", "hue within colour", around / (_HUE / np.sqrt(3))))
    if pictures.is_film:
        step = max(float(np.mean(pictures.info["speed"])), 1e-6) / np.sqrt(2)
        columns += [("motion", axis, items[axis] / step) for axis in ("dx", "dy")]
    values = np.stack([np.asarray(c[2], dtype=np.float32) for c in columns], axis=1)
    units = pd.DataFrame({"name": [c[1] for c in columns], "component": [c[0] for c in columns]})
    return Features(as_signal(values), items, units, {"model": "what was drawn", "made_by": "braindec.loaders.scenes"})


def _names(what: str, asked: int | Sequence[str], known: dict) -> list[str]:
    if isinstance(asked, (int, np.integer)) and not isinstance(asked, bool):
        if not 1 <= asked <= len(known):
            raise BraindecError(f"scenes cannot have {asked} {what}", allowed=f"1 to {len(known)}: {', '.join(known)}")
        return list(known)[:asked]
    if isinstance(asked, bool) or not isinstance(asked, (str, Sequence, np.ndarray)):
        raise BraindecError(f"{what} of scenes: how many, or their names", found=repr(asked), allowed=", ".join(known))
    names = [asked] if isinstance(asked, str) else list(asked)
    unknown = [n for n in names if n not in known]
    if unknown or not names or len(set(names)) < len(names):
        wrong = (
            f"{unknown[0]!r} is unknown{did_you_mean(str(unknown[0]), known)}"
            if unknown
            else "none, or one comes twice"
        )
        raise BraindecError(f"{what} of scenes: {wrong}", found=str(names), allowed=", ".join(known))
    return names


def _check(n: int, size: int, n_frames: int, frame_rate: float, concept: str, film: bool) -> None:
    whole = all(isinstance(k, (int, np.integer)) for k in (n, size, *([n_frames] if film else [])))
    rate = not film or (isinstance(frame_rate, Real) and frame_rate > 0)
    if not whole or not rate or n < 1 or not 8 <= size <= 256 or (film and n_frames < 2):
        raise BraindecError(
            "scenes need sensible numbers", found=f"n={n}, size={size}, n_frames={n_frames}, frame_rate={frame_rate}",
            allowed="whole numbers n >= 1, size 8 to 256, n_frames >= 2; frame_rate > 0",
        )  # fmt: skip
    if concept not in _CONCEPTS or (concept == "motion" and not film):
        near = did_you_mean(concept, _CONCEPTS) if concept not in _CONCEPTS else ": these pictures do not move"
        raise BraindecError(f"concept={concept!r} cannot be{near}",
                            allowed="object, shape, colour, and motion for films")  # fmt: skip


def _ranges(
    size: int, radius: tuple[float, float] | None, speed: float | tuple[float, float] | None, n_frames: int | None
) -> dict[str, Any]:
    """What is drawn from: radius (sides), speed (pixels a frame), and the largest x and y at which every object fits."""
    low, high = _range("radius", (0.13, 0.19) if n_frames is None else (0.10, 0.15), radius)
    slow, fast = _range("speed", (size / 42, size / 21), speed)
    path = float(fast) * (n_frames - 1) / size if n_frames is not None else 0.0
    room = 0.5 - REACH * high - path / 2
    if not 0 < low <= high or not 0 <= slow <= fast or room <= 0:
        raise BraindecError(
            "the objects of the scenes do not fit into the picture",
            found=f"radius {low:g} to {high:g} of a side, a path of {path:.2g} sides",
            allowed=f"0 < radius, 0 <= speed, {REACH} radius + half the path below .5 sides",
            fix="make the object smaller, slower, or the film shorter",
        )
    return {"radius": [float(low), float(high)], "speed": [float(slow), float(fast)], "room": 2 * room}


def _range(name: str, usual: tuple[float, float], given: Any) -> tuple[float, float]:
    """Lowest and highest value: those given, one number for both, or the usual ones."""
    pair = usual if given is None else tuple(given) if isinstance(given, (list, tuple, np.ndarray)) else (given, given)
    if len(pair) != 2 or not all(isinstance(v, Real) for v in pair):
        raise BraindecError(f"{name} of scenes: a number, or the lowest and the highest", found=repr(given))
    return float(pair[0]), float(pair[1])


def check_seed(seed: Any) -> None:
    """Refuse a seed that numpy cannot take."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise BraindecError("the seed must be a whole number", found=repr(seed), allowed="0 or more")


def _vary(items: pd.DataFrame, ranges: dict[str, Any], film: bool, rng: np.random.Generator) -> pd.DataFrame:
    """Draw what varies within a category: place, size, turn, shade, level of the background, speed."""
    n, (low, high), (slow, fast) = len(items), ranges["radius"], ranges["speed"]
    items["x"], items["y"] = ranges["room"] * rng.uniform(-1, 1, (2, n))
    items["radius"], items["angle"] = rng.uniform(low, high, n), rng.uniform(-_TURN, _TURN, n)
    items["hue"] = (items["colour"].map(COLOURS) + rng.uniform(-_HUE, _HUE, n)) % 1
    shade = np.stack([items["hue"], rng.uniform(0.75, 0.95, n), rng.uniform(0.8, 0.98, n)], axis=1)
    items[["red", "green", "blue"]] = np.array([hsv_to_rgb(*row) for row in shade])
    items["level"] = items["background"].map(BACKGROUNDS) + rng.uniform(-_LEVEL, _LEVEL, n)
    if not film:
        return items.assign(motion="still", direction=np.nan, speed=0.0, dx=0.0, dy=0.0)
    items["direction"], items["speed"] = items["motion"].map(DIRECTIONS), rng.uniform(slow, fast, n)
    turn = np.deg2rad(items["direction"])  # rounded: up is exactly up
    items["dx"] = items["speed"] * np.round(np.cos(turn), 12)
    items["dy"] = -items["speed"] * np.round(np.sin(turn), 12)
    return items


def _balanced(n: int, levels: dict[str, list[str]], rng: np.random.Generator) -> pd.DataFrame:
    """Draw combinations of levels, each equally often.

    Of a remainder the levels of each factor, and the pairs of shape and colour, come within one of equally often; other
    pairs, and whole combinations, as evenly as can be.
    """
    counts = [len(names) for names in levels.values()]
    every = np.stack(np.unravel_index(np.arange(int(np.prod(counts))), counts), axis=1)
    whole, rest = divmod(n, len(every))
    first, second = counts[:2]
    j = np.arange(rest) % (first * second)
    pairs = np.stack([j % first, (j + j // np.lcm(first, second)) % second], axis=1)  # each once before any comes again
    others = np.stack([g.ravel() for g in np.meshgrid(*map(np.arange, counts[2:]), indexing="ij")], axis=1)
    names = [rng.permutation(c) for c in counts]  # which level is the 0th is chance
    used: dict[tuple, np.ndarray] = {}
    chosen = []
    for pair in pairs:
        cells = np.column_stack([np.tile(pair, (len(others), 1)), others])[rng.permutation(len(others))]
        groups = [(1e4, (a,)) for a in range(2, len(counts))] + [(1.0, tuple(range(len(counts))))]
        groups += [(10.0, (a, b)) for b in range(2, len(counts)) for a in range(b)]
        cost = sum(w * used.setdefault(g, np.zeros([counts[a] for a in g]))[tuple(cells[:, g].T)] for w, g in groups)
        cell = cells[int(np.argmin(cost))]
        for _, g in groups:
            used[g][tuple(cell[list(g)])] += 1
        chosen.append(cell)
    drawn = np.concatenate([np.tile(every, (whole, 1)), np.array(chosen, dtype=int).reshape(-1, len(counts))])
    drawn = drawn[rng.permutation(n)]
    return pd.DataFrame({
        name: np.array(values, dtype=object)[names[i][drawn[:, i]]] for i, (name, values) in enumerate(levels.items())
    })  # fmt: skip


def check_scenes(pictures: Pictures) -> pd.DataFrame:
    """Return the table of drawn scenes; other pictures are refused."""
    if not isinstance(pictures, Pictures):
        raise BraindecError("drawn scenes are Pictures", found=type(pictures).__name__,
                            fix="make them with braindec.loaders.scenes.scene_pictures")  # fmt: skip
    missing = [c for c in (*_PAINT, "dx", "dy", "colour") if c not in pictures.items]
    if missing or "levels" not in pictures.info:
        raise BraindecError("these pictures are no drawn scenes", found=f"no column {', '.join(missing[:4])}" if missing else "no info['levels']",
                            fix="make them with braindec.loaders.scenes.scene_pictures")  # fmt: skip
    return pictures.items


def _masks(row: Any, size: int, n_frames: int | None) -> list[np.ndarray]:
    """Coverage in each frame. Whole pixels are shifts of one drawing: a step of 1 pixel moves every pixel by exactly 1."""
    frames = n_frames or 1
    start = [(place + 1) / 2 * size - (frames - 1) / 2 * step for place, step in ((row.x, row.dx), (row.y, row.dy))]
    drawn: dict[tuple[float, float], np.ndarray] = {}
    out = []
    for t in range(frames):
        whole = [int(np.floor(t * step + 1e-9)) for step in (row.dx, row.dy)]
        part = tuple(round(t * step - w, 9) for step, w in zip((row.dx, row.dy), whole, strict=True))
        if part not in drawn:  # with a margin of one pixel, where the drawing may lie before it is shifted
            centre = tuple(s + p + 1 for s, p in zip(start, part, strict=True))
            drawn[part] = coverage(row.shape, centre, radius=row.radius * size, angle=row.angle, size=size + 2)
        out.append(moved(drawn[part], *whole)[1:-1, 1:-1])
    return out


def _draw(items: pd.DataFrame, size: int, n_frames: int | None) -> np.ndarray:
    frames = n_frames or 1
    out = np.empty((len(items), frames, size, size, 3), np.uint8)
    for i, row in enumerate(
        tqdm(items.itertuples(), total=len(items), desc="drawing scenes", disable=None, leave=False)
    ):
        paint, ground = np.array([row.red, row.green, row.blue]), float(row.level)
        for t, mask in enumerate(_masks(row, size, n_frames)):
            out[i, t] = np.round(255 * (ground + mask[..., None] * (paint - ground)))
    return out if n_frames else out[:, 0]
