"""Reader ``hcp7t_movie``: film runs at 7 T of the Human Connectome Project -> one Recording a run, channels = grayordinates.

It reads as the reader ``cifti`` does, and says which film was on. Layout, as established from the imaging protocol of the
HCP (humanconnectome.org) and from public code that reads these files:

* ``<subject>/MNINonLinear/Results/tfMRI_MOVIE1_7T_AP/tfMRI_MOVIE1_7T_AP_Atlas_1.6mm_MSMAll_hp2000_clean.dtseries.nii``;
  MOVIE2_7T_PA, MOVIE3_7T_PA and MOVIE4_7T_AP likewise; TR 1 s. Surfaces have 59,292 vertices a hemisphere at 1.6 mm (32,492 in the
  files without 1.6mm).
* There are no tables of events: a run is one film of several clips with rests between them, and the last clip is the same in
  all four films.

So each run gets one event over its whole length, whose ``stimulus_id`` is the film ("MOVIE1"), unless ``events`` names
tables of your own: with the clips in them, the repeated clip gives noise ceilings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders.readers import cifti
from braindec.types import Recording

__all__ = ["load", "files", "subjects"]


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    task: str | Sequence[str] | None = None,
    variant: str = "Atlas_1.6mm_MSMAll_hp2000_clean",
    events: str | None = None,
    structures: str | Sequence[str] | None = None,
    parcels: str | None = None,
    parcels_map: str | int | None = None,
    regions: str | None = None,
    drop_volumes: int = 0,
) -> list[Recording]:
    """Open the film runs.

    Parameters
    ----------
    root : str or Path
        The folder that holds the folders of the subjects.
    subject, task : str or list of str, optional
        "100610"; "MOVIE1" to "MOVIE4".
    variant : str
        What follows ``tfMRI_MOVIE1_7T_AP_`` in the name of the files, without ``.dtseries.nii``.
    events : str, optional
        Path inside ``root`` of tables with onset, duration, trial_type and stimulus_id; ``{subject}`` and ``{task}`` are filled
        in (``events/{task}.tsv``).
    structures, parcels, parcels_map, regions, drop_volumes
        See :mod:`braindec.loaders.readers.cifti`.

    Returns
    -------
    list of Recording
        ``sfreq`` 1 Hz; ``info.task`` and ``info.run`` are the film, ``info.direction`` that of phase encoding ("AP" or "PA").

    Raises
    ------
    UnreadableError
        If a file is damaged.
    BraindecError
        If a label is not there, or runs of a subject differ in brain model or repetition time.
    """
    given = {k: v for k, v in locals().items() if k != "root"}
    runs = [_named(r) for r in cifti.load(root, **_plain(root, given))]
    return runs if events is not None else [_whole(r, int(float(drop_volumes))) for r in runs]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a run with the options asked for."""
    return cifti.subjects(root, **_plain(root, _options.bind(load, options)))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the runs, labels and tables that :func:`load` reads."""
    return cifti.files(root, **_plain(root, _options.bind(load, {**options, "subject": subject})))


def _plain(root: str | Path, options: dict[str, Any]) -> dict[str, Any]:
    """The options of the reader cifti."""
    kept = {k: v for k, v in options.items() if k not in ("variant", "task")}
    pattern = f"{{subject}}/MNINonLinear/Results/*/tfMRI_{{task}}_7T_{{run}}_{options['variant']}.dtseries.nii"
    found = _files.find(root, pattern, (".dtseries.nii",))
    films = sorted({f.entities["task"] for f in found if f.entities["task"].startswith("MOVIE")})
    asked = _options.as_list(options["task"])
    for label in asked or []:
        if label not in films:
            raise BraindecError(
                f"there is no film {label!r}{did_you_mean(label, films)}", allowed=", ".join(films) or "none"
            )
    if not films:
        raise BraindecError(f"{root} holds no film runs", found=", ".join(sorted({f.entities["task"] for f in found})[:8]),
                            allowed="tfMRI_MOVIE1_7T_AP and the like")  # fmt: skip
    return {**kept, "bold": pattern, "task": asked or films}


def _named(recording: Recording) -> Recording:
    """The run named by its film: two films have the same direction of phase encoding."""
    info = recording.info
    return replace(recording, info={**info, "dataset": "hcp7t-movie", "run": info["task"], "direction": info["run"]})


def _whole(recording: Recording, dropped: int) -> Recording:
    """The run with one event: the film, which began ``dropped`` volumes before the first that is kept."""
    onset = -dropped / recording.sfreq
    row = {
        "onset": onset,
        "duration": recording.duration - onset,
        "trial_type": "film",
        "stimulus_id": recording.info["task"],
    }
    said = [w for w in recording.info.get("warnings") or [] if "has no events.tsv" not in w]
    return replace(recording, events=pd.DataFrame([row]), info={**recording.info, "warnings": said})
