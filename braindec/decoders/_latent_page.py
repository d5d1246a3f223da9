"""Parts of the recipe of latents: sessions from spikes or recordings, panels of the report, what is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindec.decoders._latent_scores import LatentData, LatentFits
from braindec.errors import BraindecError, did_you_mean
from braindec.spikes.read_out import ReadOut, Score
from braindec.types import Recording, Spikes

__all__ = ["latent_panels", "latent_said", "sessions_of"]

_BLANK = "none"


def sessions_of(
    several: Sequence[Spikes | Recording], *, width: float, channels: Sequence[str], column: str | None, circular: bool,
    seconds: float | None, names: Sequence[str],
) -> tuple[LatentData, list[str]]:  # fmt: skip
    """Return sessions with their labels, and notes.

    Parameters
    ----------
    several : sequence of Spikes or Recording
    width : float
        Bin width of spikes, s.
    channels : sequence of str
        Channels of recordings that are labels (of type "misc"); an angle in rad with ``circular``.
    column : str, optional
        Column of the events that labels samples from onset to the end of the event; "none" outside.
    circular : bool
    seconds : float, optional
        Only so much of each session, from its beginning.
    names : sequence of str
    """
    signals, labels, rates, notes = [], [], [], []
    for one in several:
        recording = one.counts(width) if isinstance(one, Spikes) else one
        if seconds is not None and recording.duration > seconds:
            notes.append(f"The first {seconds:g} s of {recording.duration:.0f} s of a session are used.")
            recording = recording.select(tmax=seconds)
        unknown = [c for c in channels if c not in recording.ch_names]
        if unknown:
            known = recording.channels["name"][recording.channels["type"] == "misc"].tolist()
            raise BraindecError(f"{recording.label} has no channel {unknown[0]!r}{did_you_mean(unknown[0], known)}",
                                allowed=", ".join(map(str, known[:20])) or "no misc channel")  # fmt: skip
        values = recording.signal.read().astype(np.float64)
        keep = ((recording.channels["type"] != "misc") & ~recording.channels["name"].isin(list(channels))).to_numpy()
        if keep.sum() < 2:
            raise BraindecError(
                f"{recording.label} has fewer than 2 signals beside its labels", found=f"{int(keep.sum())}"
            )
        signals.append(values[keep])
        rates.append(recording.sfreq)
        if channels:
            labels.append(values[[recording.ch_names.index(c) for c in channels]].T)
        elif column is not None:
            labels.append(_event_labels(recording, column))
    if len({round(r, 6) for r in rates}) > 1:
        notes.append(
            f"Sessions were sampled at {', '.join(f'{r:.3g}' for r in rates)} Hz; windows have the same number of samples."
        )
    rate = float(np.mean(rates))
    if not labels:
        shown = [np.arange(s.shape[1]) / rate for s in signals]
        return LatentData(signals, [], shown, rate, list(names), "time (s)"), notes
    if column is not None and not channels:
        classes = sorted(set(np.concatenate(labels).tolist()))
        codes = [np.searchsorted(classes, v).astype(float) for v in labels]
        return LatentData(signals, labels, codes, rate, list(names), column, False, classes), notes
    if circular:
        if len(channels) != 1:
            raise BraindecError("a circular label is one channel", found=", ".join(channels))
        angles = [np.angle(np.exp(1j * v[:, 0])) for v in labels]
        pairs = [np.stack([np.cos(a), np.sin(a)], axis=1) for a in angles]
        return LatentData(signals, pairs, angles, rate, list(names), f"{channels[0]} (rad)", True), notes
    together = np.concatenate(labels)
    mean, scale = together.mean(axis=0), np.where(together.std(axis=0) > 0, together.std(axis=0), 1.0)
    scaled = [(v - mean) / scale for v in labels]
    return LatentData(signals, scaled, [v[:, 0] for v in labels], rate, list(names), ", ".join(channels)), notes


def latent_panels(
    data: LatentData, fits: Mapping[str, LatentFits], rows: Sequence[Mapping[str, Any]], read: Mapping[str, list[ReadOut]],
    score: Score | None, *, seconds: float = 60.0, n_shown: int = 2,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:  # fmt: skip
    """Return panels and arrays: scores, clouds of the first held-out block, a decoded trace, the null, consistency."""
    arrays: dict[str, np.ndarray] = {}
    panels = []
    if rows and data.labels:
        metric = rows[0]["metric"]
        mine = [r for r in rows if r["metric"] == metric]
        panels.append(_bars("read", mine, arrays, "What is read from held-out time", "R²" if metric == "r2" else metric.replace("_", " "),
                            "Contiguous blocks of time that neither the embedding nor the read-out was fitted to. Lines: 95 % intervals over "
                            "stretches of time. Light: the same read-out of linear latents."))  # fmt: skip
    panels.append(_clouds(data, fits, arrays, n_shown))
    if data.labels and data.classes is None and "linear" in read:
        found = read["linear"][0]
        some = slice(0, max(10, round(seconds * data.sfreq)))
        arrays |= {
            "trace/times": found.rows[some] / data.sfreq,
            "trace/true": found.true[some, 0],
            "trace/decoded": found.predicted[some, 0],
        }
        what = f"cosine of {data.label.removesuffix(' (rad)')}" if data.circular else data.label.split(", ")[0]
        panels.append({"draw": "decoded_trace", "title": "Held-out time, first session", "caption": "Linear read-out of the first embedding, "
                       "first held-out block." + ("" if data.circular else " In standard deviations."),
                       "args": {"times": "@trace/times", "true": "@trace/true", "decoded": "@trace/decoded", "label": what}})  # fmt: skip
    if score is not None and len(score.null):
        arrays["read/null"] = score.null
        panels.append({"draw": "null_histogram", "title": "Against labels turned around in time", "caption": f"{len(score.null)} circular shifts "
                       "within sessions, longer than the gap: what slow latents and slow labels share by accident.",
                       "args": {"observed": score.value, "null": "@read/null", "label": "R²" if score.metric == "r2" else score.metric.replace("_", " "),
                                "chance": score.chance}})  # fmt: skip
    mine = [r for r in rows if r["metric"] == "consistency"]
    if mine:
        panels.append(_bars("consistency", mine, arrays, "Do sessions agree?", "R² of linear maps", "Means of the latents over bins of the label, "
                            "mapped from one session (other neurons) to the other; maps are fitted and scored on different held-out time."))  # fmt: skip
    return panels, arrays


def latent_said(rows: Sequence[Mapping[str, Any]], data: LatentData) -> list[str]:
    """Return sentences for the top of the page."""
    out = []
    label = data.label.removesuffix(" (rad)")
    first = rows[0]["metric"] if rows else ""
    linear = [r for r in rows if r["metric"] == first and r.get("read_out") == "linear read-out"]
    if first in ("r2", "balanced_accuracy") and linear:
        own = ", ".join(f"{r['value']:.2f} ({r['model']})" for r in linear if r["row"] == "decoded")
        others = ", ".join(f"{r['value']:.2f} ({r['row']})" for r in linear if r["row"] != "decoded")
        name = "R²" if first == "r2" else "balanced accuracy"
        out.append(
            f"{label} by linear read-out of held-out time: {name} = {own}"
            + (f"; linear latents {others}." if others else ".")
        )
    same = [r for r in rows if r["metric"] == "consistency"]
    if same:
        parts = []
        for r in same:
            p = f", p = {r['p']:.2g}" if np.isfinite(r["p"]) else ""
            parts.append(f"{r['value']:.2f} ({r.get('model') or r['row']}{p})")
        agree = any(r["row"] == "decoded" and r["low"] > 0 and r["p"] <= 0.05 for r in same)
        out.append(
            f"{'Sessions agree' if agree else 'That sessions agree is not shown'}: R² of linear maps between their latents over "
            f"{label}, on held-out time, {', '.join(parts)}."
        )
    return out


def _clouds(
    data: LatentData, fits: Mapping[str, LatentFits], arrays: dict[str, np.ndarray], n_shown: int
) -> dict[str, Any]:
    points, colours, names = [], [], []
    n_sessions = min(len(data.signals), n_shown)
    axes = {}
    for name, found in fits.items():
        train = np.concatenate([found.latents[0][s][found.folds[s][0][0]] for s in range(n_sessions)])
        centre = train.mean(axis=0)
        # axes of largest variance of the training samples of all sessions shown
        axes[name] = centre, np.linalg.eigh(np.cov((train - centre).T))[1][:, ::-1][:, : min(3, train.shape[1])]
    for s in range(n_sessions):  # a row of clouds for each session
        for name, found in fits.items():
            points.append((found.held(s, 0) - axes[name][0]) @ axes[name][1])
            colours.append(data.shown[s][found.folds[s][0][1]])
            names.append(f"{name}, {data.names[s]}" if len(data.signals) > 1 else name)
    most, dims = max(map(len, points)), min(p.shape[1] for p in points)
    cloud, colour = np.full((len(points), most, dims), np.nan), np.full((len(points), most), np.nan)
    for k, (p, c) in enumerate(zip(points, colours, strict=True)):
        cloud[k, : len(p)], colour[k, : len(c)] = p[:, :dims], c
    arrays["latents/points"], arrays["latents/colour"] = cloud, colour
    args: dict[str, Any] = {
        "points": "@latents/points",
        "colour": "@latents/colour",
        "names": names,
        "label": data.label.split(", ")[0],
        "columns": len(fits),
    }
    if data.classes is not None:
        args["classes"] = data.classes
    elif data.circular:
        args["cyclic"] = True
    return {"draw": "latent_space", "title": "Latents of held-out time", "args": args,
            "caption": "The first held-out block of each session, on the axes of largest variance of the training samples. "
            "Sessions of one model share axes; without labels in training nothing turns their latents into each other."}  # fmt: skip


def _bars(
    name: str, mine: Sequence[Mapping[str, Any]], arrays: dict[str, np.ndarray], title: str, metric: str, caption: str
) -> dict[str, Any]:
    words = []
    for r in mine:
        label = str(r["model"]) if r["row"] == "decoded" else str(r["row"]).replace("_", " ")
        way = {"linear read-out": ", linear", "nearest neighbours": ", neighbours"}.get(str(r.get("read_out")), "")
        words.append(("decoded: " if r["row"] == "decoded" else "") + label + way)
    for column in ("value", "low", "high", "p"):
        arrays[f"{name}/{column}"] = np.array([float(r.get(column, np.nan)) for r in mine])
    chance = float(mine[0]["chance"])
    return {"draw": "score_bars", "title": title, "caption": caption, "args": {"rows": words, "values": f"@{name}/value", "low": f"@{name}/low",
            "high": f"@{name}/high", "p": f"@{name}/p", "chance": chance, "metric": metric}}  # fmt: skip


def _event_labels(recording: Recording, column: str) -> np.ndarray:
    """The class of every sample: that of the event that it lies in, or "none"."""
    events = recording.events
    if column not in events:
        raise BraindecError(
            f"{recording.label} has no column {column!r} in its events{did_you_mean(column, events.columns)}",
            allowed=", ".join(map(str, events.columns)),
        )
    out = np.full(recording.n_times, _BLANK, dtype=object)
    for onset, duration, name in zip(events["onset"], events["duration"], events[column].astype(str), strict=True):
        first = max(0, round(onset * recording.sfreq))
        out[first : max(first + 1, round((onset + duration) * recording.sfreq))] = name
    return out.astype(str)
