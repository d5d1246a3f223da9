"""Twin of Brain Treebank (Wang et al. 2024): the folders that the reader ``braintreebank`` describes, with subjects who watch made-up films.

Films are sentences of made-up speech with pauses; the film stops for some seconds in the middle while the recording
goes on. Subject 1 watches films a and b, subject 2 b and c, subject 3 a. Electrodes in the superior temporal gyrus
respond to every word by its volume (rms), those in the middle temporal gyrus to verbs more than to nouns, others not at
all; one electrode is corrupted, one has no label, one is a trigger channel. Truth: for a subject "1/volume" and
"1/part_of_speech" (electrode,; True where it is carried), and for a recording "1/trial000/onset" (word,) the samples of
the words.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.loaders._twin_evoked import background, place
from braindec.loaders._twin_files import save_json
from braindec.loaders.twin import Twin, write_truth
from braindec.types.storage import hdf5

__all__ = ["make"]

_WATCHED = {"1": ("film-a", "film-b"), "2": ("film-b", "film-c"), "3": ("film-a",)}
_LABELS = (
    "LT1a1",
    "LT1a2*",
    "LT1a3",
    "LT1a4",
    "LT1a5",
    "LT2b#1",
    "LT2b2",
    "LT2b3",
    "LT2b4",
    "LF3c1",
    "LF3c2",
    "LF3c3",
    "LF3c4",
    "DC1",
)
_REGIONS = {"LT1a": "ctx-lh-superiortemporal", "LT2b": "ctx-lh-middletemporal", "LF3c": "ctx-lh-lateralorbitofrontal"}
_NOUNS = ("dog", "king", "ship", "tree", "child", "road", "lamp", "bird")
_VERBS = ("sees", "finds", "takes", "holds", "likes", "hears", "moves", "calls")
_PAUSE, _START = 4.0, 3.0  # s that the film stops, and of recording before it begins


def make(
    folder: str | Path, *, seed: int = 0, duration: float = 150.0, sfreq: float = 256.0, amplitude: float = 0.8, n_subjects: int = 3
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    duration : float
        s of a film (hours in the published data).
    sfreq : float
        Hz (2048).
    amplitude : float
        Of a response, in standard deviations of the background.
    n_subjects : int
        Up to 3 (10).
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 216])
    films = {film: _film(rng, duration) for film in sorted({f for films in _WATCHED.values() for f in films})}
    for film, words in films.items():
        (folder / "transcripts" / film).mkdir(parents=True)
        words.to_csv(folder / "transcripts" / film / "features.csv", float_format="%.6g", lineterminator="\n")
    truth: dict[str, np.ndarray] = {}
    corrupted = {}
    for label in list(_WATCHED)[:n_subjects]:
        name = f"sub_{label}"
        volume = np.array([s.startswith("LT1a") for s in _LABELS]) & (rng.uniform(size=len(_LABELS)) < 0.8)
        speech = np.array([s.startswith("LT2b") for s in _LABELS]) & (rng.uniform(size=len(_LABELS)) < 0.8)
        volume[0] = speech[6] = True
        corrupted[name] = ["LF3c4*"]
        _write_electrodes(folder, rng, name)
        for number, film in enumerate(_WATCHED[label]):
            trial = f"trial{number:03d}"
            timings = _timings(rng, duration, sfreq)
            data, samples = _recording(rng, films[film], timings, volume, speech, sfreq, amplitude)
            with hdf5(folder / f"{name}_{trial}.h5", "w") as file:
                for row, values in enumerate(data):
                    file.create_dataset(f"data/electrode_{row}", data=values.astype(np.float32))
            save_json(
                folder / "subject_metadata" / f"{name}_{trial}_metadata.json",
                {"title": film.title(), "filename": film, "subject": name},
            )
            (folder / "subject_timings").mkdir(exist_ok=True)
            timings.to_csv(
                folder / "subject_timings" / f"{name}_{trial}_timings.csv",
                index=False,
                float_format="%.6f",
                lineterminator="\n",
            )
            truth[f"{label}/{trial}/onset"] = samples
        truth |= {f"{label}/volume": volume, f"{label}/part_of_speech": speech}
    save_json(folder / "corrupted_elec.json", corrupted)
    write_truth(folder, truth)
    options = {"sfreq": sfreq, "nonverbal": True}
    settings = {
        "signal": [{"filter": {"low": 0.5, "high": 30.0}}],
        "events": {"column": "pos", "classes": ["NOUN", "VERB"]},
        "epochs": {"tmin": 0.0, "tmax": 0.5},
        "split": {"by": "session"},
        "select": {"subjects": [s for s in list(_WATCHED)[:n_subjects] if len(_WATCHED[s]) > 1]},
    }
    about = {"seed": seed, "duration": duration, "sfreq": sfreq, "n_subjects": n_subjects}
    return Twin(folder, "braintreebank", "braintreebank", "erp_classification", options, settings, about)


def _film(rng: np.random.Generator, duration: float) -> pd.DataFrame:
    """Words of a film: sentences of three to five words in random order (grammar would tell the next kind), pauses, now
    and then a long one."""
    rows, now = [], 1.0
    while now < duration - 6:
        kinds = [str(k) for k in rng.choice(["NOUN", "VERB", "DET"], size=rng.integers(3, 6), p=[0.4, 0.4, 0.2])]
        texts = ["the" if k == "DET" else str(rng.choice(_NOUNS if k == "NOUN" else _VERBS)) for k in kinds]
        sentence = " ".join(texts)
        for place_in, (kind, text) in enumerate(zip(kinds, texts, strict=True)):
            length = float(rng.uniform(0.2, 0.4))
            rows.append(
                {
                    "start": now,
                    "end": now + length,
                    "text": text,
                    "is_onset": int(place_in == 0),
                    "sentence": sentence,
                    "idx_in_sentence": place_in,
                    "pos": kind,
                    "bin_head": int(rng.integers(0, 2)),
                    "gpt2_surprisal": float(rng.gamma(3.0, 2.0)),
                    "word_length": length,
                    "rms": float(rng.lognormal(-3, 0.5)),
                    "pitch": float(rng.normal(160, 40)),
                    "mean_pixel_brightness": float(rng.uniform(20, 120)),
                    "max_global_magnitude": float(rng.gamma(2.0, 1.0)),
                    "max_vector_magnitude": float(rng.gamma(2.0, 2.0)),
                    "face_num": int(rng.poisson(0.8)),
                }
            )
            now += length + float(rng.uniform(0.05, 0.3))
        now += float(rng.uniform(6.5, 9.0)) if rng.uniform() < 0.15 else float(rng.uniform(0.4, 1.0))
    table = pd.DataFrame(rows)
    for column in ("rms", "pitch"):
        table[f"delta_{column}"] = table[column].diff().fillna(0.0)
    return table


def _timings(rng: np.random.Generator, duration: float, sfreq: float) -> pd.DataFrame:
    """A trigger each second of the film, the film stopped in the middle."""
    seconds = np.arange(0.0, duration + 1e-9, 1.0)
    middle = float(np.floor(duration / 2)) + 0.4
    rows = [
        ("beginning" if s == 0 else "trigger", s, (_START + s + (_PAUSE if s > middle else 0)) * sfreq) for s in seconds
    ]
    rows += [("pause", middle, (_START + middle) * sfreq), ("unpause", middle, (_START + middle + _PAUSE) * sfreq)]
    rows.sort(key=lambda r: (r[2], r[0]))
    table = pd.DataFrame(rows, columns=["type", "movie_time", "index"])
    return table.assign(index=np.round(table["index"]), start_time=1e9 + table["index"] / sfreq)


def _recording(
    rng: np.random.Generator,
    words: pd.DataFrame,
    timings: pd.DataFrame,
    volume: np.ndarray,
    speech: np.ndarray,
    sfreq: float,
    amplitude: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Signals (electrode, time) with one row more than there are labels, and the sample of each word."""
    start = words["start"].to_numpy()
    middle = float(timings.loc[timings["type"] == "pause", "movie_time"].iloc[0])
    samples = np.round((_START + start + np.where(start > middle, _PAUSE, 0)) * sfreq).astype(np.int64)
    n_times = int(timings["index"].max() + 3 * sfreq)
    data = background(rng, len(_LABELS) + 1, n_times, sfreq=sfreq, shared=0.2)
    times = np.arange(round(0.5 * sfreq)) / sfreq
    early, late = (np.exp(-0.5 * ((times - m) / w) ** 2) for m, w in ((0.15, 0.04), (0.25, 0.06)))
    loud = words["rms"].to_numpy()
    loud = (loud - loud.mean()) / loud.std()
    verb = (words["pos"] == "VERB").to_numpy() * 1.0 - (words["pos"] == "NOUN").to_numpy()
    extra = np.zeros(1)
    response = np.einsum("w,c,t->wct", 1 + loud, np.r_[volume, extra], early) + np.einsum(
        "w,c,t->wct", verb, np.r_[speech, extra], late
    )
    place(data, amplitude * response, samples)
    data[_LABELS.index("LF3c4")] *= 40  # corrupted
    data[_LABELS.index("DC1")] = 0
    data[_LABELS.index("DC1"), timings["index"].to_numpy(int)] = 5
    return data, samples


def _write_electrodes(folder: Path, rng: np.random.Generator, name: str) -> None:
    place_of = folder / "electrode_labels" / name
    place_of.mkdir(parents=True)
    (place_of / "electrode_labels.json").write_text(json.dumps(list(_LABELS)) + "\n", encoding="utf8")
    clean = [s.replace("*", "").replace("#", "") for s in _LABELS[:-1]]
    step = np.array([int(s[-1]) for s in clean])
    shaft = np.array([list(_REGIONS).index(s[:-1]) for s in clean])
    table = pd.DataFrame(
        {
            "ID": range(len(clean)),
            "Electrode": [s.replace("#", "") for s in _LABELS[:-1]],
            "L": 178.0 - 5 * step + rng.normal(size=len(clean)),
            "P": 120.0 + 15 * shaft,
            "I": 130.0 + 4 * shaft,
            "DesikanKilliany": [_REGIONS[s[:-1]] for s in clean],
        }
    )
    (folder / "localization" / name).mkdir(parents=True)
    table.to_csv(folder / "localization" / name / "depth-wm.csv", index=False, float_format="%.5g", lineterminator="\n")
