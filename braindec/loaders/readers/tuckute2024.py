"""Reader ``tuckute2024``: responses of language regions to 1,000 sentences (Tuckute et al. 2024), one table -> Windows of one sample.

Layout, as established from the README of gretatuckute/drive_suppress_brains, its table of column descriptions, and the packaging code
of brain-score/language: ``brain-lang-data_participant_20230728.csv``, one row a participant, region and sentence, with
``target_UID`` (a number), ``roi`` (lang_LH_netw, the language network of the left hemisphere, and its parts), ``item_id``,
``sentence``, ``cond`` (B baseline, D drive, S suppress), ``cond_approach``, ``response_target`` (BOLD, every voxel z-scored a session before
averaging) and ``response_target_non_norm``. 10 participants: 848, 853, 865, 875, 876 read the 1,000 baseline sentences (training), 5 others
were the evaluation. Other columns (linguistic properties) are kept where they say one thing a sentence.

From memory: the names of the parts, lang_LH_IFGorb, lang_LH_IFG, lang_LH_MFG, lang_LH_AntTemp, lang_LH_PostTemp.

Each sentence was read once by each participant, so ceilings come from participants: ``average`` gives their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders.betas import windows_of
from braindec.types import Windows
from braindec.types.signals import ArraySignal

__all__ = ["load", "files", "subjects"]

FILE = "brain-lang-data_participant_20230728.csv"
TRAIN = ("848", "853", "865", "875", "876")
_NEEDED = ("target_UID", "roi", "item_id", "sentence", "cond")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    file: str = FILE,
    value: str = "response_target",
    regions: Sequence[str] | None = None,
    average: Sequence[str] | None = None,
) -> Windows:
    """Read the responses of a participant, or the mean of several.

    Parameters
    ----------
    root : str or Path
        The table, or its folder.
    subject : str, optional
        "848", ...; may be left out when there is one. "mean" with ``average``.
    file : str
        Name of the table in the folder.
    value : str
        Column of the responses: "response_target" or "response_target_non_norm".
    regions : list of str, optional
        Keep these regions; all of the table by default.
    average : list of str, optional
        Participants to average, sentence by sentence ([848, 853, 865, 875, 876] are those of the training set); sentences that one of
        them did not read are left out.

    Returns
    -------
    Windows of shape (n_sentences, n_regions, 1)
        ``trials``: stimulus_id (the item), concept_id (the same), sentence, trial_type (the condition), n_words.

    Raises
    ------
    BraindecError
        If a column is missing, a participant or region is not there, or a participant has two values for one sentence and region.
    """
    path = _file(root, file)
    table = _table(path, value)
    known = _known(table)
    asked = _options.as_list(average)
    if asked is not None:
        for name in asked:
            _one(known, name)
        who, rows = "mean", table[table["target_UID"].isin(asked)]
    else:
        who = _one(known, subject)
        rows = table[table["target_UID"] == who]
    names = sorted(rows["roi"].unique())
    for name in _options.as_list(regions) or []:
        if name not in names:
            raise BraindecError(f"{path.name}: no region {name!r}{did_you_mean(name, names)}", allowed=", ".join(names))
    names = _options.as_list(regions) or names
    rows = rows[rows["roi"].isin(names)]
    if rows.duplicated(["target_UID", "roi", "item_id"]).any():
        twice = rows[rows.duplicated(["target_UID", "roi", "item_id"])].iloc[0]
        raise BraindecError(
            f"{path.name} has two values for one sentence",
            found=f"participant {twice.target_UID}, {twice.roi}, item {twice.item_id}",
        )
    wide = rows.pivot(index="item_id", columns=["target_UID", "roi"], values=value)
    warnings = []
    whole = wide.notna().all(axis=1)
    if asked is not None and not whole.all():
        warnings.append(f"{int((~whole).sum())} sentences were not read by all of {', '.join(asked)}: left out")
        wide = wide[whole]
    if wide.empty:
        raise BraindecError("no sentence was read by all participants to average", found=", ".join(asked or []))
    wide = wide.loc[sorted(wide.index, key=lambda item: (len(item), item))]  # numbers in their order
    values = wide.T.groupby(level="roi").mean().T[names]
    trials = _trials(rows, values.index, who)
    channels = pd.DataFrame({"name": names, "type": "parcel", "unit": "a.u.", "region": names})
    signal = ArraySignal(np.ascontiguousarray(values.to_numpy(dtype=np.float32).T))
    info = {"dataset": "tuckute2024", "subject": who, "task": "reading", "modality": "fmri", "path": str(path)}
    bad = np.flatnonzero(values.isna().any(axis=0).to_numpy())
    return windows_of([signal], trials, channels, info, nan_voxels=bad if len(bad) else None, warnings=warnings)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the participants, or "mean" where they are averaged."""
    values = _options.bind(load, options)
    if values["average"] is not None:
        return ["mean"]
    return _known(_table(_file(root, values["file"]), values["value"]))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the table."""
    return [_file(root, _options.bind(load, {**options, "subject": subject})["file"])]


def _file(root: str | Path, name: str) -> Path:
    base = _files.existing(root)
    if base.is_file():
        return base
    _files.check_inside(name)
    return _files.existing(base / name)


def _table(path: Path, value: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, low_memory=False, dtype={"target_UID": str, "item_id": str})
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=" ".join(str(error).split())[:200]) from None
    missing = [c for c in (*_NEEDED, value) if c not in table]
    if missing:
        raise BraindecError(
            f"{path.name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}{did_you_mean(missing[0], table.columns)}",
            found=", ".join(map(str, table.columns[:14])),
        )
    if table[value].dtype.kind not in "fiu":
        raise BraindecError(f"{path.name}: the column {value} does not hold numbers", found=str(table[value].iloc[0]))
    return table


def _known(table: pd.DataFrame) -> list[str]:
    return sorted(table["target_UID"].dropna().unique())


def _one(known: Sequence[str], subject: str | None) -> str:
    if subject is None and len(known) == 1:
        return known[0]
    if subject not in known:
        said = (
            "which participant?"
            if subject is None
            else f"there is no participant {subject!r}{did_you_mean(str(subject), known)}"
        )
        raise BraindecError(said, allowed=", ".join(known))
    return str(subject)


def _trials(rows: pd.DataFrame, items: pd.Index, who: str) -> pd.DataFrame:
    """One row a sentence: its text and condition, and every column that says one thing a sentence."""
    grouped = rows.groupby("item_id", sort=False)
    first = grouped.first().loc[items]
    same = grouped.nunique(dropna=False).loc[items].max()
    skip = {"target_UID", "roi", "response_target", "response_target_non_norm"}
    extra = {
        str(c): first[c].to_numpy() for c in first if c not in skip and same[c] == 1 and c not in ("sentence", "cond")
    }
    table = pd.DataFrame({
        "stimulus_id": items.astype(str), "concept_id": items.astype(str), "sentence": first["sentence"].astype(str).to_numpy(),
        "trial_type": first["cond"].astype(str).to_numpy(), "n_words": first["sentence"].astype(str).str.split().str.len().to_numpy(),
    })  # fmt: skip
    return table.assign(**{k: v for k, v in extra.items() if k not in table}, subject=who, session="1", run="1")
