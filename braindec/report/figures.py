"""Panels of a unit drawn to images that stand inside the page; a panel that cannot be drawn says why in its place."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braindec import registry
from braindec.errors import BraindecError
from braindec.report.folder import Arrays, UnitRecord
from braindec.report.judge import block_keys, row_kind
from braindec.report.verdict import Verdict
from braindec.report.words import number as number_text
from braindec.report.words import row_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
_SVG_LIMIT = 90_000  # bytes: beyond it a drawing of many points is smaller as pixels
_WIDE = 6.2  # inches: wider pictures take a whole row of the page


@dataclass(frozen=True)
class Picture:
    """One figure of the page.

    Parameters
    ----------
    title, caption : str
        Above and below it.
    source : str
        A data URI; empty when it could not be drawn.
    alt : str
        What it shows, for those who cannot see it.
    width : int
        Width on the screen in px.
    wide : bool
        Takes a whole row.
    problem : str
        Why it could not be drawn.
    """

    title: str
    caption: str
    source: str = ""
    alt: str = ""
    width: int = 0
    wide: bool = False
    problem: str = ""


def draw_panels(unit: UnitRecord, *, sharp: bool = True) -> list[Picture]:
    """Draw all panels of a unit; ``sharp`` allows SVG, which is larger."""
    panels, arrays = unit.made_by.get("panels") or [], unit.arrays()
    return [draw_panel(panel, arrays, unit.label, sharp=sharp) for panel in panels]


def draw_panel(
    panel: Any, arrays: Arrays | Mapping[str, np.ndarray], label: str = "", *, sharp: bool = True
) -> Picture:
    """Draw one panel ``{"draw": name, "title": ..., "caption": ..., "args": {...}}``.

    ``"@name"`` in args stands for an array of the result.
    """
    if not isinstance(panel, dict):
        return Picture("Panel", "", problem=f"a panel must be a table with draw and args, found {panel!r:.60}")
    name = str(panel.get("draw", ""))
    title, caption = str(panel.get("title") or name.replace("_", " ")), str(panel.get("caption") or "")
    try:
        draw = registry.get("viz", name)
        figure = draw(**{str(k): fill(v, arrays) for k, v in dict(panel.get("args") or {}).items()})
        source, width, wide = encode(figure, sharp=sharp)
    except BraindecError as error:
        return Picture(title, caption, problem=str(error))
    except Exception as error:  # whatever a plug-in or an odd array does, the page is written
        return Picture(title, caption, problem=f"{name} could not be drawn: {type(error).__name__}: {error}")
    alt = f"{label}: {title}. {caption}".strip(": ").strip() if label else f"{title}. {caption}".strip()
    return Picture(title, caption, source, alt, width, wide)


def fill(value: Any, arrays: Arrays | Mapping[str, np.ndarray]) -> Any:
    """Put arrays in the place of ``"@name"``, also inside lists and tables; ``"@@text"`` stands for ``"@text"``."""
    if isinstance(value, str) and value.startswith("@@"):
        return value[1:]
    if isinstance(value, str) and value.startswith("@"):
        found = arrays[value[1:]]
        return found[()] if np.ndim(found) == 0 else found
    if isinstance(value, dict):
        return {k: fill(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, arrays) for v in value]
    return value


def encode(figure: Figure, *, sharp: bool = True) -> tuple[str, int, bool]:
    """Return a figure as a data URI, its width in px, and whether it takes a whole row: SVG when it is small, else
    PNG (or JPEG for photographs)."""
    from braindec.viz._style import style

    inches = float(figure.get_figwidth())
    with style():
        text = io.BytesIO()
        pixels = sum(image.get_array().size for ax in figure.axes for image in ax.images)
        if sharp and pixels < 40_000:
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        if 0 < len(text.getvalue()) <= _SVG_LIMIT:
            kind, content = "svg+xml", text.getvalue()
        else:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
            kind, content = _smaller(buffer.getvalue())
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return source, round(96 * inches), inches > _WIDE


def _smaller(png: bytes) -> tuple[str, bytes]:
    """Keep a PNG, with a palette where it has few colours; photographs become a JPEG when that saves half or more."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    buffer = io.BytesIO()
    if image.getcolors(maxcolors=256) is not None:
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(buffer, format="PNG", optimize=True)
        return "png", min(png, buffer.getvalue(), key=len)
    image.save(buffer, format="JPEG", quality=88, subsampling=0, optimize=True)
    return ("jpeg", buffer.getvalue()) if 2 * len(buffer.getvalue()) < len(png) else ("png", png)


def overview_picture(units: Sequence[UnitRecord], found: Verdict, group: Any) -> Picture | None:
    """Draw the score of each unit with its controls; None when there is no score."""
    if not found.judged:
        return None
    by_label = {j.label: j for j in found.judged}
    shown = [u for u in units if u.label in by_label]
    judged = [by_label[u.label] for u in shown]
    controls: dict[str, list[float]] = {}
    levels: dict[str, list[float]] = {}
    for number, unit in enumerate(shown):
        scores = unit.scores
        mine = scores[(block_keys(scores, unit.keys) == found.block) & (scores["row"].map(row_kind) == "control")]
        for name, value, chance in mine.drop_duplicates("row")[["row", "value", "chance"]].itertuples(index=False):
            if np.isfinite(chance) and abs(chance - judged[number].chance) > 0.0005:
                levels.setdefault(row_name(name), []).append(float(chance))
            controls.setdefault(row_name(name), [float("nan")] * len(shown))[number] = float(value)
    args = {
        "units": [j.label for j in judged],
        "values": [j.value for j in judged],
        "chance": [j.chance for j in judged],
        "low": [j.low for j in judged],
        "high": [j.high for j in judged],
        "above": [j.call == "above" for j in judged],
        "controls": controls,
        "n": [j.n for j in judged] if all(np.isfinite(j.n) for j in judged) else None,
        "metric": found.metric,
        "group": None if group is None else [float(group[k]) for k in ("value", "low", "high")],
    }
    words = ", ".join(f"{j.label} {j.value:.3g}" for j in judged[:12])
    caption = (
        "Points: score with its 95 % interval; filled when above chance after correction. Light marks: control rows."
    )
    for name, own in levels.items():
        ends = number_text(min(own)), number_text(max(own))
        caption += f" Chance of {name} is its own: {ends[0] if ends[0] == ends[1] else ' to '.join(ends)}."
    picture = draw_panel({"draw": "subject_scores", "title": "Scores", "caption": caption, "args": args}, {})
    return Picture(
        picture.title,
        caption,
        picture.source,
        f"{found.metric} of each unit: {words}. {caption}",
        picture.width,
        picture.wide,
        picture.problem,
    )
