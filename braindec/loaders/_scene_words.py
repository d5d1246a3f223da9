"""What is said about a drawn scene: the same content in several wordings."""

from __future__ import annotations

import pandas as pd

_SHORT = {(0, 0): "at the upper left", (1, 0): "at the top", (2, 0): "at the upper right", (0, 1): "on the left", (1, 1): "in the middle",
          (2, 1): "on the right", (0, 2): "at the lower left", (1, 2): "at the bottom", (2, 2): "at the lower right"}  # fmt: skip
_LONG = {(0, 0): "in the upper left corner", (1, 0): "at the upper edge", (2, 0): "in the upper right corner",
         (0, 1): "at the left edge", (1, 1): "in the centre", (2, 1): "at the right edge", (0, 2): "in the lower left corner",
         (1, 2): "at the lower edge", (2, 2): "in the lower right corner"}  # fmt: skip


def add_captions(items: pd.DataFrame, *, room: float) -> pd.DataFrame:
    """Add ``place`` (nine words), ``caption``, ``caption_2`` and ``caption_3``.

    Parameters
    ----------
    items : DataFrame
        shape, colour, background, motion, x, y.
    room : float
        x and y lie between ``-room`` and ``room``: the words split that range in three.
    """
    said = []
    for row in items.itertuples():
        at = _third(row.x, room), _third(row.y, room)
        one = f"{_article(row.colour)} {row.colour} {row.shape}"
        moving, moves, going = ("", "", "") if row.motion == "still" else _going(row.motion)
        is_or_moves = moves or " is"
        said.append((
            _SHORT[at],
            f"{one} {_SHORT[at]}{moving}",
            f"there is {one} {_LONG[at]} of a {row.background} picture{going}",
            f"on a {row.background} background {one}{is_or_moves} {_SHORT[at]}",
        ))  # fmt: skip
    columns = ["place", "caption", "caption_2", "caption_3"]
    return items.join(pd.DataFrame(said, columns=columns, index=items.index))


def _third(place: float, room: float) -> int:
    return min(max(int((place / room + 1) * 1.5), 0), 2)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _going(motion: str) -> tuple[str, str, str]:
    where = " and ".join(f"to the {w}" if w in ("left", "right") else f"{w}wards" for w in motion.split(" and "))
    return f", moving {motion}", f" moves {where}", f", and it goes {where}"
