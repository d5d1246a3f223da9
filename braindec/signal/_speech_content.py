"""Names of what was heard: the same in every subject and session, and one name for all that must stay on one side of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Windows

_SAME_PLACE = 0.5  # s: starts of one sentence that differ by less are one place in the sound

__all__ = ["shared_content"]


def shared_content(windows: Windows | Sequence[Windows]) -> Windows | list[Windows]:
    """Name contents and segments alike over all windows that are given: of several subjects, by word and by stride.

    Parameters
    ----------
    windows : Windows or sequence of Windows
        Of :func:`speech_windows`; give all subjects and sessions together.

    Returns
    -------
    Windows or list of Windows, as given
        ``content_id``: blocks that share a sentence, directly or through others, have the same; ``stimulus_id``: the sentence
        and the word's place in it (or the offset in s); ``#2`` is put behind the second place of the sounds that a sentence stands at.
    """
    parts = [windows] if isinstance(windows, Windows) else list(windows)
    if not parts:
        raise BraindecError(
            "no windows to name the contents of", found="an empty list", fix="check the selection of subjects"
        )
    trials = pd.concat([w.trials.assign(_part=i) for i, w in enumerate(parts)], ignore_index=True)
    content = _components(trials)
    place = _places(trials)
    names = trials["sentence_id"].astype(str) + trials["_within"].astype(str) + place
    out = []
    for i, part in enumerate(parts):
        mine = (trials["_part"] == i).to_numpy()
        table = part.trials.assign(stimulus_id=names[mine].to_numpy(dtype=object), content_id=content[mine])
        repeated = _repeated(table)
        info = {**part.info, "repeated": repeated}
        again = (
            table.groupby(["subject", "stimulus_id"], sort=False, dropna=False)
            if "subject" in table
            else table.groupby("stimulus_id")
        )
        out.append(replace(part, trials=table.assign(repetition=again.cumcount().to_numpy() + 1), info=info))
    return out[0] if isinstance(windows, Windows) else out


def _components(trials: pd.DataFrame) -> np.ndarray:
    """A name for each row: of the blocks that share a sentence, directly or through others."""
    parent: dict[str, str] = {}

    def root(x: str) -> str:
        while parent.setdefault(x, x) != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    blocks = trials["block_id"].astype(str)
    members = dict(zip(blocks, trials["block_sentences"].astype(str), strict=True))
    for block, ids in members.items():
        for sentence in ids.split(" "):
            a, b = root(f"s{sentence}"), root(f"b{block}")
            parent[max(a, b)] = min(a, b)
    groups: dict[str, set[str]] = {}
    for block, ids in members.items():
        groups.setdefault(root(f"b{block}"), set()).update(ids.split(" "))
    names = {k: hashlib.sha256(" ".join(sorted(v)).encode()).hexdigest()[:12] for k, v in groups.items()}
    return blocks.map({b: names[root(f"b{b}")] for b in members}).to_numpy(dtype=object)


def _places(trials: pd.DataFrame) -> pd.Series:
    """``""`` for the first place of the sounds that a sentence stands at, ``#2`` for the second, ..."""
    begins = trials[["sentence_id", "audio", "_sentence_start"]].drop_duplicates()
    begins = begins.sort_values(["sentence_id", "audio", "_sentence_start"], kind="stable")
    step = begins.groupby(["sentence_id", "audio"])["_sentence_start"].diff()
    new = step.isna() | (step > _SAME_PLACE)
    number = new.groupby(begins["sentence_id"]).cumsum()
    begins = begins.assign(_place=["" if k == 1 else f"#{int(k)}" for k in number])
    return trials.merge(begins, on=["sentence_id", "audio", "_sentence_start"], how="left")["_place"]


def _repeated(table: pd.DataFrame) -> list[str]:
    """What was heard several times by one subject, as sentences for the notes."""
    if "subject" not in table:
        return []
    said = []
    for subject, mine in table.groupby("subject", sort=False):
        heard = mine.groupby("stimulus_id")["recording"].nunique()
        if (heard > 1).any():
            n = mine.loc[mine["stimulus_id"].isin(heard.index[heard > 1]), "sentence_id"].nunique()
            said.append(
                f"subject {subject} heard {n} sentences in several recordings; they are kept on one side of a split by content_id"
            )
    return said
