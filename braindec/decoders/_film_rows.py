"""Rows that only films have: the first decoded frame standing still, and motion voxels exchanged between trials.

If the direction of motion is read from the voxels that code motion, exchanging them between trials takes it away and leaves
everything else as it was. If the direction survives, it came from elsewhere (eye movements, where the object is, the prior).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._pictures import PictureDecoder
from braindec.decoders._reading import column
from braindec.decoders.controls import ControlRows
from braindec.decoders.controls.making import shuffle, stored
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Recording, Windows
from braindec.types.signals import StackedSignal

SHUFFLED, STILL = "motion_voxels_shuffled", "still_frame"

__all__ = ["SHUFFLED", "STILL", "exchange_channels", "film_rows", "motion_channels", "motion_sentences"]


def motion_channels(windows: Windows, name: str, values: Sequence[Any]) -> np.ndarray:
    """Return the channels whose ``name`` (a column of the channels' table) is one of ``values``, row numbers.

    Raises
    ------
    BraindecError
        If there is no such column, or no such channel.
    """
    table = windows.channels
    if name not in table:
        raise BraindecError(
            f"the channels have no column {name!r}{did_you_mean(name, list(table))}", found=", ".join(map(str, table))
        )
    found = np.flatnonzero(table[name].astype(str).isin([str(v) for v in values]))
    if not len(found):
        known = ", ".join(map(str, table[name].unique()[:12]))
        raise BraindecError(f"no channel's {name} is {', '.join(map(str, values))}", allowed=known)
    return found


def exchange_channels(windows: Windows, channels: np.ndarray, order: np.ndarray) -> Windows:
    """Return windows in which some channels are those of other trials, everything else as it was.

    Parameters
    ----------
    windows : Windows
    channels : array of int
        Row numbers of the channels that are exchanged.
    order : array of int, shape (n_windows,)
        Trial that each trial gets them from.
    """
    data = windows.load()
    data[:, channels] = data[order][:, channels]
    first = windows.recordings[0]
    recording = Recording(StackedSignal(data), windows.sfreq, first.channels, info=first.info)
    index = np.stack([np.zeros(len(windows), int), np.arange(len(windows)) * windows.n_times], axis=1)
    return Windows((recording,), index, windows.n_times, windows.trials, windows.tmin, windows.info)


def film_rows(
    rows: ControlRows, decoder: PictureDecoder, test: Windows, *, channels: np.ndarray | None, seeds: int = 3, seed: int = 0
) -> ControlRows:  # fmt: skip
    """Add the rows of films to control rows.

    Parameters
    ----------
    rows : ControlRows
        Of ``decoder`` on ``test``.
    decoder : PictureDecoder
    test : Windows
        In the order of ``rows``.
    channels : array of int, optional
        Channels that code motion; without them that row is left out.
    seeds : int
        Samples, each with another exchange.
    seed : int
    """
    decoded = rows.made["decoded"]
    more = {STILL: np.repeat(decoded[:, :, :1], decoded.shape[2], axis=2)}
    notes = dict(rows.notes)
    if channels is None:
        notes[SHUFFLED] = "which channels code motion is not known"
    else:
        made, shown = [], column(test, "stimulus_id").astype(str)
        for k in range(seeds):
            order = shuffle(shown, np.random.default_rng([seed, k, 83]))
            condition = decoder.condition(exchange_channels(test, channels, order))
            made.append(stored(decoder.generate(condition, names=test.ids, seed=seed + k)))
        more[SHUFFLED] = np.stack(made)
    return replace(rows, made={**rows.made, **more}, notes=notes)


def motion_sentences(scores: pd.DataFrame, *, others: Sequence[str] = (), alpha: float = 0.01) -> list[str]:
    """Say whether the direction of motion was read, and whether it is lost with the voxels of motion.

    Parameters
    ----------
    scores : DataFrame
        Of a control report with the metric motion_direction.
    others : sequence of str
        Rows of further decoders; one that reads the direction better is named.
    alpha : float
    """
    return [*_own_sentences(scores, alpha), *_of_others(scores, others, alpha)]


def _own_sentences(scores: pd.DataFrame, alpha: float) -> list[str]:
    of = scores[scores["metric"] == "motion_direction"].groupby("row")[["value", "p"]].mean()
    if "decoded" not in of.index:
        return []
    value, p = of.loc["decoded"]
    percent = f"{100 * value:.0f} % of films move the right way (chance 25 %, p {p:.2g})"
    if not p < alpha:
        return [f"The direction of motion was not read: {percent}."]
    out = [f"The direction of motion was read: {percent}."]
    if SHUFFLED in of.index:
        kept, p_kept = of.loc[SHUFFLED]
        lead = scores[(scores["metric"] == "motion_direction_difference") & (scores["row"] == f"over_{SHUFFLED}")][
            "p"
        ].mean()
        said = f"({100 * kept:.0f} %, p {p_kept:.2g} against chance; {lead:.2g} against what was decoded)"
        if p_kept < 0.05:
            out.append(
                f"With the motion voxels of other trials it is not all lost {said}: part of it came from elsewhere."
            )
        elif lead < alpha:
            out.append(f"With the motion voxels of other trials it is lost {said}: it came from those voxels.")
        else:
            out.append(f"Whether it is lost with the motion voxels of other trials can not be told {said}.")
    return out


def _of_others(scores: pd.DataFrame, others: Sequence[str], alpha: float) -> list[str]:
    value = scores[scores["metric"] == "motion_direction"].groupby("row")["value"].mean()
    lead = scores[scores["metric"] == "motion_direction_difference"].groupby("row")[["value", "p"]].mean()
    out = []
    for name in others:
        if (
            f"over_{name}" in lead.index
            and lead.loc[f"over_{name}", "value"] < 0
            and lead.loc[f"over_{name}", "p"] < alpha
        ):
            out.append(
                f"The decoder {name.replace('_', ' ')} reads the direction better: {100 * value[name]:.0f} % against "
                f"{100 * value['decoded']:.0f} % (p {lead.loc[f'over_{name}', 'p']:.2g})."
            )
    return out
