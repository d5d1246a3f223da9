"""Twin ``meg_masc``: made-up stories in the layout of MEG-MASC, each heard in both sessions; MEG as FIF instead of KIT's format.

``sub-01/ses-0/meg/sub-01_ses-0_task-0_{meg.fif,channels.tsv,events.tsv,meg.json}``, ``stimuli/audio/lw1_0.wav``, ... BIDS allows
FIF, and KIT's own format cannot be written by mne; the rest is as in the data: dictionaries as text in trial_type, a
byte-order mark, names of sounds in another case and with ".0". Text and sounds are made up (see
:mod:`braindec.loaders.synthetic_speech`); only the names of the stories are those of the data.

With ``leak`` (the default, as in the data) both sessions play the same stories, so that a split by session leaks; without
it the second session plays other stories. ``truth``: ``lags`` (s), ``snr``, ``stories/<sound>/latents`` (component, time at 100 Hz)
and for each subject ``sub-01/topographies``, ``sub-01/mixing`` and ``sub-01/trfs``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._twin_files import save_json, save_tsv
from braindec.loaders._twin_speech import coils, save_bids_meg, settings_of, stories_of, write_speech_truth
from braindec.loaders.synthetic_speech import speech_recordings
from braindec.loaders.twin import Twin
from braindec.types import Recording

__all__ = ["make"]

_STORIES = ("lw1", "cable_spool_fort", "easy_money", "the_black_willow")
_KIT_GRAD = 6001  # FIFFV_COIL_KIT_GRAD


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_sentences: int = 32, n_sessions: int = 2, n_stories: int = 2,
    n_channels: int = 40, sfreq: float = 50.0, snr: float = 0.1, shared: float = 0.2, sensors_differ: bool = False, leak: bool = True,
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_sentences : int
        In all stories together.
    n_stories : int
        Tasks a session, up to 4 (2 without ``leak``), each of two sounds.
    snr, shared, sensors_differ
        See :func:`braindec.loaders.synthetic_speech.speech_recordings`.
    leak : bool
        Whether both sessions play the same stories.
    """
    played = _STORIES[: n_stories if leak else min(4, n_stories * n_sessions)]
    sounds = stories_of([f"{name}_{k}" for name in played for k in range(2)], n_sentences=n_sentences, seed=seed)
    groups = [sounds[2 * k : 2 * k + 2] for k in range(len(played))]
    recordings, truth = speech_recordings(
        groups, n_subjects=n_subjects, n_sessions=n_sessions, sfreq=sfreq, snr=snr, shared=shared, sensors_differ=sensors_differ,
        seed=seed, layout=coils(n_channels, coil_type=_KIT_GRAD),
    )  # fmt: skip
    save_json(
        folder / "dataset_description.json",
        {"Name": "MEG-MASC (simulated)", "BIDSVersion": "1.9.0", "DatasetType": "raw"},
    )
    save_tsv(
        folder / "participants.tsv", pd.DataFrame({"participant_id": [f"sub-{k + 1:02d}" for k in range(n_subjects)]})
    )
    for story in sounds:
        story.save_sound(folder / "stimuli" / "audio")
    for recording in tqdm(recordings, desc="writing recordings", disable=None, leave=False):
        info = recording.info
        if not leak and int(info["task"]) * n_sessions // len(played) != int(info["session"]):
            continue
        stem = f"sub-{info['subject']}_ses-{info['session']}_task-{info['task']}"
        out = folder / f"sub-{info['subject']}" / f"ses-{info['session']}" / "meg"
        save_bids_meg(out, recording, stem, _events(recording), byte_order_mark=True)
    write_speech_truth(folder, truth, {w: w for w in truth.topographies})
    about = {"seed": seed, "n_subjects": n_subjects, "n_sentences": n_sentences, "n_sessions": n_sessions, "stories": list(played),
             "sfreq": sfreq, "snr": snr, "shared": shared, "leak": leak}  # fmt: skip
    return Twin(
        folder,
        "gwilliams-meg-masc",
        "meg_masc",
        "meg_speech_retrieval",
        {},
        settings_of(recordings, n_sentences),
        about,
    )


def _events(recording: Recording) -> pd.DataFrame:
    """The table as the data have it: everything but the time is a dictionary written as text."""
    events, rows = recording.events, []
    sentence = (events["trial_type"] == "sentence").cumsum() - 1
    place = _places(events)
    for row, number, letter in zip(events.to_dict("records"), sentence.astype(float), place, strict=True):
        kind, begin = row["trial_type"], row["onset"]
        if kind == "sentence":
            continue
        said: dict[str, object] = {"story": row["story"].rsplit("_", 1)[0], "kind": kind, "start": round(row["audio_onset"], 6),
                                   "sound": f"stimuli/audio/{row['story'].title()}.0.wav"}  # fmt: skip
        if kind != "sound":
            unit = {"word": row["text"]} if kind == "word" else {"phoneme": f"{row['text'].lower()}_{letter}"}
            said |= {
                **unit,
                "sequence_id": number,
                "word_index": float(row["word_index"]),
                "condition": "sentence",
                "pronounced": 1.0,
            }
        length = row["duration"] if kind != "sound" else 0.0
        rows.append((begin, length, repr(said), 1, round(begin * recording.sfreq)))
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type", "value", "sample"])


def _places(events: pd.DataFrame) -> np.ndarray:
    """B, I, E or S: first, inner, last or only phoneme of its word."""
    spoken = events["trial_type"] == "phoneme"
    word = (events["trial_type"] == "word").cumsum()
    rank = spoken.groupby(word).cumsum()
    size = spoken.groupby(word).transform("sum")
    return np.where(size == 1, "S", np.where(rank == 1, "B", np.where(rank == size, "E", "I")))
