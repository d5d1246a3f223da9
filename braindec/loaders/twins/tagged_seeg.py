"""Twin ``tagged_seeg``: sEEG of subjects who hear four-word sentences at 4 words a second, as BIDS-iEEG (BrainVision).

``sub-01/ses-01/ieeg/sub-01_ses-01_task-listening_run-01_{ieeg.vhdr,channels.tsv,events.tsv}`` and
``sub-01_ses-01_space-MNI152NLin2009cAsym_{electrodes.tsv,coordsystem.json}`` (mm, with regions). Conditions (trial_type): sentence (tags at
1, 2 and 4 Hz), phrase (2 and 4 Hz) and random (4 Hz), 9 s a trial, the words in the events (column text) from the package's own grammar.
See :func:`braindec.loaders.synthetic_language.tagged_seeg` for what is planted. ``truth``: for each subject ``01/tagged`` (rate, channel),
``01/amplitude`` (V) and ``01/snr``; ``frequencies`` (Hz, in the order of the rates sentence, phrase, word).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.loaders._brainvision import save_brainvision
from braindec.loaders._tagged_seeg import TaggedTruth, tagged_recordings
from braindec.loaders._twin_files import save_json, save_tsv
from braindec.loaders.language_stimuli import make_tagged_corpus
from braindec.loaders.twin import Twin, write_truth
from braindec.types import Recording

__all__ = ["make"]

_RATES = {"sentence": 1.0, "phrase": 2.0, "word": 4.0}
_SENTENCES = 9  # of a trial
_SPACE = "MNI152NLin2009cAsym"


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_channels: int = 18, n_trials: int = 16, snr: float = 1.0, sfreq: float = 64.0
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_trials : int
        Trials a condition and subject, each with sentences of its own.
    snr : float
        Power of a tag over that of the background in its frequency bin of one trial.
    """
    texts = _texts(n_trials, seed)
    save_json(
        folder / "dataset_description.json",
        {"Name": "Tagged sentences (simulated)", "BIDSVersion": "1.9.0", "DatasetType": "raw"},
    )
    truth: dict[str, np.ndarray] = {"frequencies": np.array(list(_RATES.values()))}
    for number in range(n_subjects):
        subject = f"{number + 1:02d}"
        runs, planted = tagged_recordings(
            subject, design=None, rates=_RATES, duration=float(_SENTENCES), conditions=None, texts=texts, n_channels=n_channels,
            n_trials=n_trials, n_runs=2, snr=snr, tagged=0.3, sfreq=sfreq, exponent=1.0, onset_response=2.0, second_harmonic=0.0, seed=seed,
        )  # fmt: skip
        for recording in runs:
            _write(folder, recording)
        truth |= _arrays(subject, planted)
    write_truth(folder, truth)
    about = {"seed": seed, "n_subjects": n_subjects, "n_trials": n_trials, "rates": _RATES, "sfreq": sfreq, "snr": snr}
    settings = {
        "events": {"classes": ["sentence", "random"]},
        "epochs": {"tmin": 1.0, "tmax": float(_SENTENCES)},
        "split": {"by": "run"},
    }
    return Twin(folder, "", "bids", "erp_classification", {"datatype": "ieeg"}, settings, about)


def _texts(n_trials: int, seed: int) -> dict[str, list[str]]:
    """What is said in each trial: sentences, the phrases of other sentences in random order, or their words in random order."""
    corpus = make_tagged_corpus(3 * n_trials * _SENTENCES, seed=seed)
    rng = np.random.default_rng([seed, 82])
    parts = [corpus[k * n_trials * _SENTENCES : (k + 1) * n_trials * _SENTENCES] for k in range(3)]
    phrases = [[units[:2], units[2:]] for units in parts[1]]
    mixed = [phrase for both in phrases for phrase in both]
    words = [word for units in parts[2] for word in units]
    streams: dict[str, Sequence[str]] = {
        "sentence": [w for units in parts[0] for w in units],
        "phrase": [w for k in rng.permutation(len(mixed)) for w in mixed[k]],
        "random": [words[k] for k in rng.permutation(len(words))],
    }
    step = 4 * _SENTENCES
    return {name: [" ".join(s[k : k + step]) for k in range(0, len(s), step)] for name, s in streams.items()}


def _write(folder: Path, recording: Recording) -> None:
    info, channels = recording.info, recording.channels
    head = f"sub-{info['subject']}_ses-{info['session']}"
    out = folder / f"sub-{info['subject']}" / f"ses-{info['session']}" / "ieeg"
    name = f"{head}_task-{info['task']}_run-{info['run']}"
    events = recording.events
    samples = np.round(events["onset"].to_numpy() * recording.sfreq).astype(int)
    marks = list(zip(samples.tolist(), events["trial_type"], strict=True))
    save_brainvision(out / f"{name}_ieeg.vhdr", recording.signal.read(), recording.ch_names, recording.sfreq, marks)
    sidecar = {"TaskName": info["task"], "SamplingFrequency": recording.sfreq, "PowerLineFrequency": "n/a", "SoftwareFilters": "n/a",
               "iEEGReference": "n/a", "RecordingType": "continuous", "SEEGChannelCount": len(channels)}  # fmt: skip
    save_json(out / f"{name}_ieeg.json", sidecar)
    table = pd.DataFrame(
        {
            "name": channels["name"],
            "type": "SEEG",
            "units": "µV",
            "low_cutoff": "n/a",
            "high_cutoff": "n/a",
            "status": "good",
        }
    )
    save_tsv(out / f"{name}_channels.tsv", table)
    save_tsv(out / f"{name}_events.tsv", events)
    places = pd.DataFrame(
        {
            "name": channels["name"],
            **{a: 1000 * channels[a] for a in "xyz"},
            "size": "n/a",
            "region": channels["region"],
        }
    )
    save_tsv(out / f"{head}_space-{_SPACE}_electrodes.tsv", places)
    save_json(
        out / f"{head}_space-{_SPACE}_coordsystem.json", {"iEEGCoordinateSystem": _SPACE, "iEEGCoordinateUnits": "mm"}
    )


def _arrays(subject: str, truth: TaggedTruth) -> dict[str, np.ndarray]:
    table = truth.channels
    per_rate = [table[table["rate"] == rate] for rate in _RATES]
    return {
        f"{subject}/{column}": np.stack([t[column].to_numpy() for t in per_rate])
        for column in ("tagged", "amplitude", "snr")
    }
