"""Whose windows are whose: training trials of several subjects with different voxels, and the part held for early stopping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._batches import content_part
from braindec.decoders._reading import column, spread_groups
from braindec.errors import BraindecError
from braindec.types import Windows

_FEWEST = 5  # contents that a validation part can be taken from

__all__ = ["Trials", "held_out", "only_subject", "same_length", "subjects_of"]


class Trials:
    """The trials of several subjects as one table; their windows cannot be joined, since their voxels differ."""

    def __init__(self, parts: Mapping[str, Windows]) -> None:
        shown = [column(w, "stimulus_id") for w in parts.values()]
        self.trials = pd.DataFrame({"stimulus_id": np.concatenate(shown)})
        self.ids = np.concatenate([w.ids for w in parts.values()])


def subjects_of(windows: Any) -> dict[str, Windows]:
    """Return the windows of each subject.

    Raises
    ------
    BraindecError
        If there are none, or it is not said whose they are.
    """
    if isinstance(windows, Mapping):
        parts = {str(name): w for name, w in windows.items()}
    elif isinstance(windows, Windows):
        whose = column(windows, "subject") if "subject" in windows.trials else np.full(len(windows), "0", dtype=object)
        parts = {str(name): windows[whose == name] for name in dict.fromkeys(whose)}
    else:
        names = [only_subject(w) for w in windows]
        twice = [n for n in names if names.count(n) > 1]
        if twice:
            raise BraindecError(
                f"subject {twice[0]!r} stands twice", found=", ".join(names), fix="join its windows first"
            )
        parts = dict(zip(names, windows, strict=True))
    empty = [name for name, w in parts.items() if not len(w)]
    if empty:
        raise BraindecError("there are no trials", found=f"subject {empty[0]!r}: 0 windows")
    return parts


def only_subject(windows: Windows, default: Sequence[str] = ("0",)) -> str:
    """The one subject that the trials name; without the column the one of ``default``."""
    if "subject" not in windows.trials:
        if len(default) == 1:
            return default[0]
        raise BraindecError("the trials do not say whose they are", fix="give subject=, or a column subject",
                            allowed=", ".join(default))  # fmt: skip
    names = sorted(set(column(windows, "subject")))
    if len(names) != 1:
        raise BraindecError(
            f"the windows are of {len(names)} subjects", found=", ".join(names[:8]), fix="give one subject's"
        )
    return names[0]


def same_length(parts: Mapping[str, Windows], n_times: int) -> None:
    for name, windows in parts.items():
        if windows.n_times != n_times:
            raise BraindecError(
                "windows of all subjects must have the same length", found=f"{windows.n_times} samples of subject {name!r}",
                allowed=f"{n_times}",
            )  # fmt: skip


def held_out(
    parts: Mapping[str, Windows], validation: Any, share: float | None
) -> tuple[dict[str, Windows], dict[str, Windows]]:
    """Return the trials to fit on and those that early stopping looks at, by subject.

    Parameters
    ----------
    parts : dict of str to Windows
        Training trials.
    validation : as :func:`subjects_of` takes it, or None
        Given trials for early stopping.
    share : float or None
        Without them, this share of the contents (concepts, or stimuli) is held out, the same ones for all subjects; none
        when None.
    """
    if validation is not None:
        given = subjects_of(validation)
        strange = [s for s in given if s not in parts]
        if strange:
            raise BraindecError(
                f"validation has a subject {strange[0]!r} that is not trained", allowed=", ".join(parts)
            )
        return dict(parts), given
    if share is None:
        return dict(parts), {}
    contents = {s: spread_groups(w, ("concept_id", "stimulus_id")) for s, w in parts.items()}
    for name, own in contents.items():
        if len(set(own)) < _FEWEST:
            raise BraindecError(
                f"early stopping needs validation rows of other stimuli, and subject {name!r} saw {len(set(own))}",
                allowed=f"at least {_FEWEST} concepts or stimuli", fix="pass validation=, or patience=None",
            )  # fmt: skip
    everything = np.concatenate(list(contents.values()))
    out = list(set(everything[content_part(everything, share)]))
    masks = {s: np.isin(own, out) for s, own in contents.items()}
    bare = [s for s, m in masks.items() if m.all()]
    if bare:
        raise BraindecError(
            f"no trial of subject {bare[0]!r} would be left to fit on", fix="a smaller validation_share"
        )
    return {s: parts[s][~m] for s, m in masks.items()}, {s: parts[s][m] for s, m in masks.items() if m.any()}
