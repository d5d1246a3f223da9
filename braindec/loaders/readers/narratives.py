"""Reader ``narratives``: spoken stories (Nastase et al. 2021, ds002345) with their derivatives of fMRIPrep.

It reads as the reader ``fmri`` does, and says which stimulus was heard from when on. Layout, as established from
``staging/compile_events.py`` of snastase/narratives, from the event files of OpenNeuro ds002345, and from public code that
reads the derivatives:

* ``sub-001/func/sub-001_task-pieman_run-1_events.tsv``: onset, duration, trial_type ("music", "story", "movie") and
  stim_file ("pieman_audio.wav"). Music and story are parts of one audio file, which begins with the first of them; word
  times (``stimuli/gentle``) count from the beginning of that file.
* ``derivatives/fmriprep/sub-001/func/*_space-MNI152NLin2009cAsym_res-native_desc-preproc_bold.nii.gz`` and
  ``*_desc-confounds_regressors.tsv`` (fMRIPrep 20.0). Cleaned surfaces (``derivatives/afni-nosmooth``, fsaverage6) are
  for the reader ``gifti``; :func:`stimulus_events` gives their events the same form.

So each run gets an event "audio" for each stim_file: ``stimulus_id`` is its name without ``_audio.wav`` ("pieman",
"milkywayvodka"), from the first to the last event that names it. The other events keep their trial_type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders import _options
from braindec.loaders.readers import fmri
from braindec.types import Recording

__all__ = ["load", "files", "subjects", "stimulus_events"]


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    task: str | Sequence[str] | None = None,
    run: str | Sequence[str] | None = None,
    derivatives: str = "derivatives/fmriprep",
    space: str | None = "MNI152NLin2009cAsym",
    resolution: str | None = None,
    mask: str | None = None,
    atlas: str | None = None,
    atlas_labels: str | None = None,
    resample: bool = False,
    confounds: str | Sequence[str] = "none",
    drop_volumes: int = 0,
) -> list[Recording]:
    """Open the runs of stories.

    Parameters
    ----------
    root : str or Path
        The BIDS folder.
    subject, task, run : str or list of str, optional
        "001"; the story ("pieman", ...; not every subject heard each); "1".
    derivatives, space, resolution, mask, atlas, atlas_labels, resample, confounds, drop_volumes
        See :mod:`braindec.loaders.readers.fmri`.

    Returns
    -------
    list of Recording
        One a run, channels of type "voxel" or "parcel", with an event "audio" for each audio file. ``info.run`` is unique
        in a subject: the story, with the number of the run where there is one ("tunnel", "pieman-1").

    Raises
    ------
    UnreadableError
        If an image is damaged.
    BraindecError
        If a label is not there, or the events of a run name no stimulus.
    """
    options = {k: v for k, v in locals().items() if k not in ("root", "subject")}
    runs = fmri.load(root, subject, **options)
    return [replace(r, events=_of_run(r), info={**r.info, "run": _name(r)}) for r in runs]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a run with the options asked for."""
    values = _options.bind(load, options)
    return fmri.subjects(root, **values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the images, masks and tables that :func:`load` reads."""
    values = _options.bind(load, {**options, "subject": subject})
    return fmri.files(root, **values)


def stimulus_events(events: pd.DataFrame) -> pd.DataFrame:
    """Add one event "audio" with a ``stimulus_id`` for each ``stim_file``, over all events that name it.

    Rows without a file (films of the task schema) get no stimulus. Events that have a column stimulus_id already stay as
    they are.

    Raises
    ------
    BraindecError
        If there is no column stim_file.
    """
    if "stimulus_id" in events:
        return events
    if "stim_file" not in events:
        raise BraindecError("the events do not say what was heard", found=f"columns {', '.join(map(str, events.columns))}",
                            allowed="stim_file or stimulus_id")  # fmt: skip
    end = events["onset"] + pd.to_numeric(events["duration"], errors="coerce").fillna(0.0)
    rows = []
    for name, part in events.assign(_end=end).dropna(subset=["stim_file"]).groupby("stim_file", sort=False):
        onset = float(part["onset"].min())
        stem = Path(str(name)).stem.removesuffix("_audio")
        rows.append({"onset": onset, "duration": float(part["_end"].max()) - onset, "trial_type": "audio",
                     "stim_file": name, "stimulus_id": stem})  # fmt: skip
    added = pd.DataFrame(rows, columns=["onset", "duration", "trial_type", "stim_file", "stimulus_id"])
    merged = pd.concat([added, events], ignore_index=True)
    merged["stimulus_id"] = merged["stimulus_id"].astype(object).where(merged["stimulus_id"].notna(), np.nan)
    return merged.sort_values("onset", kind="stable", ignore_index=True)


def _name(recording: Recording) -> str:
    task, run = recording.info["task"], recording.info["run"]
    return str(task) if run is None else f"{task}-{run}"


def _of_run(recording: Recording) -> pd.DataFrame:
    if not len(recording.events):
        return recording.events
    try:
        return stimulus_events(recording.events)
    except BraindecError as error:
        raise BraindecError(f"{recording.label}: {error.asked}", found=error.found, allowed=error.allowed) from None
