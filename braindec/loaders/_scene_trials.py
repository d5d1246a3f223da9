"""What is shown when: the trials of one subject who looks at drawn scenes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Pictures

_PAINT = {"radius", "angle", "hue", "red", "green", "blue", "level", "direction", "dx", "dy", "place", "caption", "caption_2", "caption_3"}  # fmt: skip


def subject_number(subject: str) -> int:
    """A number of a subject's name, to draw the subject's own brain from."""
    return zlib.crc32(str(subject).encode())


def plan(
    pictures: Pictures, *, subject: str, repetitions: int, runs: int, seed: int, stimulus_ids: Sequence[Any] | None = None, first_run: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Show each scene ``repetitions`` times, all of them once in random order before any comes again, in ``runs`` runs.

    Returns
    -------
    DataFrame
        One row a trial in order of time: ``row`` of the picture, stimulus_id, concept_id and what is shown, subject,
        session, run, repetition (from 1), trial_type.

    Raises
    ------
    BraindecError
        If numbers make no sense or a stimulus has no picture.
    """
    rows = pictures.rows_of(pictures.ids if stimulus_ids is None else stimulus_ids)
    whole = all(isinstance(k, (int, np.integer)) for k in (repetitions, runs))
    if not whole or repetitions < 1 or runs < 1 or runs > repetitions * len(rows):
        raise BraindecError(
            "a subject needs sensible numbers of repetitions and runs",
            found=f"repetitions={repetitions}, runs={runs} for {len(rows)} scenes",
            allowed="whole numbers: 1 or more repetitions, 1 run to one for each trial",
        )
    rng = np.random.default_rng([seed, 73, subject_number(subject), first_run])
    order = np.concatenate([rng.permutation(rows) for _ in range(repetitions)])
    shown = pictures.items.iloc[order].drop(columns=[c for c in pictures.items if c in _PAINT]).reset_index(drop=True)
    pieces = np.array_split(np.arange(len(order)), runs)
    numbers = np.repeat(np.arange(first_run, first_run + runs), [len(p) for p in pieces])
    return shown.assign(
        row=order, subject=str(subject), session="01", run=[f"{k:02d}" for k in numbers],
        repetition=np.repeat(np.arange(1, repetitions + 1), len(rows)), trial_type="scene",
    )  # fmt: skip
