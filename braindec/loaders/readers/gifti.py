"""Reader ``gifti``: surface runs of fMRIPrep (``*_hemi-L_*bold.func.gii``) -> one Recording a run, channels = vertices.

Both hemispheres of a run are joined, left first; no mesh is needed. Vertices without numbers (the medial wall, where
fMRIPrep wrote NaN) are left out and counted. GIFTI is compressed text: a run is decoded whole when it is first read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _fmri_run, _fmri_tables, _options
from braindec.loaders._bids_tree import BidsFile
from braindec.loaders._cifti_labels import CiftiLabels
from braindec.loaders._cifti_masker import check_same_model
from braindec.loaders._fmri_mask import check_space, named_path
from braindec.loaders._fmri_tree import SURFACES, Run, find_runs, subjects_of
from braindec.loaders._surface_parcels import Chosen, choose, space_of
from braindec.loaders.readers.cifti import say_labels, say_outside
from braindec.loaders.readers.fmri import check_options
from braindec.loaders.surfaces import (
    GiftiSignal,
    Surface,
    join,
    open_surface,
    read_surface_labels,
    side_of,
    surface_model,
)
from braindec.types import Recording

__all__ = ["load", "files", "subjects"]


@dataclass(frozen=True)
class _Pair:
    """The files of one run, one a hemisphere."""

    run: Run
    paths: tuple[Path, ...]


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    run: str | Sequence[str] | None = None,
    space: str | None = None,
    density: str | None = None,
    hemisphere: str = "both",
    bold: str | None = None,
    derivatives: str | None = None,
    events_root: str | None = None,
    events: str | None = None,
    labels: str | Sequence[str] | None = None,
    labels_map: str | int | None = None,
    regions: str | Sequence[str] | None = None,
    confounds: str | Sequence[str] = "none",
    tr: float | None = None,
    drop_volumes: int = 0,
) -> list[Recording]:
    """Open surface runs; heads, first volumes and tables are read.

    Parameters
    ----------
    root : str or Path
        A BIDS folder, a folder of derivatives, any folder (with ``bold``), or one .func.gii of a run (the other hemisphere
        is found beside it).
    subject, session, task, run : str or list of str, optional
        Labels to keep; for one file its labels.
    space, density : str, optional
        Which of several files of a run (``space-fsaverage5``, ``den-``).
    hemisphere : {"both", "L", "R"}
        Which hemispheres; a run that lacks one of both is refused.
    bold : str, optional
        Path of the files inside ``root`` when names are not BIDS, with ``{subject}``, ``{session}``, ``{task}``, ``{run}``
        and ``*`` (for the hemisphere): ``{subject}/surf/*.{run}.func.gii``.
    derivatives, events_root, events : str, optional
        As in the reader ``cifti``.
    labels : str or list of str, optional
        Label GIFTI files, one a hemisphere (or one path with ``{hemi}`` for L and R): channels are means of parcels.
    labels_map : str or int, optional
        Which map of them (or of ``regions``), when there are several.
    regions : str or list of str, optional
        Label GIFTI files that name the region of each vertex, without averaging.
    confounds, tr, drop_volumes
        As in the reader ``fmri``. GIFTI does not say the unit of its time step; the sidecar does.

    Returns
    -------
    list of Recording
        ``sfreq`` = 1 / TR; channels are of type "vertex" or "parcel", with structure and vertex.

    Raises
    ------
    UnreadableError
        If a file is damaged, cut short, or a mesh.
    BraindecError
        If a hemisphere is missing, runs of a subject differ in vertices or repetition time, or labels lie on another
        surface.
    """
    given = check_options({k: v for k, v in locals().items() if k != "root"})
    pairs = _pairs(root, given)
    recordings: list[Recording] = []
    for who in subjects_of([p.run for p in pairs], given):
        mine = [p for p in pairs if p.run.entities["subject"] == who]
        shown = tqdm(mine, desc=f"opening sub-{who}", disable=None, leave=False)
        opened = [_series(p, given) for p in shown]
        first = opened[0]
        for other in opened[1:]:
            names = str(first[0].path), str(other[0].path)
            check_same_model(surface_model(first), surface_model(other), *names)
        said: list[str] = []
        missing = np.logical_or.reduce([np.concatenate([s.missing for s in surfaces]) for surfaces in opened])
        read = {k: _labels(Path(root), given[k], given, mine[0].run) for k in ("labels", "regions")}
        model, name = surface_model(first), str(first[0].path)
        chosen = choose(model, name, said, parcels=read["labels"], regions=read["regions"], missing=missing)
        say_labels([k for k in read.values() if k is not None], said)
        if chosen.starts is not None:
            say_outside(int((~missing).sum()), len(chosen.rows), said)
        if chosen.starts is None:
            chosen = Chosen(chosen.rows, None, chosen.channels.assign(type="vertex"))
        many = [_open(p, s, chosen, given, Path(root), said) for p, s in zip(mine, opened, strict=True)]
        recordings += _fmri_run.check_same_tr(many)
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a run with the options asked for."""
    values = _options.bind(load, options)
    return subjects_of([p.run for p in _pairs(root, values)], values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the surfaces, labels and tables that :func:`load` with the same options reads."""
    values = check_options(_options.bind(load, {**options, "subject": subject}))
    pairs = _pairs(root, values)
    paths: list[Path] = []
    for pair in pairs:
        sidecars = [q for p in pair.paths for q in BidsFile(p, pair.run.image.root, "func").sidecars("bold", ".json")]
        paths += [*pair.paths, *sidecars, *_fmri_run.tables_of(pair.run, Path(root), values)]
    paths += [p for k in ("labels", "regions") for p in _label_paths(Path(root), values[k], values, pairs[0].run)]
    return list(dict.fromkeys(paths))


def _pairs(root: str | Path, options: Mapping[str, Any]) -> list[_Pair]:
    """Files of the runs, hemispheres together."""
    wanted = str(options["hemisphere"])
    if wanted not in ("both", "L", "R"):
        raise BraindecError(
            f"hemisphere {wanted!r} is unknown{did_you_mean(wanted, ['both', 'L', 'R'])}", allowed="both, L, R"
        )
    path = Path(root).expanduser()
    runs = find_runs(root, options, SURFACES)
    if path.is_file():
        beside = [p for p in sorted(path.parent.iterdir()) if side_of(p.name)[1] == side_of(path.name)[1]]
        runs = [Run(BidsFile(p, r.image.root, "func"), r.raw, r.prepared, r.entities) for r in runs for p in beside]
    together: dict[tuple[str, ...], list[Run]] = {}
    for one in runs:
        labels = tuple(str(one.entities.get(k)) for k in ("subject", "session", "task", "run"))
        together.setdefault((*labels, str(one.path.parent), side_of(one.path.name)[1]), []).append(one)
    pairs = []
    for many in together.values():
        kept = [r for r in many if wanted == "both" or side_of(r.path.name)[0] in (wanted, None)]
        if len(kept) != (2 if wanted == "both" else 1):
            raise BraindecError(
                f"{many[0].path.name}: the run does not have {'both hemispheres' if wanted == 'both' else wanted}",
                found=", ".join(r.path.name for r in many[:4]),
                fix="copy the file of the other hemisphere beside it (hemi-L, hemi-R), or say hemisphere: L",
            )
        pairs.append(_Pair(kept[0], tuple(r.path for r in kept)))
    return pairs


def _series(pair: _Pair, options: Mapping[str, Any]) -> list[Surface]:
    side = None if options["hemisphere"] == "both" else options["hemisphere"]
    surfaces = join([open_surface(p, structure=side) for p in pair.paths])
    if surfaces[0].n_maps < 2 or surfaces[0].labels:
        raise UnreadableError(
            f"{surfaces[0].path} is not a time series", found=f"{surfaces[0].n_maps} map",
            allowed="a .func.gii with an array a volume", fix="name the runs with bold: ...",
        )  # fmt: skip
    return surfaces


def _label_paths(root: Path, given: Any, options: Mapping[str, Any], one: Run) -> list[Path]:
    if given is None:
        return []
    if not isinstance(given, (str, Path, list, tuple)):
        raise BraindecError(
            "labels and regions must be paths of label files", found=repr(given), allowed="atlas.{hemi}.label.gii"
        )
    texts = [str(g) for g in ([given] if isinstance(given, (str, Path)) else given)]
    sides = ("L", "R") if options["hemisphere"] == "both" else (str(options["hemisphere"]),)
    spread = [t.replace("{hemi}", s) for t in texts for s in (sides if "{hemi}" in t else sides[:1])]
    return [named_path(root, t, one) for t in spread]


def _labels(root: Path, given: Any, options: Mapping[str, Any], one: Run) -> CiftiLabels | None:
    paths = _label_paths(root, given, options, one)
    for path in paths:
        check_space(path, one.path)
    return read_surface_labels(paths, options["labels_map"]) if paths else None


def _open(
    pair: _Pair, surfaces: list[Surface], chosen: Chosen, options: dict[str, Any], root: Path, shared: list[str]
) -> Recording:
    one, said, n_volumes = pair.run, list(shared), surfaces[0].n_maps
    sidecar = {**(one.raw.json("bold") if one.raw else {}), **one.image.json("bold")}
    step, found = _step(surfaces[0].step, sidecar)
    tr = _fmri_tables.agreed_tr(one.path, step, sidecar, options["tr"], said, found=found)
    skip = int(options["drop_volumes"])
    _fmri_run.check_drop(skip, n_volumes, one.path)
    cleaned = _fmri_run.read_cleaning(one, options["confounds"], n_volumes, skip, said)
    signal = GiftiSignal(
        [s.path for s in surfaces], chosen.rows, starts=chosen.starts, first=skip, last=n_volumes, confounds=cleaned
    )
    table = _fmri_run.inside(root, options["events"], one) if options["events"] else None
    found_events = _fmri_run.read_events(one, signal.shape[1] * tr, skip * tr, said, path=table)
    n_vertices = {s.structure: s.n_vertices for s in surfaces}
    labels = {
        k: [str(p) for p in _label_paths(root, options[k], options, one)] for k in ("labels", "regions") if options[k]
    }
    info = _fmri_run.about(
        one,
        one.image.entities.get("space") or space_of(n_vertices),
        n_vertices=n_vertices,
        paths=[str(p) for p in pair.paths],
        **labels,
    )
    if cleaned is not None:
        info["confounds"] = (
            options["confounds"] if isinstance(options["confounds"], str) else list(options["confounds"])
        )
    return Recording(signal, 1 / tr, chosen.channels, found_events, {**info, "warnings": list(dict.fromkeys(said))})


def _step(step: float | None, sidecar: Mapping[str, Any]) -> tuple[float | None, str]:
    """The time step in s: programs write s (AFNI) or ms (FreeSurfer), and only very long or short ones tell which."""
    if step is None:
        return None, "no TimeStep in the file"
    said = sidecar.get("RepetitionTime")
    if isinstance(said, (int, float)) and any(abs(step * unit - said) <= 1e-3 * said for unit in (1.0, 1e-3)):
        return float(said), ""
    if step > 60:
        return step / 1000, ""
    return (step, "") if step < 20 else (None, f"a TimeStep of {step:g} that may be s or ms")
