"""Twin ``mous``: made-up sentences, each a sound of its own in another order for each subject, in the layout of MOUS; MEG as FIF.

``sub-A2002/meg/sub-A2002_task-auditory_{meg.fif,channels.tsv,events.tsv,meg.json}``, ``stimuli/audio_files/EQ_Ramp_Int2_Int1LPF001.wav``,
``stimuli/stimuli.txt`` and, as an aligner would make them, ``derivatives/phonemes/EQ_Ramp_Int2_Int1LPF001.TextGrid``. BIDS
allows FIF; CTF's own format cannot be written by mne. Sentences are English and made up. One block of word lists (the words of
sentences in random order) follows the sentences.

With ``leak`` two sounds say a sentence that another one says too. ``truth`` as in the twin ``meg_masc``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.loaders._twin_files import save_json, save_tsv
from braindec.loaders._twin_speech import coils, save_bids_meg, save_textgrid, settings_of, write_speech_truth
from braindec.loaders.synthetic_speech import Story, made_up_story, speech_recordings
from braindec.loaders.twin import Twin
from braindec.types import Recording

__all__ = ["make"]

_CTF_GRAD = 5001  # FIFFV_COIL_CTF_GRAD
_FILE = "EQ_Ramp_Int2_Int1LPF{:03d}"


def make(
    folder: Path, *, seed: int = 0, n_subjects: int = 2, n_sentences: int = 40, n_lists: int = 4, n_channels: int = 40, sfreq: float = 60.0,
    snr: float = 0.1, shared: float = 0.2, leak: bool = False,
) -> Twin:  # fmt: skip
    """Write the twin.

    Parameters
    ----------
    n_sentences, n_lists : int
        Sounds that are sentences, and word lists.
    leak : bool
        Whether the last two sounds repeat the first two sentences.
    """
    sounds = _sounds(n_sentences, n_lists, seed, leak)
    recordings, truth = speech_recordings(
        [sounds], n_subjects=n_subjects, sfreq=sfreq, snr=snr, shared=shared, seed=seed, shuffle=True,
        layout=coils(n_channels, coil_type=_CTF_GRAD, name="MLT{:02d}"),
    )  # fmt: skip
    save_json(
        folder / "dataset_description.json", {"Name": "MOUS (simulated)", "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    )
    labels = {f"{k + 1:02d}": f"A2{k + 2:03d}" for k in range(n_subjects)}
    save_tsv(folder / "participants.tsv", pd.DataFrame({"participant_id": [f"sub-{v}" for v in labels.values()]}))
    lines = []
    for number, story in enumerate(sounds, start=1):
        stem = _FILE.format(number)
        story.save_sound(folder / "stimuli" / "audio_files").rename(folder / "stimuli" / "audio_files" / f"{stem}.wav")
        save_textgrid(folder / "derivatives" / "phonemes" / f"{stem}.TextGrid", story.duration,
                      {"words": story.words, "phones": story.phonemes})  # fmt: skip
        lines.append(f"{number} {story.words['sentence'].iloc[0]}")
    (folder / "stimuli" / "stimuli.txt").write_text("\n".join(lines) + "\n", encoding="utf8")
    lists = {story.name for story in sounds[n_sentences:]}
    for recording in tqdm(recordings, desc="writing subjects", disable=None, leave=False):
        who = labels[str(recording.info["subject"])]
        events = _events(recording, lists)
        save_bids_meg(folder / f"sub-{who}" / "meg", _named(recording), f"sub-{who}_task-auditory", events)
    write_speech_truth(folder, truth, labels)
    about = {"seed": seed, "n_subjects": n_subjects, "n_sentences": n_sentences, "n_lists": n_lists, "sfreq": sfreq, "snr": snr,
             "shared": shared, "leak": leak}  # fmt: skip
    # sentences are shuffled, so each is a block, and windows are short enough to lie in one
    settings = {
        **(settings_of(recordings, n_sentences)),
        "windows": {"tmin": -0.3, "tmax": 1.7, "blocks": "sentence", "baseline": 0.3},
    }
    return Twin(folder, "mous", "mous", "meg_speech_retrieval", {}, settings, about)


def _sounds(n_sentences: int, n_lists: int, seed: int, leak: bool) -> list[Story]:
    """One sound a sentence, then the word lists."""
    drawn = made_up_story("sentences", n_sentences=n_sentences, seed=seed).sentences["text"].tolist()
    if leak:
        drawn[-2:] = drawn[:2]
    rng = np.random.default_rng([seed, 95])
    mixed = [" ".join(rng.permutation(drawn[k % len(drawn)].lower().strip(".").split())) for k in range(n_lists)]
    return [
        made_up_story(str(k), n_sentences=1, seed=seed, texts=[text])
        for k, text in enumerate([*drawn, *mixed], start=1)
    ]


def _named(recording: Recording) -> Recording:
    return Recording(
        recording.signal, recording.sfreq, recording.channels, recording.events, {**recording.info, "task": "auditory"}
    )


def _events(recording: Recording, lists: set[str]) -> pd.DataFrame:
    """The table as the data have it: pictures, sounds and words of the presentation's log."""
    rows: list[tuple[float, str, str]] = [(0.0, "trial", "n/a")]
    now = None
    sounds = recording.events[recording.events["trial_type"] == "sound"]
    for row in sounds.to_dict("records"):
        block, begin, number = "WOORDEN" if row["story"] in lists else "ZINNEN", row["onset"], int(row["story"])
        if block != now:
            rows.append((begin - 0.6, "Picture", block))
            now = block
        rows.append((begin - 0.4, "Picture", "FIX 400"))
        rows.append((begin, "Sound", f"Start File {number}.wav"))
        rows.append((begin + 0.3, "Nothing", "Audio onset"))
        rows.append((begin + row["duration"], "Nothing", f"End of file {number}.wav"))
    table = pd.DataFrame(rows, columns=["onset", "type", "value"])
    table["sample"] = (table["onset"] * recording.sfreq).round().astype(int)
    return table.assign(duration="n/a")[["onset", "duration", "sample", "type", "value"]]
