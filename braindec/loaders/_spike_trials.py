"""What the readers of spikes share: the unit of time, trials laid end to end on one line of time, doubled spikes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Spikes

SCALE = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
DUPLICATES = ("keep", "drop", "refuse")


def scale_of(time_unit: str | None, sfreq: float | None, name: str) -> float:
    """Return the factor that turns times into s.

    Raises
    ------
    BraindecError
        If the unit is not said or unknown, or samples come without their rate.
    """
    if time_unit is None:
        raise BraindecError(
            f"{name} does not say the unit of its times", allowed=", ".join([*SCALE, "samples (with sfreq)"]),
            fix="say it: time_unit: s (or ms); it is never guessed",
        )  # fmt: skip
    if time_unit == "samples":
        if not isinstance(sfreq, (int, float)) or not 0 < sfreq < np.inf:
            raise BraindecError(
                f"{name}: times in samples need their rate", found=f"sfreq {sfreq}", fix="sfreq: ... (Hz)"
            )
        return 1.0 / float(sfreq)
    if time_unit not in SCALE:
        allowed = [*SCALE, "samples"]
        raise BraindecError(
            f"unknown time_unit {time_unit!r}{did_you_mean(str(time_unit), allowed)}", allowed=", ".join(allowed)
        )
    return SCALE[time_unit]


def lay_out(n: int, length: float | Sequence[float], pause: float) -> tuple[np.ndarray, np.ndarray]:
    """Place trials one after another.

    Parameters
    ----------
    n : int
        Number of trials.
    length : float or sequence of float
        How long each is, s.
    pause : float
        Time between the end of one and the beginning of the next that nobody observed, s.

    Returns
    -------
    starts : array of shape (n,)
        Beginning of each trial, s.
    support : array of shape (n, 2)
        The stretch of each.
    """
    if not isinstance(pause, (int, float)) or not 0 < pause < np.inf:
        raise BraindecError("trials need a pause between them, or a window would run from one into the next",
                            found=f"pause {pause} s", allowed="above 0 s")  # fmt: skip
    lengths = np.broadcast_to(np.asarray(length, dtype=float), (n,))
    if not (lengths > 0).all():
        raise BraindecError("a trial has no length", found=f"{lengths.min():g} s")
    starts = np.concatenate([[0.0], np.cumsum(lengths + pause)[:-1]])
    return starts, np.stack([starts, starts + lengths], axis=1)


def laid_out_note(name: str, n: int, pause: float) -> str:
    """What a reader must know of times that were made up."""
    return (
        f"{name} does not say when its {n} trials were: they are laid one after another with {pause:g} s between, in the "
        "order of the file"
    )


def labelled(values: Any, names: Mapping[Any, str] | None, what: str) -> np.ndarray:
    """Return labels as text, by ``names`` where it is given."""
    flat = np.asarray(values).reshape(-1)
    text = [str(int(v)) if isinstance(v, (float, np.floating)) and float(v).is_integer() else str(v) for v in flat]
    if names is None:
        return np.array(text, dtype=object)
    table = {str(k): str(v) for k, v in names.items()}
    unknown = sorted(set(text) - set(table))
    if unknown:
        raise BraindecError(
            f"the label {unknown[0]!r} of {what} has no name{did_you_mean(unknown[0], table)}",
            allowed=", ".join(table), fix="name every label in names, or leave names out",
        )  # fmt: skip
    return np.array([table[t] for t in text], dtype=object)


def trial_events(starts: np.ndarray, *, onset: float, duration: float, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return one event a trial, ``onset`` s after its beginning."""
    return pd.DataFrame({"onset": starts + onset, "duration": float(duration), **columns})


def checked(make: Callable[[], Spikes], duplicates: str, name: str, said: list[str]) -> Spikes:
    """Make spikes; what they warn of, doubled spikes and units without any are told in ``said``.

    Parameters
    ----------
    make : callable
        Returns the spikes.
    duplicates : {"keep", "drop", "refuse"}
        What to do with the spikes that a unit has twice at one time.
    name : str
        The file.
    said : list of str
        Sentences are appended.
    """
    if duplicates not in DUPLICATES:
        raise BraindecError(
            f"duplicates: {duplicates!r} is unknown{did_you_mean(str(duplicates), DUPLICATES)}",
            allowed=", ".join(DUPLICATES),
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spikes = make()
    said += [f"{name}: {w.message}" for w in caught if "are doubled" not in str(w.message)]
    single = spikes.without_duplicates()
    n = len(spikes.times) - len(single.times)
    if n and duplicates == "refuse":
        raise BraindecError(
            f"{name}: {n} spikes are doubled (one unit, one time)", fix="duplicates: drop keeps one of each"
        )
    if n:
        what = "kept" if duplicates == "keep" else "one of each is kept"
        said.append(f"{name}: {n} spikes are doubled (one unit, one time): {what} (option duplicates)")
    spikes = single if duplicates == "drop" else spikes
    _silent(spikes, name, said)
    return spikes


def _silent(spikes: Spikes, name: str, said: list[str]) -> None:
    """Append a sentence about units without a spike."""
    counts = np.bincount(spikes.unit, minlength=spikes.n_units)
    none = spikes.units["name"][counts == 0].astype(str).tolist()
    if none and len(spikes.times):
        shown = ", ".join(none[:6]) + (" ..." if len(none) > 6 else "")
        said.append(f"{name}: {len(none)} of {spikes.n_units} units have no spike ({shown})")


def joined(several: Sequence[Spikes], pause: float, said: list[str]) -> Spikes:
    """Put recordings of the same units one after another on one line of time, ``pause`` s apart.

    The label ``run`` of each stands in the column ``part`` of the events; sentences that were said of many are told once.
    """
    lengths = [s.stop - s.start for s in several]
    starts, _ = lay_out(len(several), lengths, pause)
    shifts = [a - s.start for a, s in zip(starts, several, strict=True)]
    events = pd.concat(
        [s.events.assign(onset=s.events["onset"] + d, part=str(s.info.get("run"))) for s, d in zip(several, shifts, strict=True)],
        ignore_index=True,
    )  # fmt: skip
    kinds: dict[str, list[str]] = {}
    for one in several:
        for text in one.info.get("warnings") or []:
            kinds.setdefault(re.sub(r"[\d.]+", "#", text.replace(str(one.info.get("run")), "")), []).append(text)
    said += [t[0] + (f" (the like of {len(t) - 1} more)" if len(t) > 1 else "") for t in kinds.values()]
    said.append(
        f"{len(several)} recordings are laid one after another, {pause:g} s apart, in the order of their names: when they were "
        "made is not in the files"
    )
    info = {**several[0].info, "run": None, "warnings": said}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each was told of above
        return Spikes(
            np.concatenate([s.times + d for s, d in zip(several, shifts, strict=True)]),
            np.concatenate([s.unit for s in several]), several[0].units, 0.0, float(starts[-1] + lengths[-1]), events, info,
            np.concatenate([s.support + d for s, d in zip(several, shifts, strict=True)]),
        )  # fmt: skip
