"""Files of speech twins: MEG as FIF inside BIDS, sounds, TextGrids; same content, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.evaluate.splits import content_split
from braindec.loaders._speech_brain import helmet
from braindec.loaders._twin_files import save_json, save_tsv
from braindec.loaders.synthetic_speech import SpeechTruth, Story, made_up_story
from braindec.loaders.twin import write_truth
from braindec.signal.speech_windows import speech_windows
from braindec.types import Recording

__all__ = [
    "coils",
    "envelope",
    "montage_layout",
    "save_bids_meg",
    "save_fif",
    "save_textgrid",
    "settings_of",
    "stories_of",
    "write_speech_truth",
]

# settings of a first look at a few sentences: shares that few contents allow, and few comparisons
_SMALL: dict[str, Any] = {
    "baselines": ["ridge"], "controls": ["label_shuffle"], "calibration": {"n_draws": 0}, "n_permutations": 200, "n_bootstrap": 200,
}  # fmt: skip
_SHARES = {"test": 0.35, "validation": 0.25}
_IDS = (100, 103, 110, 120)  # FIFF_FILE_ID, BLOCK_ID, PARENT_FILE_ID, PARENT_BLOCK_ID
_ID_STRUCT = 31


def coils(n_channels: int, *, coil_type: int, name: str = "MEG {:03d}") -> pd.DataFrame:
    """Return axial gradiometers on a helmet: name, x, y, z (m), coil_type (FIFF), coord_frame (head), loc."""
    places = helmet(n_channels)
    out = (places - [0.0, 0.0, 0.04]) / np.linalg.norm(places - [0.0, 0.0, 0.04], axis=1, keepdims=True)
    side = np.cross(out, [0.0, 0.0, 1.0])
    side = np.where(np.linalg.norm(side, axis=1, keepdims=True) > 1e-6, side, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    frame = np.concatenate([places, side, np.cross(out, side), out], axis=1)
    return pd.DataFrame({
        "name": [name.format(k + 1) for k in range(n_channels)], **dict(zip("xyz", places.T, strict=True)),
        "coil_type": coil_type, "coord_frame": 4, "loc": [row.tolist() for row in frame],
    })  # fmt: skip


def montage_layout(name: str, channels: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the places of a montage of mne: name, x, y, z (m); those of ``channels``, or all."""
    import mne

    places = mne.channels.make_standard_montage(name).get_positions()["ch_pos"]
    names = list(channels) if channels is not None else list(places)
    return pd.DataFrame({"name": names, **dict(zip("xyz", np.array([places[n] for n in names]).T, strict=True))})


def envelope(story: Story, sfreq: float) -> np.ndarray:
    """Return the mean size of a sound in each sample of another rate, (n_times,)."""
    edges = np.round(np.arange(int(story.duration * sfreq) + 1) / sfreq * story.sfreq).astype(int)
    total = np.r_[0.0, np.cumsum(np.abs(story.sound), dtype=np.float64)]
    return np.diff(total[edges]) / np.diff(edges)


def settings_of(recordings: Sequence[Recording], n_sentences: int, **windows: Any) -> dict[str, Any]:
    """Return settings of the recipe for this size: those of the recipe from 50 sentences on, else a first look.

    Few contents may all be hashed into one part, so a seed is looked for with which none is empty.
    """
    cut = {"windows": windows} if windows else {}
    if n_sentences >= 50:
        return cut
    return {**_SMALL, **cut, "split": {**_SHARES, "seed": _split_seed(recordings, windows)}}


def _split_seed(recordings: Sequence[Recording], windows: dict[str, Any]) -> int:
    """The first seed with which every part holds two contents and every recording some to train on; 0 where there are too few."""
    mine = [r for r in recordings if r.info["subject"] == recordings[0].info["subject"]]
    try:
        rows = speech_windows(mine, **{k: v for k, v in windows.items() if k != "stride"}).trials[
            ["content_id", "recording"]
        ]
    except BraindecError:  # no window fits, as the recipe will say
        return 0
    contents = rows.drop_duplicates().reset_index(drop=True)
    for seed in range(200):
        try:
            split = content_split(contents, "content_id", **_SHARES, seed=seed)
        except BraindecError:  # a part is empty
            continue
        n = [contents["content_id"].iloc[part].nunique() for part in (split.train, split.validation, split.test)]
        if min(n) >= 2 and contents["recording"].iloc[split.train].nunique() == len(mine):
            return seed
    return 0


def stories_of(names: Sequence[str], *, n_sentences: int, seed: int, leak: bool = False) -> list[Story]:
    """Draw one sound a name with ``n_sentences`` in all; with ``leak`` each sound after the first repeats two sentences of the first."""
    if n_sentences < len(names):
        raise BraindecError("each sound needs a sentence", found=f"n_sentences={n_sentences} for {len(names)} sounds")
    sizes = [n_sentences // len(names) + (k < n_sentences % len(names)) for k in range(len(names))]
    found: list[Story] = []
    for name, size in zip(names, sizes, strict=True):
        story = made_up_story(name, n_sentences=size, seed=seed)
        if leak and found:
            texts = [*story.sentences["text"], *found[0].sentences["text"][:2]]
            story = made_up_story(name, n_sentences=len(texts), seed=seed, texts=texts)
        found.append(story)
    return found


def save_bids_meg(
    folder: Path, recording: Recording, stem: str, events: pd.DataFrame, *, byte_order_mark: bool = False
) -> None:
    """Write ``stem_meg.fif`` with channels.tsv, meg.json and events.tsv into ``folder``."""
    save_fif(folder / f"{stem}_meg.fif", recording)
    table = pd.DataFrame({"name": recording.ch_names, "type": "MEGGRADAXIAL", "units": "T", "status": "good"})
    save_tsv(folder / f"{stem}_channels.tsv", table)
    save_json(folder / f"{stem}_meg.json", {
        "TaskName": recording.info["task"], "SamplingFrequency": recording.sfreq, "PowerLineFrequency": 50, "DewarPosition": "upright",
        "SoftwareFilters": "n/a", "DigitizedLandmarks": False, "DigitizedHeadPoints": False, "RecordingDuration": recording.duration,
    })  # fmt: skip
    path = folder / f"{stem}_events.tsv"
    encoding = "utf-8-sig" if byte_order_mark else "utf-8"
    events.to_csv(
        path, sep="\t", index=False, na_rep="n/a", float_format="%.6f", lineterminator="\n", encoding=encoding
    )


def save_fif(path: Path, recording: Recording) -> None:
    """Write a FIF file whose bytes depend on the recording alone: ids that mne takes from the clock and the machine are emptied."""
    from braindec.types.mne_signals import quiet_mne

    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet_mne():
        raw = replace(recording, events=recording.events.iloc[:0]).to_mne()
        raw.save(path, fmt="single", overwrite=True)
    data = bytearray(path.read_bytes())
    place = 0
    while place + 16 <= len(data):
        kind, form, size, following = (
            int.from_bytes(data[place + k : place + k + 4], "big", signed=True) for k in (0, 4, 8, 12)
        )
        if kind in _IDS and form == _ID_STRUCT:
            data[place + 20 : place + 16 + size] = bytes(size - 4)  # version stays; machine and time go
        if following < 0:
            break
        place = following if following > 0 else place + 16 + size
    path.write_bytes(bytes(data))


def save_textgrid(path: Path, seconds: float, tiers: dict[str, pd.DataFrame]) -> None:
    """Write a TextGrid (long format): intervals of each tier from onset, duration (s) and text, gaps as empty intervals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {seconds:.6f}", "tiers? <exists>",
             f"size = {len(tiers)}", "item []:"]  # fmt: skip
    for number, (name, table) in enumerate(tiers.items(), start=1):
        spans: list[tuple[float, float, str]] = []
        clock = 0.0
        for onset, duration, text in zip(table["onset"], table["duration"], table["text"], strict=True):
            if onset > clock + 1e-6:
                spans.append((clock, onset, ""))
            spans.append((onset, onset + duration, str(text)))
            clock = onset + duration
        if seconds > clock + 1e-6:
            spans.append((clock, seconds, ""))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"', "        xmin = 0",
                  f"        xmax = {seconds:.6f}", f"        intervals: size = {len(spans)}"]  # fmt: skip
        for k, (begin, end, text) in enumerate(spans, start=1):
            lines += [f"        intervals [{k}]:", f"            xmin = {begin:.6f}", f"            xmax = {end:.6f}",
                      f'            text = "{text}"']  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf8")


def write_speech_truth(folder: Path, truth: SpeechTruth, subjects: dict[str, str]) -> None:
    """Write what was planted; ``subjects`` maps the numbers of the simulation to the labels of the layout."""
    arrays = {}
    for name, values in truth.arrays().items():
        head, _, rest = name.partition("/")
        who = head.removeprefix("sub-")
        arrays[f"sub-{subjects[who]}/{rest}" if head.startswith("sub-") else name] = values
    write_truth(folder, arrays)
