"""Twin ``brennan``: subjects who hear a made-up chapter in segments, EEG in FieldTrip structs, in the layout of Brennan & Hale 2019.

``S01.mat`` (struct raw, uV, channels 1 to 61 without 29, VEOG and AUD, the sound as it was recorded), ``proc/S01.mat`` (struct proc; every
seventh word was not kept), ``AliceChapterOne-EEG.csv`` and ``audio/DownTheRabbitHoleFinal_SoundFile1.wav``, ... The text is made up.

With ``leak`` every segment after the first repeats two sentences of the first. ``truth`` as in the twin ``meg_masc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._speech_matlab import save_mat
from braindec.loaders._twin_speech import envelope, montage_layout, settings_of, stories_of, write_speech_truth
from braindec.loaders.readers.brennan import USED
from braindec.loaders.synthetic_speech import Story, speech_recordings
from braindec.loaders.twin import Twin
from braindec.types import Recording

__all__ = ["make"]

_CHANNELS = [str(k) for k in range(1, 62) if k != 29]
_BEFORE = 0.3  # s of a trial before the word


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_segments: int = 4, n_sentences: int = 32, sfreq: float = 100.0, snr: float = 0.1,
    shared: float = 0.2, leak: bool = False,
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_segments : int
        Sounds, up to 12.
    n_sentences : int
        In all segments together.
    leak : bool
        Whether segments repeat sentences of the first one.
    """
    names = [f"DownTheRabbitHoleFinal_SoundFile{k + 1}" for k in range(n_segments)]
    sounds = stories_of(names, n_sentences=n_sentences, seed=seed, leak=leak)
    recordings, truth = speech_recordings(
        [sounds],
        n_subjects=n_subjects,
        modality="eeg",
        sfreq=sfreq,
        snr=snr,
        shared=shared,
        seed=seed,
        layout=montage_layout("easycap-M10", _CHANNELS),
    )
    for story in sounds:
        story.save_sound(folder / "audio")
    table = _table(sounds)
    table.to_csv(folder / "AliceChapterOne-EEG.csv", index=False, float_format="%.6f", lineterminator="\n")
    labels = {f"{k + 1:02d}": USED[k] for k in range(n_subjects)}
    for recording in tqdm(recordings, desc="writing subjects", disable=None, leave=False):
        who = labels[str(recording.info["subject"])]
        _write(
            folder,
            who,
            recording,
            sounds,
            table,
            np.random.default_rng([seed, 97, int(str(recording.info["subject"]))]),
        )
    write_speech_truth(folder, truth, labels)
    about = {"seed": seed, "n_subjects": n_subjects, "n_segments": n_segments, "n_sentences": n_sentences, "sfreq": sfreq, "snr": snr,
             "shared": shared, "leak": leak}  # fmt: skip
    return Twin(
        folder, "brennan2019", "brennan", "meg_speech_retrieval", {}, settings_of(recordings, n_sentences), about
    )


def _table(sounds: Sequence[Story]) -> pd.DataFrame:
    """The words as the table of the data has them."""
    words = pd.concat([story.words.assign(Segment=k) for k, story in enumerate(sounds, start=1)], ignore_index=True)
    return pd.DataFrame({
        "Word": words["text"], "Segment": words["Segment"], "onset": words["onset"], "offset": words["onset"] + words["duration"],
        "Order": np.arange(len(words)) + 1, "Length": words["text"].str.len(), "Position": words["word_index"] + 1,
        "Sentence": (words["word_index"] == 0).cumsum(),
    })  # fmt: skip


def _write(
    folder: Path, who: str, recording: Recording, sounds: Sequence[Story], table: pd.DataFrame, rng: np.random.Generator
) -> None:
    sfreq, n_times = recording.sfreq, recording.n_times
    played = recording.events[recording.events["trial_type"] == "sound"]
    heard = np.zeros(n_times)
    for story, onset in zip(sounds, played["onset"], strict=True):
        course = envelope(story, sfreq)
        first = round(onset * sfreq)
        heard[first : first + len(course)] += course
    blinks = 20 * rng.standard_normal(n_times)
    data = np.concatenate([1e6 * recording.load(), blinks[None], 1000 * heard[None]]).astype(np.float32)
    label, trial, time, varnames = (np.empty((n, 1), dtype=object) for n in (len(data), 1, 1, 3))
    label[:, 0], varnames[:, 0] = [*recording.ch_names, "VEOG", "AUD"], ["segment", "tmin", "Order"]
    trial[0, 0], time[0, 0] = data, np.arange(n_times)[None] / sfreq
    save_mat(folder / f"{who}.mat", {"raw": {"label": label, "trial": trial, "time": time, "fsample": sfreq}})
    kept = table[table["Order"] % 7 != 0]
    begin = kept["Segment"].map(dict(enumerate(played["onset"], start=1))) + kept["onset"] - _BEFORE
    first = np.round(begin * sfreq) + 1
    length = round(1.3 * sfreq)
    trl = np.column_stack(
        [
            first,
            first + length,
            np.full(len(kept), -round(_BEFORE * sfreq)),
            kept["Segment"],
            kept["onset"],
            kept["Order"],
        ]
    )
    bad = np.empty((1, 1), dtype=object)
    bad[0, 0] = "7"
    proc = {
        "subject": who,
        "trl": trl,
        "varnames": varnames,
        "implicitref": "29",
        "refchannels": "25",
        "rejections": {"badchans": bad},
    }
    save_mat(folder / "proc" / f"{who}.mat", {"proc": proc})
