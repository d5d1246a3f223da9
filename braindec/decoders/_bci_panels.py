"""What a page on motor imagery shows: decoders side by side, patterns on the head, the map of r-squared, and the group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._bci_compare import Comparison
from braindec.decoders.csp import CSP
from braindec.decoders.r2_selected import R2Selected
from braindec.errors import BraindecError
from braindec.evaluate.results import group_scores
from braindec.signal.signed_r2 import best_r2, signed_r2
from braindec.stats.permutation import sign_flip_test
from braindec.types import Result, Windows

_BLOCK = 12  # held-out trials a point of the course of adapting
_NAMES = {
    "csp": "CSP",
    "tangent_space recentre=session": "tangent space, sessions re-centred",
    "filter_bank_csp": "filter-bank CSP",
    "r2_selected": "features by r²",
    "adaptive_q": "learning from rewards",
}

__all__ = ["imagery_panels", "summary_of"]

Panel = dict[str, Any]


def imagery_panels(
    found: Comparison, narrow: Windows, broad: Windows, y: np.ndarray, *, span: tuple[float, float | None]
) -> tuple[dict[str, np.ndarray], list[Panel], list[Any], list[str]]:
    """Return arrays, panels, answers and notes of one subject."""
    first = found.first
    classes = [str(c) for c in first.classes]
    arrays: dict[str, Any] = {**first.arrays(), "confusion": np.asarray(first.confusion)}
    name = str(found.scores["decoder"].iloc[0])
    panels = [_bars(found.scores, arrays)]
    panels.append({"draw": "confusion", "title": f"Confusion matrix, {_spoken(name)}", "args": {"matrix": "@confusion", "labels": classes},
                   "caption": "Held-out windows only, all folds together."})  # fmt: skip
    metric = str(first.scores["metric"].iloc[0])
    if len(arrays.get(f"null/{metric}", ())):
        decoded = first.scores[(first.scores["row"] == "decoded") & (first.scores["metric"] == metric)]
        panels.append({"draw": "null_histogram", "title": f"Permuted labels, {_spoken(name)}",
                       "args": {"observed": float(decoded["value"].iloc[0]), "null": f"@null/{metric}", "label": "AUC" if metric == "auc" else metric.replace("_", " ")},
                       "caption": "Filters, choice of features and linear model were learned anew for each labelling."})  # fmt: skip
    for made in (_patterns(narrow, y, classes), _map(broad, y, classes, span)):
        if made is not None:
            arrays.update(made[0])
            panels.append(made[1])
    for decoder, static in found.adapting.items():
        arrays["adapting/adaptive"], arrays["adapting/static"] = found.correct[decoder], static
    notes = [
        "Patterns and the map of r² are drawn from all windows: they describe, nothing is chosen or scored by them.",
        "Differences between decoders are paired over the same held-out windows; over subjects they are tested by sign flips.",
    ]
    if found.adapting:
        notes.append(
            "The decoder that adapts is told right or wrong after each of its decisions on held-out windows, as in use; each score counts "
            "decisions made before their feedback. A trial is an episode of one step (a contextual bandit)."
        )
    if found.scores["decoder"].str.contains("recentre").any():
        notes.append(
            "Re-centring moves the windows of a held-out session by their own mean: no label is used, but these windows are seen together "
            "before any is decided on (transductive)."
        )
    return arrays, panels, _answers(found.scores, name), notes


def _spoken(decoder: str) -> str:
    return _NAMES.get(decoder, decoder.replace("_", " "))


def _bars(scores: pd.DataFrame, arrays: dict[str, Any], *, prefix: str = "decoders", who: str = "") -> Panel:
    """Decoders side by side, by the first metric."""
    metric = str(scores["metric"].iloc[0])
    mine = scores[(scores["metric"] == metric) & scores["row"].isin(["decoded", "static_twin"])]
    rows = [
        f"decoded: {_spoken(d)}" if r == "decoded" else f"{_spoken(d)}, static twin"
        for d, r in zip(mine["decoder"], mine["row"], strict=True)
    ]
    for column in ("value", "low", "high", "p", "n"):
        arrays[f"{prefix}/{column}"] = mine[column].to_numpy(dtype=float)
    return {"draw": "score_bars", "title": f"Decoders on the same held-out windows{who}",
            "args": {"rows": rows, "values": f"@{prefix}/value", "low": f"@{prefix}/low", "high": f"@{prefix}/high", "p": f"@{prefix}/p",
                     "n": f"@{prefix}/n", "chance": float(mine["chance"].iloc[0]), "metric": metric.replace("_", " ")},
            "caption": "A static twin is the same decoder with the weights that it had after training."}  # fmt: skip


def _patterns(windows: Windows, y: np.ndarray, classes: Sequence[str]) -> tuple[dict[str, np.ndarray], Panel] | None:
    """Strongest patterns of each class, from all windows."""
    positions = windows.channels[["x", "y", "z"]].to_numpy(dtype=float)
    if not np.isfinite(positions).all(axis=1).any() or windows.n_channels < 4:
        return None
    try:
        csp = CSP(2).fit(windows, y).csp_
    except BraindecError:
        return None  # too few windows or channels for a picture; the decoders said so where it matters
    if len(classes) == 2:
        chosen, names = [0, 1, 2, 3], [f"{classes[1 - (i // 2)]} {csp.share[i]:.2f}" for i in range(4)]
        names = [
            f"{classes[1]} {csp.share[i]:.2f}" if i < 2 else f"{classes[0]} {1 - csp.share[i]:.2f}" for i in range(4)
        ]
    else:  # imagery damps a rhythm, so a class shows in the components that it has least of, too
        chosen = [i for k in range(len(classes)) for i in np.flatnonzero(csp.target == k)[[0, 2]]]
        names = [f"{classes[csp.target[i]]} {csp.share[i]:.2f}" for i in chosen]
    arrays = {"csp/patterns": csp.patterns[:, chosen], "csp/positions": positions}
    return arrays, {"draw": "csp_patterns", "title": "Common spatial patterns", "args": {"patterns": "@csp/patterns", "positions": "@csp/positions",
                    "names": [n.replace("_", " ") for n in names]},
                    "caption": "From all windows. Numbers: share of the component's variance that falls to the class (0.5: no difference); "
                    "imagery damps rhythms, so a class may show by a share below 0.5. Signs of patterns are arbitrary."}  # fmt: skip


def _map(
    windows: Windows, y: np.ndarray, classes: Sequence[str], span: tuple[float, float | None]
) -> tuple[dict[str, np.ndarray], Panel] | None:
    """Map of r-squared of log power, from all windows."""
    top = min(36.0, np.floor(windows.sfreq / 2) - 1)
    if top < 8:
        return None
    decoder = R2Selected(band=(4.0, top), tmin=span[0], tmax=span[1])
    try:
        powers = decoder.powers(windows)
    except BraindecError:
        return None
    codes = np.unique(y, return_inverse=True)[1]
    two = len(classes) == 2
    r2 = signed_r2(powers, codes == 0) if two else best_r2(powers, codes, len(classes))
    label = f"signed r² ({classes[0]} − {classes[1]})".replace("_", " ") if two else "r², best class against the rest"
    arrays = {
        "r2/map": r2,
        "r2/freqs": np.arange(4.0, top + 1e-9, 1.0),
        "r2/channels": np.array(windows.ch_names, dtype=object),
    }
    return arrays, {"draw": "r2_map", "title": "Which channels and frequencies tell the classes apart",
                    "args": {"r2": "@r2/map", "freqs": "@r2/freqs", "ch_names": "@r2/channels", "label": label},
                    "caption": "Log power (Burg), all windows: descriptive. A decoder that selects by it does so inside each fold."}  # fmt: skip


def _answers(scores: pd.DataFrame, first: str) -> list[Any]:
    """Which decoders are told apart from the first, and what feedback adds."""
    found: list[Any] = []
    for row in scores[scores["metric"] == "balanced_accuracy_difference"].itertuples():
        against = row.row == f"over_{first}"
        says = "higher for" if row.low > 0 else "lower for" if row.high < 0 else "no difference shown for"
        if against and says.startswith("no "):
            continue
        about = (
            f"Against {_spoken(first)} on the same windows"
            if against
            else "Learning from feedback during use, against weights held after training"
        )
        found.append({"about": about, "says": says, "item": _spoken(str(row.decoder))})
    return found


def summary_of(results: Sequence[Result], *, seed: int = 0) -> Result | None:
    """Return means over subjects of each decoder; differences between decoders are tested by sign flips over subjects."""
    if len(results) < 2:
        return None
    tables = []
    for decoder in dict.fromkeys(results[0].scores["decoder"]):
        each = [Result(r.scores[r.scores["decoder"] == decoder].drop(columns="decoder")) for r in results]
        grouped = group_scores(each, seed=seed)
        if grouped is None:
            continue
        table = grouped.scores.assign(decoder=decoder)
        for place in table.index[table["metric"] == "balanced_accuracy_difference"]:
            row = table.loc[place, "row"]
            values = [
                float(e.scores.loc[e.scores["row"] == row, "value"].iloc[0])
                for e in each
                if (e.scores["row"] == row).any()
            ]
            table.loc[place, "p"] = sign_flip_test(np.array(values), two_sided=True, rng=seed)
            table.loc[place, "note"] = (
                f"mean of {len(values)} units, interval over units, p by sign flips over units (two-sided)"
            )
        tables.append(table)
    if not tables:
        return None
    scores, arrays = pd.concat(tables, ignore_index=True), dict[str, Any]()
    metric = str(scores["metric"].iloc[0])
    bars = scores.copy()
    bars.loc[bars["row"] == "decoded", "p"] = np.nan  # combined p of units: not of the mean that is drawn
    panels = [_bars(bars[bars["metric"] == metric], arrays, who=f", mean of {len(results)} subjects")]
    course = _course(results, arrays)
    return Result(scores, arrays, {"panels": [*panels, *course]})


def _course(results: Sequence[Result], arrays: dict[str, Any]) -> list[Panel]:
    """Accuracy along the held-out session, adapting and static, mean over subjects with standard errors."""
    pairs = [
        (r.arrays["adapting/adaptive"], r.arrays["adapting/static"]) for r in results if "adapting/adaptive" in r.arrays
    ]
    n = min((len(a) for a, _ in pairs), default=0) // _BLOCK
    if len(pairs) < 2 or n < 2:
        return []
    hits = np.array(pairs)[:, :, : n * _BLOCK] if len({len(a) for a, _ in pairs}) == 1 else np.array(
        [[a[: n * _BLOCK], b[: n * _BLOCK]] for a, b in pairs])  # fmt: skip
    blocks = hits.reshape(len(pairs), 2, n, _BLOCK).mean(axis=3)
    mean, error = blocks.mean(axis=0), 1.96 * blocks.std(axis=0, ddof=1) / np.sqrt(len(pairs))
    arrays.update({"course/trials": np.arange(1, n + 1) * _BLOCK, "course/value": mean, "course/low": np.clip(mean - error, 0, 1),
                   "course/high": np.clip(mean + error, 0, 1)})  # fmt: skip
    chance = float(results[0].scores["chance"].iloc[0])
    return [{"draw": "adaptation_course", "title": "Along the held-out session",
             "args": {"trials": "@course/trials", "values": "@course/value", "low": "@course/low", "high": "@course/high", "chance": chance,
                      "labels": ["adapting", "static twin"]},
             "caption": f"Share of right decisions in blocks of {_BLOCK} held-out trials, mean over {len(pairs)} subjects; bands: 95 % over "
             "subjects (normal)."}]  # fmt: skip
