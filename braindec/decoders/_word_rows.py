"""Rows of a table of word decoding: a trained decoder on held-out words, few labels, stretches without labels, regions, the published split.

The p-value of a trained network permutes the labels of the held-out windows within their run while the network stays as it is. When
labels say nothing about the signals of the held-out run, every order of them is as likely as the real one, whatever the network learned
elsewhere, so that the test is exact without training the network again; it is a test of this network on this run. (It would not be exact
over several folds at once, where the labels of one fold train the network of another.)

Source: Ojala & Garriga 2010 (JMLR 11:1833) on tests by permuted labels; Golland & Fischl 2003 (IPMI) on permuting the labels of a test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._channel_selection import ChannelSelection, pick
from braindec.decoders.high_gamma import HighGamma
from braindec.errors import BraindecError
from braindec.evaluate.audit import Audit, audit
from braindec.evaluate.crossval import CrossValidation, cross_validate
from braindec.signal.regions import RegionGroups
from braindec.stats.binomial import clopper_pearson
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p, permute_within
from braindec.types import FitRecord, Recording, Split, Windows

_ABOUT = {
    "noise_input": "noise instead of power, trained and tested",
    "time_only": "place in the run, onset and gap to the window before instead of power",
}

__all__ = [
    "linear_rows",
    "run_names",
    "audit_with_unlabelled",
    "channel_auc",
    "difference_row",
    "few_labels",
    "paper_split",
    "region_rows",
    "stretches",
    "word_row",
]


def word_row(
    predicted: np.ndarray, y: np.ndarray, runs: np.ndarray, *, row: str, n_permutations: int = 1000, n_bootstrap: int = 1000, seed: int = 0,
    note: str = "", keys: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score held-out predictions of a trained decoder: accuracy with chance, interval and p.

    Parameters
    ----------
    predicted, y : array of shape (n_windows,)
        Given and true words of the held-out windows.
    runs : array of shape (n_windows,)
        Labels are exchanged within these; the interval is over windows.
    row, note : str
        Name of the row, and what to know beside it.
    n_permutations : int
        0 gives no p.
    """
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    place = {name: k for k, name in enumerate(classes.tolist())}
    given = np.array([place.get(name, -1) for name in np.asarray(predicted).tolist()])
    right, rng = given == codes, np.random.default_rng([seed, 11])
    value, (low, high) = float(right.mean()), _interval(right, n_bootstrap, rng)
    p, how = np.nan, "no permutations, no p"
    if n_permutations:
        null = [np.mean(given == permute_within(codes, runs, rng)) for _ in range(n_permutations)]
        p, how = (
            float(permutation_p(value, np.array(null))),
            "p: words of the held-out windows exchanged within their run, decoder as it was trained",
        )
    return {**(keys or {}), "metric": "accuracy", "version": "1", "row": row, "value": value, "chance": np.bincount(codes).max() / len(codes),
            "low": min(low, value), "high": max(high, value), "p": p, "n": len(codes), "note": "; ".join(t for t in (note, how) if t)}  # fmt: skip


def difference_row(
    first: np.ndarray, second: np.ndarray, *, row: str, n_bootstrap: int = 1000, seed: int = 0, note: str = "", keys: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """How much more of the same held-out windows one trained decoder has right than another.

    p is exact (McNemar 1947): of the windows that one of them alone has right, each is as likely to be either's. It is about these two
    trained decoders on these windows, not about training them again.

    Parameters
    ----------
    first, second : array of bool, shape (n_windows,)
        Which windows each has right.
    """
    from scipy.stats import binomtest

    gain, rng = first.astype(float) - second.astype(float), np.random.default_rng([seed, 14])
    won, lost = int((gain > 0).sum()), int((gain < 0).sum())
    low, high = bootstrap_interval(gain, n=n_bootstrap, rng=rng) if won + lost else (0.0, 0.0)
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    how = "interval and p over held-out windows of two trained networks (McNemar)"
    return {**(keys or {}), "metric": "accuracy_difference", "version": "1", "row": row, "value": float(gain.mean()), "chance": 0.0, "low": float(low),
            "high": float(high), "p": p, "n": len(gain), "note": "; ".join(t for t in (note, how) if t)}  # fmt: skip


def _interval(right: np.ndarray, n_bootstrap: int, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the share of held-out windows that are right, over windows."""
    if right.all() or not right.any():  # a bootstrap of equal values has no width
        return clopper_pearson(int(right.sum()), len(right))
    low, high = bootstrap_interval(right.astype(float), n=n_bootstrap, rng=rng)
    return max(0.0, low), min(1.0, high)


def _over_windows(found: CrossValidation, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Scores with intervals over held-out windows: a word has too few of them to be resampled alone. Controls have exact ones."""
    table, predictions = found.scores.copy(), found.predictions
    right = (predictions["true"] == predictions["predicted"]).to_numpy()
    low, high = _interval(right, n_bootstrap, np.random.default_rng([seed, 11]))
    decoded = table["row"] == "decoded"
    table.loc[decoded, ["low", "high"]] = [min(low, right.mean()), max(high, right.mean())]
    table.loc[decoded, "note"] = (
        "interval over held-out windows; p: labels exchanged within runs, decoder trained again each time"
    )
    for k in table.index[table["row"].isin(("noise_input", "time_only"))]:
        n = int(table.at[k, "n"])
        table.loc[k, ["low", "high"]] = clopper_pearson(round(table.at[k, "value"] * n), n)
        table.at[k, "note"] = f"{_ABOUT[table.at[k, 'row']]}; exact interval over held-out windows"
    return table


def few_labels(y: np.ndarray, rows: np.ndarray, share: float, *, seed: int = 0) -> np.ndarray:
    """Return some of ``rows``: the same number of each class, ``share`` of the rarest one and at least one; in order."""
    if not 0 < share <= 1:
        raise BraindecError("a share of the labels is above 0 and at most 1", found=repr(share))
    y, rng = np.asarray(y), np.random.default_rng([seed, 12])
    own = [rows[y[rows] == c] for c in np.unique(y[rows])]
    each = max(1, round(share * min(map(len, own))))
    return np.sort(np.concatenate([rng.choice(r, each, replace=False) for r in own])) if share < 1 else np.asarray(rows)


def stretches(
    recordings: Sequence[Recording], duration: float, *, step: float | None = None, tmin: float = 0.0
) -> Windows:
    """Cut recordings into windows without labels, one every ``step`` s (end to end by default).

    Parameters
    ----------
    recordings : sequence of Recording
    duration : float
        s of a window.
    tmin : float
        What their first sample is called, so that they can stand beside windows of events.
    """
    parts = []
    for recording in recordings:
        n = round(duration * recording.sfreq)
        first = np.arange(0, recording.n_times - n + 1, max(1, round((step or duration) * recording.sfreq)))
        if not len(first) or n < 1:
            raise BraindecError(
                f"{recording.label} is shorter than a window of {duration:g} s", found=f"{recording.duration:g} s"
            )
        trials = pd.DataFrame({"subject": recording.info["subject"], "session": recording.info["session"], "run": recording.info["run"],
                               "task": recording.info["task"], "onset": first / recording.sfreq - tmin, "duration": duration})  # fmt: skip
        parts.append(Windows((recording,), np.stack([np.zeros(len(first), int), first], axis=1), n, trials, tmin))
    return Windows.concat(parts)


def paper_split(windows: Windows, y: np.ndarray, *, share: float = 0.8, seed: int = 0) -> Split:
    """Split as published: ``share`` of the trials of each word train, the rest validates and tests in equal parts, whatever run they are from.

    Neighbours in time lie on both sides, which the audit says (time_adjacency). For comparison with published numbers only.
    """
    y, rng = np.asarray(y), np.random.default_rng([seed, 13])
    parts: tuple[list, list, list] = ([], [], [])
    for word in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == word))
        n = min(len(rows) - 1, max(1, round(share * len(rows))))
        held = (len(rows) - n) // 2
        for part, some in zip(parts, np.split(rows, [n, n + held]), strict=True):
            part.append(some)
    train, validation, test = (np.concatenate(p) for p in parts)
    return Split(train, validation, test, by="paper", ids=windows.ids, name="published split of trials")


def region_rows(
    power: Windows, y: np.ndarray, split: Split, groups: RegionGroups, *, n_permutations: int, n_bootstrap: int, seed: int,
    keys: Mapping[str, Any], least: int = 2,
) -> pd.DataFrame:  # fmt: skip
    """Decode words from the power of all channels of one region at a time; p by refitting on permuted labels.

    Parameters
    ----------
    power : Windows
        Of :func:`~braindec.decoders.high_gamma.power_windows`: it looks at no label and at one window at a time, so it is made once.
    groups : RegionGroups
        Rows of the channels of each region.
    least : int
        Regions of fewer channels are left out.

    Returns
    -------
    DataFrame
        One "decoded" row a region, with the column ``region``.
    """
    tables = []
    for name, rows in groups.items():
        if len(rows) < least:
            continue
        found = cross_validate(HighGamma().classifier(), pick(power, [power.ch_names[k] for k in rows]), y, [split], metrics=["accuracy"], controls=[],
                               n_permutations=n_permutations, n_bootstrap=n_bootstrap, seed=seed, keys=keys)  # fmt: skip
        table = _over_windows(found, n_bootstrap, seed).assign(region=name)
        table["note"] = f"high gamma of {len(rows)} channels; " + table["note"]
        tables.append(table)
    if not tables:
        sizes = {name: len(rows) for name, rows in groups.items()}
        raise BraindecError(f"no region has {least} channels or more", found=str(sizes))
    return pd.concat(tables, ignore_index=True)


def linear_rows(
    power: Windows, y: np.ndarray, split: Split, choice: ChannelSelection, *, few: np.ndarray, counts: Sequence[int], controls: Sequence[str],
    note: str, n_permutations: int, n_bootstrap: int, seed: int, keys: Mapping[str, Any],
) -> tuple[pd.DataFrame, list[FitRecord]]:  # fmt: skip
    """Rows of the linear decoder of high gamma: chosen channels, controls, few labels, other numbers of channels; and what it was fitted on.

    ``power`` as in :func:`region_rows`; the control noise_input puts noise in its place.
    """
    statistics = {"n_permutations": n_permutations, "n_bootstrap": n_bootstrap, "seed": seed, "keys": keys}
    found = cross_validate(HighGamma().classifier(), pick(power, choice.names), y, [split], metrics=["accuracy"],
                           controls=[c for c in controls if c != "label_shuffle"], **statistics)  # fmt: skip
    table = _over_windows(found, n_bootstrap, seed).replace({"row": {"decoded": "high gamma"}})
    table["note"] = "linear decoder of high gamma; " + table["note"]
    order, said = list(choice.scores.sort_values(ascending=False, kind="stable").index), "the best on training windows"
    fits = [("few labels, high gamma", few, choice.names, note, n_permutations)]
    for k in counts:
        own = order[:k]
        fits.append((f"high gamma, {len(own)} channel{'s' * (len(own) > 1)}", split.train, own, said, 0))
    runs, rows = run_names(power), []
    for name, train, channels, told, n in fits:
        part = pick(power, channels)
        predicted = HighGamma().classifier().fit(part[train], y[train]).predict(part[split.test])
        rows.append(
            word_row(
                predicted, y[split.test], runs[split.test], row=name, note=told, **{**statistics, "n_permutations": n}
            )
        )
    records = [choice.fitted_on_, *found.records[0][1]]
    return pd.concat([table, pd.DataFrame(rows)], ignore_index=True), records


def run_names(windows: Windows) -> np.ndarray:
    """The run of each window as text; one name where there is no such column."""
    return windows.trials["run"].astype(str).to_numpy() if "run" in windows.trials else np.full(len(windows), "1")


def audit_with_unlabelled(
    wide: Windows, windows: Windows, split: Split, y: np.ndarray, records: Sequence[FitRecord], unlabelled: Windows | None
) -> Audit:  # fmt: skip
    """Audit labelled windows as usual, and the windows without labels that trained beside them.

    Windows without labels count as training rows: when they overlap test windows, or lie close to them, it is said.
    """
    known = set(map(str, windows.ids))
    before = [r for r in records if len(r.ids) and not known.issuperset(map(str, r.ids))]
    card = audit(wide, [split], y=y, records=[(split, [r for r in records if r not in before])])
    if unlabelled is None:
        return card
    unlabelled = unlabelled[~np.isin(unlabelled.ids.astype(str), list(known))]  # the same windows need no second row
    both = pd.concat([_places(windows), _places(unlabelled)], ignore_index=True)
    more = np.arange(len(windows), len(both))
    wider = Split(np.concatenate([split.train, more]), split.validation, split.test, by=split.by, ids=both["window_id"].to_numpy(dtype=object),
                  name=f"{split.name}, unlabelled stretches among the training rows")  # fmt: skip
    second = audit(both, [wider], records=[(wider, before)], checks=["fit_scope", "time_adjacency"])
    return Audit(
        tuple(
            sorted((*card.findings, *second.findings), key=lambda f: -("skip", "pass", "warn", "fail").index(f.level))
        )
    )


def _places(windows: Windows) -> pd.DataFrame:
    """Where windows are: run, and first sample and length in s; runs are told apart by what they are called."""
    runs = pd.DataFrame(
        [{k: str(r.info.get(k)) for k in ("subject", "session", "task", "run")} for r in windows.recordings]
    )
    table = runs.iloc[windows.index[:, 0]].reset_index(drop=True)
    return table.assign(
        window_id=windows.ids, onset=windows.index[:, 1] / windows.sfreq, duration=windows.n_times / windows.sfreq
    )


def channel_auc(selection: ChannelSelection, planted: Sequence[str], *, keys: Mapping[str, Any]) -> dict[str, Any]:
    """How well the scores of channels tell those that carry words, where that is known: a bipolar channel does when a contact of it does."""
    names = list(selection.scores.index)
    true = np.array([any(part in set(planted) for part in name.split("-")) for name in names])
    scores, rng = selection.scores.to_numpy(dtype=float), np.random.default_rng(0)
    with_words, without = scores[true], scores[~true]
    if not len(with_words) or not len(without):
        raise BraindecError(
            "an area under the curve needs channels with words and without",
            found=f"{int(true.sum())} of {len(names)} with",
        )
    draws = [_auc(rng.choice(with_words, len(with_words)), rng.choice(without, len(without))) for _ in range(1000)]
    value, (low, high) = _auc(with_words, without), np.quantile(draws, [0.025, 0.975])
    note = f"scores of {len(names)} channels, made on training windows, against the {int(true.sum())} that carry words; interval over channels"
    return {**keys, "metric": "auc_planted", "version": "1", "row": "decoded", "region": "channels", "value": value, "chance": 0.5,
            "low": min(low, value), "high": max(high, value), "p": np.nan, "n": len(names), "note": note}  # fmt: skip


def _auc(a: np.ndarray, b: np.ndarray) -> float:
    """How often a value of ``a`` is larger than one of ``b``; ties count half."""
    return float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())
