"""Twin ``armeni``: a few subjects who hear made-up stories over several sessions, in the layout of Armeni et al. 2022; MEG as FIF.

``sub-001/ses-001/meg/sub-001_ses-001_task-compr_{meg.fif,channels.tsv,events.tsv,meg.json}`` and ``stimuli/01_1.wav`` (session 1, section
1). BIDS allows FIF; CTF's own format cannot be written by mne. Words are upper case in quotes, pauses are ``sp``, as in the data.

With ``leak`` every section after the first repeats two sentences of the first, so that a split by session leaks. ``truth`` as in the
twin ``meg_masc``.
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

_CTF_GRAD = 5001  # FIFFV_COIL_CTF_GRAD
_SECTIONS = 2


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_sentences: int = 32, n_sessions: int = 2, n_channels: int = 40, sfreq: float = 60.0,
    snr: float = 0.1, shared: float = 0.2, leak: bool = False,
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_sentences : int
        In all sessions together.
    n_sessions : int
        Each plays a story of its own in two sections.
    leak : bool
        Whether sections repeat sentences of the first one.
    """
    names = [f"{session + 1:02d}_{section + 1}" for session in range(n_sessions) for section in range(_SECTIONS)]
    sounds = stories_of(names, n_sentences=n_sentences, seed=seed, leak=leak)
    groups = [sounds[k : k + _SECTIONS] for k in range(0, len(sounds), _SECTIONS)]
    recordings, truth = speech_recordings(
        groups, n_subjects=n_subjects, sfreq=sfreq, snr=snr, shared=shared, seed=seed,
        layout=coils(n_channels, coil_type=_CTF_GRAD, name="MLT{:02d}"),
    )  # fmt: skip
    save_json(
        folder / "dataset_description.json",
        {"Name": "Sherlock MEG (simulated)", "BIDSVersion": "1.9.0", "DatasetType": "raw"},
    )
    labels = {f"{k + 1:02d}": f"{k + 1:03d}" for k in range(n_subjects)}
    save_tsv(folder / "participants.tsv", pd.DataFrame({"participant_id": [f"sub-{v}" for v in labels.values()]}))
    for story in sounds:
        story.save_sound(folder / "stimuli")
    for recording in tqdm(recordings, desc="writing recordings", disable=None, leave=False):
        who, session = labels[str(recording.info["subject"])], f"{int(str(recording.info['task'])) + 1:03d}"
        out = folder / f"sub-{who}" / f"ses-{session}" / "meg"
        named = Recording(
            recording.signal, recording.sfreq, recording.channels, recording.events, {**recording.info, "task": "compr"}
        )
        save_bids_meg(out, named, f"sub-{who}_ses-{session}_task-compr", _events(recording))
    write_speech_truth(folder, truth, labels)
    about = {"seed": seed, "n_subjects": n_subjects, "n_sentences": n_sentences, "n_sessions": n_sessions, "sfreq": sfreq, "snr": snr,
             "shared": shared, "leak": leak}  # fmt: skip
    return Twin(folder, "armeni2022", "armeni", "meg_speech_retrieval", {}, settings_of(recordings, n_sentences), about)


def _events(recording: Recording) -> pd.DataFrame:
    """The table as the data have it; a pause follows each sentence."""
    rows = []
    for row in recording.events.to_dict("records"):
        kind, begin, length = row["trial_type"], row["onset"], row["duration"]
        section = int(row["story"].rsplit("_", 1)[1])
        if kind == "sound":
            rows.append((begin, np.nan, "wav_onset", f"{row['story']}.wav"))
        elif kind == "sentence":
            rows.append((begin + length, 0.2, f"word_onset_{section:02d}", '"sp"'))
        else:
            rows.append((begin, length, f"{kind}_onset_{section:02d}", f'"{row["text"].upper()}"'))
    table = pd.DataFrame(rows, columns=["onset", "duration", "type", "value"]).sort_values("onset", kind="stable")
    table["sample"] = (table["onset"] * recording.sfreq).round().astype(int) + 1
    return table[["onset", "duration", "sample", "type", "value"]]
