"""The result of word decoding: panels, notes and answers beside the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._channel_selection import ChannelSelection
from braindec.evaluate.audit import Audit
from braindec.signal.regions import RegionGroups
from braindec.stats.fdr import fdr_bh
from braindec.types import Result, Split

__all__ = ["word_result"]

_COMPARED = ("decoded", "from scratch", "high gamma", "few labels", "few labels, from scratch", "few labels, high gamma", "label_shuffle",
             "noise_input", "time_only")  # fmt: skip
_LAST = ("label_shuffle", "noise_input", "time_only")
_MANY = 12  # classes beyond which they are counted, not listed


def word_result(
    scores: pd.DataFrame, card: Audit, facts: Mapping[str, Any], *, choice: ChannelSelection, groups: RegionGroups | None,
    history: Mapping[str, Mapping[str, np.ndarray]], codes: np.ndarray | None, split: Split, planted: Sequence[str] | None,
) -> Result:  # fmt: skip
    """Return the result of one subject.

    Parameters
    ----------
    scores : DataFrame
        All rows; regions have the column ``region``.
    history : mapping
        Of du_in's stages.
    codes : array of shape (n_codes,), optional
        How many tokens of the held-out windows each code has.
    planted : list of str, optional
        Contacts that carry words, where that is known.
    """
    if "region" not in scores:
        scores = scores.assign(region=None)
    place = {name: k for k, name in enumerate(_COMPARED)}
    rank = [
        place.get(row, len(place) / 2) if row not in _LAST else len(place) for row in scores["row"]
    ]  # controls at the end
    scores = scores.assign(_rank=rank).sort_values("_rank", kind="stable").drop(columns="_rank").reset_index(drop=True)
    main = scores[(scores["metric"] == "accuracy") & scores["region"].isna()]
    arrays: dict[str, np.ndarray] = {}
    panels = [
        _bars(main, arrays),
        *_regions(scores, arrays),
        _channels(choice, arrays),
        *_training(history, codes, arrays),
    ]
    notes = [f"Held out: {split.name}, {len(split.test)} windows; trained on {len(split.train)}. Channels were chosen on the training windows, the same "
             "ones for every row without a region; with few labels too, so these rows owe their channels to all training labels."]  # fmt: skip
    if "mae" in history:
        last, stage = history["mae"], history["vqvae"]
        notes.append(f"Codes on held-out windows without labels: perplexity {stage['validation_perplexity'][-1]:.0f}, {100 * stage['validation_usage'][-1]:.0f} % of "
                     f"them used; hidden codes are guessed in {100 * last['validation_accuracy'][-1]:.0f} % of cases, {100 * last['validation_chance'][-1]:.0f} % by naming "
                     "the most frequent one.")  # fmt: skip
    notes += list(groups.says()) if groups is not None else []
    told = {k: list(facts.get(k, [])) for k in ("warnings", "citations")}
    shown = {k: v for k, v in facts.items() if k not in told}
    if len(shown.get("classes", {})) > _MANY:
        each = sorted(set(shown["classes"].values()))
        shown["classes"] = (
            f"{len(shown['classes'])} words, {' to '.join(map(str, dict.fromkeys((each[0], each[-1]))))} windows each"
        )
    made_by = {"overview": shown, "audit": card.to_dict(), "panels": panels, "notes": notes,
               "answers": _answers(scores, choice, planted), **told}  # fmt: skip
    return Result(scores, arrays, made_by)


def _bars(main: pd.DataFrame, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    table = main.set_index("row").reindex([r for r in _COMPARED if r in set(main["row"])])
    counts = main[main["row"].str.match(r"high gamma, \d+ channel")].set_index("row")
    table = pd.concat([table, counts])
    for column in ("value", "low", "high", "p", "n"):
        arrays[f"rows/{column}"] = table[column].to_numpy(dtype=float)
    args = {"rows": list(table.index), "values": "@rows/value", "low": "@rows/low", "high": "@rows/high", "p": "@rows/p", "n": "@rows/n",
            "chance": float(table["chance"].iloc[0]), "metric": "accuracy"}  # fmt: skip
    return {"draw": "score_bars", "title": "Words of the held-out run", "args": args,
            "caption": "decoded: all stages, all labels. High gamma: linear decoder. Channels were chosen on training windows."}  # fmt: skip


def _regions(scores: pd.DataFrame, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    table = scores[(scores["metric"] == "accuracy") & scores["region"].notna() & (scores["row"] == "decoded")]
    if not len(table):
        return []
    for column in ("value", "low", "high"):
        arrays[f"regions/{column}"] = table[column].to_numpy(dtype=float)
    args = {"values": "@regions/value", "names": list(table["region"]), "low": "@regions/low", "high": "@regions/high",
            "chance": float(table["chance"].iloc[0]), "label": "accuracy"}  # fmt: skip
    return [{"draw": "roi_bars", "title": "Words from each region alone", "args": args,
             "caption": "Linear decoder of the high-gamma power of all channels of a region; bars begin at chance."}]  # fmt: skip


def _channels(choice: ChannelSelection, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    order = choice.scores.sort_values(ascending=False, kind="stable")
    arrays["channels/score"] = order.to_numpy(dtype=float)
    return {"draw": "roi_bars", "title": "Channels by how well they tell words apart",
            "args": {"values": "@channels/score", "names": list(order.index), "chance": 0.5, "label": "true word beats another one"},
            "caption": f"Each channel alone, in inner folds of the training windows; the first {len(choice.names)} were used."}  # fmt: skip


def _training(
    history: Mapping[str, Mapping[str, np.ndarray]], codes: np.ndarray | None, arrays: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    panels = []
    for stage, table in history.items():
        for name, values in table.items():
            arrays[f"training/{stage}/{name}"] = np.asarray(values)
    if "vqvae" in history:
        panels.append({"draw": "training_curves", "title": "Windows from codes",
                       "args": {"train": "@training/vqvae/train_loss", "validation": "@training/vqvae/validation_error", "ylabel": "squared error", "chance": 1.0},
                       "caption": "Without labels. 1 is what a flat line has. The validation windows are the end of each recording; the step up is where codes begin."})  # fmt: skip
    if "mae" in history:
        used = float(history["vqvae"]["validation_perplexity"][-1])
        panels.append({"draw": "training_curves", "title": "Codes of hidden tokens",
                       "args": {"train": "@training/mae/train_loss", "validation": "@training/mae/validation_loss", "chance": float(np.log(used))},
                       "caption": "Without labels. Guessing by frequency alone has the logarithm of the perplexity."})  # fmt: skip
    if codes is not None and np.sum(codes) > 0:
        arrays["codes/counts"] = np.asarray(codes)
        panels.append({"draw": "codebook_usage", "title": "Use of the codes", "args": {"counts": "@codes/counts"},
                       "caption": "Tokens of the held-out windows. A codebook that has collapsed uses a few codes only."})  # fmt: skip
    return panels


def _answers(
    scores: pd.DataFrame, choice: ChannelSelection, planted: Sequence[str] | None
) -> list[Any]:  # fmt: skip
    said: list[Any] = []
    gains = scores[scores["metric"] == "accuracy_difference"].set_index("row")
    for row, item in (("few labels, over scratch", "few labels"), ("over scratch", "all labels")):
        if row in gains.index:
            found = gains.loc[row]
            says = (
                "is not shown to change the score with"
                if found["p"] > 0.05
                else "raises the score with"
                if found["value"] > 0
                else "lowers the score with"
            )
            said.append({"about": "Training without labels first", "says": says, "item": item})
    regions = scores[(scores["metric"] == "accuracy") & scores["region"].notna() & (scores["row"] == "decoded")]
    if len(regions):
        q = fdr_bh(regions["p"].to_numpy(dtype=float))
        found = list(regions["region"][(q <= 0.05) & (regions["low"] > regions["chance"]).to_numpy()])
        said.append(f"Words are decoded from {', '.join(found)} alone (false discovery rate 5 % over {len(regions)} regions)." if found
                    else f"No single region of {len(regions)} is shown to carry words.")  # fmt: skip
    if planted is not None:
        right = sum(any(part in set(planted) for part in name.split("-")) for name in choice.names)
        said.append(f"{right} of the {len(choice.names)} chosen channels carry words (the data are made up).")
    return said
