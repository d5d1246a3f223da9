"""Twin ``broderick``: subjects who hear made-up speech in several runs, 128-channel EEG in MATLAB files, in the layout of Broderick et al. 2018.

``EEG/Subject1/Subject1_Run1.mat`` (``eegData`` in uV, ``mastoids``, ``fs``), ``Stimuli/Envelopes/audio1_128Hz.mat``, ``Stimuli/Audio/audio1.wav``
(which the archive does not have) and ``words/Run1.csv``, the table that one must make oneself (option ``words: words``).

With ``leak`` every run after the first repeats two sentences of the first, so that a split by run leaks. ``truth`` as in the twin
``meg_masc``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._speech_matlab import save_mat
from braindec.loaders._twin_speech import envelope, montage_layout, settings_of, stories_of, write_speech_truth
from braindec.loaders.synthetic_speech import speech_recordings
from braindec.loaders.twin import Twin

__all__ = ["make"]


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_runs: int = 3, n_sentences: int = 32, sfreq: float = 128.0, snr: float = 0.1,
    shared: float = 0.2, leak: bool = False,
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_sentences : int
        In all runs together.
    leak : bool
        Whether runs repeat sentences of the first one.
    """
    names = [f"audio{k + 1}" for k in range(n_runs)]
    sounds = stories_of(names, n_sentences=n_sentences, seed=seed, leak=leak)
    layout = montage_layout("biosemi128")
    recordings, truth = speech_recordings(
        sounds, n_subjects=n_subjects, modality="eeg", sfreq=sfreq, snr=snr, shared=shared, seed=seed, layout=layout
    )
    for number, story in enumerate(sounds, start=1):
        story.save_sound(folder / "Stimuli" / "Audio")
        save_mat(
            folder / "Stimuli" / "Envelopes" / f"audio{number}_128Hz.mat", {"env": envelope(story, sfreq), "fs": sfreq}
        )
        words = story.words
        table = pd.DataFrame({"word": words["text"], "onset": words["onset"], "offset": words["onset"] + words["duration"],
                              "sentence": words["sentence"]})  # fmt: skip
        (folder / "words").mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / "words" / f"Run{number}.csv", index=False, float_format="%.6f", lineterminator="\n")
    rng = np.random.default_rng([seed, 96])
    for recording in tqdm(recordings, desc="writing runs", disable=None, leave=False):
        who, number = int(recording.info["subject"]), int(str(recording.info["task"])) + 1
        begin = recording.events.loc[recording.events["trial_type"] == "sound", "onset"].iloc[0]
        data = 1e6 * recording.load()[:, round(begin * sfreq) :].T
        ears = rng.normal(0, 5.0, (len(data), 2)).astype(np.float32)
        path = folder / "EEG" / f"Subject{who}" / f"Subject{who}_Run{number}.mat"
        save_mat(path, {"eegData": data.astype(np.float32), "mastoids": ears, "fs": float(sfreq)})
    write_speech_truth(folder, truth, {w: str(int(w)) for w in truth.topographies})
    about = {"seed": seed, "n_subjects": n_subjects, "n_runs": n_runs, "n_sentences": n_sentences, "sfreq": sfreq, "snr": snr, "shared": shared,
             "leak": leak}  # fmt: skip
    return Twin(
        folder,
        "broderick2018",
        "broderick",
        "meg_speech_retrieval",
        {"words": "words"},
        settings_of(recordings, n_sentences),
        about,
    )
