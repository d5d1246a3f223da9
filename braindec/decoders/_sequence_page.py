"""What the page of a speech decoder shows: each subject, the minutes of a new one, facts, notes, and what baselines are beaten by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._calibration import CalibrationCurve
from braindec.evaluate.segment_retrieval import SegmentRetrieval
from braindec.types import Segments, Windows

_FEWEST_DRAWS = 4  # of the calibration minutes, for an interval to be drawn
_SAYS = {
    "over_regression": ("Contrast", "regression with the same network"),
    "over_no_subject_layers": ("A layer for each subject", "none"),
    "over_ridge": ("The network", "ridge"),
    "over_deep_mel": ("The features as they are", "a representation of the sound that is learned too"),
}

__all__ = ["answers_of", "calibration_panel", "facts_of", "minutes_answer", "notes_of", "subjects_panel"]


def subjects_panel(
    found: Mapping[str, SegmentRetrieval], metric: str, arrays: dict[str, np.ndarray], *, controls: Sequence[str]
) -> dict[str, Any]:
    """Add top-k of each subject to ``arrays`` for each row of ``found``, and return the panel of "decoded" and the controls."""
    first = found["decoded"]
    names = list(dict.fromkeys(first.queries["subject"]))
    for row, one in found.items():
        credit = pd.Series(one.credit[f"segment/{metric}"]).groupby(one.queries["subject"].to_numpy()).mean()
        arrays[f"subjects/{row}"] = credit[names].to_numpy()
    table = _rows(first, metric, "segment")
    args = {"units": names, "values": "@subjects/decoded", "chance": float(table["chance"].iloc[0]), "metric": f"{_named(metric)} of segments",
            "controls": {row.replace("_", " "): f"@subjects/{row}" for row in controls}}  # fmt: skip
    if "subject" in table:
        own = table.set_index("subject").loc[names]
        for end in ("low", "high"):
            arrays[f"subjects/{end}"] = own[end].to_numpy(dtype=float)
            args[end] = f"@subjects/{end}"
    return {"draw": "subject_scores", "title": "Each subject", "args": args,
            "caption": f"One model for all; {len(first.candidate_ids)} candidate segments. Intervals over test contents. Light marks: control rows."}  # fmt: skip


def calibration_panel(
    curve: CalibrationCurve, subject: str, arrays: dict[str, np.ndarray], *, n_draws: int
) -> dict[str, Any]:
    """Add the curve to ``arrays`` and return its panel; bands only where there are draws enough for them."""
    found = curve.arrays()
    conditions = [str(c) for c in found.pop("conditions")]
    bands = "Bands: 95 % over draws of the minutes (and first weights)."
    if n_draws < _FEWEST_DRAWS:
        del found["low"], found["high"]
        bands = f"Points: means of {n_draws} draws of the minutes (and first weights)."
    arrays |= {f"calibration/{k}": v for k, v in found.items() if k not in ("n_trials", "minutes")}
    args = {f"{k}": f"@calibration/{k}" for k in found if k not in ("n_trials", "minutes")}
    return {"draw": "calibration_curve", "title": f"How many minutes a new subject needs (subject {subject})",
            "caption": f"Top-10 of {curve.n_test} test windows among {curve.n_candidates} segments. Adapted: the other subjects' model with a layer of its "
            f"own, all else kept; zero-shot: the mean of the others' layers, channels scaled by the same windows. {bands}",
            "args": {**args, "conditions": conditions, "unit": curve.unit, "chance": curve.chance, "n_seeds": n_draws,
                     "n_candidates": curve.n_candidates, "metric": "top-10 of segments"}}  # fmt: skip


def minutes_answer(curve: CalibrationCurve, subject: str) -> str:
    """What the fewest and the most minutes of a new subject bring, in a sentence; the curve is drawn below it."""
    found = curve.arrays()
    value = dict(zip((str(c) for c in found["conditions"]), 100 * np.asarray(found["value"]), strict=True))
    adapted, alone, before = (value[c] for c in ("adapted", "scratch", "zero-shot"))
    few, many = (f"{found['amount'][k]:.1f} min" for k in (0, -1))
    return (
        f"Subject {subject}, taken as a new one: the segment is in the top-10 in {adapted[0]:.0f} % of windows after {few} of data and in "
        f"{adapted[-1]:.0f} % after {many} ({alone[0]:.0f} % and {alone[-1]:.0f} % without other subjects, {before[0]:.0f} % before any "
        f"training on this subject, chance {100 * curve.chance:.0f} %)."
    )


def facts_of(
    name: str, parts: Mapping[str, Sequence[Windows]], segments: Segments, candidates: Segments
) -> dict[str, Any]:
    """Facts of the data for the report; what was dropped goes under warnings."""
    count = {p: sum(len(w) for w in own) for p, own in parts.items()}
    contents = {p: len({c for w in own for c in w.trials["content_id"]}) for p, own in parts.items()}
    first, sensors = parts["train"][0], sorted({w.n_channels for w in parts["train"]})
    dropped = [d for p in ("train", "test") for w in parts[p] for d in w.info.get("dropped", [])]
    return {
        "data": name, "subjects": len(parts["train"]), "channels": ", ".join(map(str, sensors)), "sampling frequency (Hz)": first.sfreq,
        "windows": f"{count['train']:,} training (by stride), {count['validation']:,} validation, {count['test']:,} test (at words)",
        "contents (blocks of sentences)": f"{contents['train']} training, {contents['validation']} validation, {contents['test']} test",
        "window (s)": f"{first.tmin:g} to {first.tmin + first.n_times / first.sfreq:g} of the recording, {first.info.get('shift', 0):g} behind the sound",
        "features": f"{segments.shape[1]} ({segments.units[0]}, ...)", "candidates": len(candidates), "warnings": list(dict.fromkeys(dropped)),
    }  # fmt: skip


def notes_of(decoded: SegmentRetrieval, parts: Mapping[str, Sequence[Windows]]) -> list[str]:
    """Sentences on the split, chance and tests."""
    said, repeated = list(decoded.notes), [r for w in parts["train"] for r in w.info.get("repeated", [])]
    if repeated:
        said.append(f"Sentences are heard in several recordings by {len(repeated)} subjects; all presentations of a sentence are on one side of the "
                    "split, in every subject.")  # fmt: skip
    said.append("Chance of a word is what the same rankings would score if each window's word were that of a random test window: frequent words are "
                "found more often. Intervals resample contents and subjects; p exchanges whole contents, the same for all subjects.")  # fmt: skip
    return said


def answers_of(differences: Sequence[Mapping[str, Any]], decoded: SegmentRetrieval, metric: str) -> list[str]:
    """How far from chance, and what the parts of the method gain, in sentences that claim no more than the test shows."""
    segment, word = (_rows(decoded, metric, level).iloc[0] for level in ("segment", "word"))
    said = [f"The segment is in the {_named(metric)} of candidates {segment['value'] / segment['chance']:.1f} times as often as by chance; its word is "
            f"there in {100 * word['value']:.0f} % of windows (chance {100 * word['chance']:.0f} %)."]  # fmt: skip
    for d in differences:
        who, whom = _SAYS[d["row"]]
        if d["p"] <= 0.05 and d["low"] > 0:
            call = f"gains {d['value']:.2f} in {_named(metric)} over {whom}"
        else:
            call = f"shows no gain over {whom} in {_named(metric)} ({d['value']:+.2f})"
        said.append(
            f"{who} {call} (95 % {d['low']:.2f} to {d['high']:.2f}, p = {d['p']:.2g}; paired over {d['n']} subjects, one training each)."
        )
    return said


def _rows(found: SegmentRetrieval, metric: str, level: str) -> pd.DataFrame:
    t = found.scores
    return t[(t["metric"] == metric) & (t["level"] == level) & (t["row"] == "decoded")]


def _named(metric: str) -> str:
    return metric.replace("top", "top-")
