"""Recordings of several conditions as one, and long stretches as blocks: so that conditions can be compared like trials."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.spikes._observed import TIE, checked_spikes, joined
from braindec.spikes.variability import windows_of
from braindec.stats.asked import number
from braindec.types import Spikes

__all__ = ["in_blocks", "laid_out"]


def laid_out(parts: Mapping[str, Spikes], *, pause: float = 1.0) -> Spikes:
    """Lay recordings of the same neurons one after another, nothing observed between them, with one event each.

    Parameters
    ----------
    parts : dict of str to Spikes
        A recording for each condition; the name becomes ``trial_type`` of its event.
    pause : float
        Between them, s.

    Raises
    ------
    BraindecError
        If they have other neurons.
    """
    if not parts or len({tuple(checked_spikes(p, "laid_out").units["name"].astype(str)) for p in parts.values()}) > 1:
        raise BraindecError(
            "conditions need recordings of the same neurons", found=str({k: p.n_units for k, p in parts.items()})[:160]
        )
    number(pause, "pause", least=0, ends=False, unit="s")
    times, unit, support, events, at = [], [], [], [], 0.0
    for name, part in parts.items():
        times.append(part.times - part.start + at)
        unit.append(part.unit)
        support.append(part.support - part.start + at)
        events.append({"onset": at, "duration": part.stop - part.start, "trial_type": str(name)})
        at += part.stop - part.start + pause
    first = next(iter(parts.values()))
    pieces = np.concatenate(support)
    return Spikes(np.concatenate(times), np.concatenate(unit), first.units, 0.0, float(pieces[-1, 1]), pd.DataFrame(events), first.info,
                  pieces)  # fmt: skip


def in_blocks(spikes: Spikes, *, length: float) -> Spikes:
    """Cut the events of a recording into events of ``length`` s, one after the other inside of each, none across a gap.

    Events that are shorter than a block are left out.

    Raises
    ------
    BraindecError
        If there are no events with a duration, or a block fits none.
    """
    number(length, "length", least=0, ends=False, unit="s")
    events = checked_spikes(spikes, "in_blocks").events
    if not len(events) or not (events["duration"].astype(float) > 0).all():
        raise BraindecError("blocks are cut from events with a duration", found=f"{len(events)} events")
    rows = []
    for event in events.to_dict("records"):
        own = spikes.restrict([[event["onset"], event["onset"] + event["duration"]]])
        if (joined(own.support) @ [-1.0, 1.0]).max() < length - TIE:
            continue
        rows += [{**event, "onset": at, "duration": length} for at in windows_of(own, window=length)[:, 0].tolist()]
    if not rows:
        raise BraindecError(
            f"blocks of {length:g} s fit no event", found=f"the longest has {events['duration'].max():g} s"
        )
    return spikes.with_events(pd.DataFrame(rows))
