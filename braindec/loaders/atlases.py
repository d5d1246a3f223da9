"""Atlases: cards, label files of any usual kind, and the region of each channel.

``open_atlas("schaefer2018", n_parcels=100)`` reads the files that a card names; ``open_atlas("labels.nii.gz",
labels="names.tsv")`` reads files of your own. ``labels_of`` gives each voxel or vertex of a recording its label,
``electrode_regions`` each electrode its region, ``rois_of`` the voxels of each of several masks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._atlas import Atlas, compare_spaces
from braindec.loaders._atlas_card import AtlasCard, AtlasForm, load_atlas_card, names
from braindec.loaders._atlas_electrodes import electrode_regions, with_regions
from braindec.loaders._atlas_files import read_atlas, read_masks
from braindec.loaders._atlas_lookup import labels_of, rois_of, sizes_on
from braindec.loaders._atlas_tables import read_label_table
from braindec.loaders._bids_tree import entities_of

__all__ = ["Atlas", "AtlasCard", "AtlasForm", "atlas_home", "compare_spaces", "electrode_regions", "fetch_atlas", "labels_of",
           "load_atlas_card", "names", "open_atlas", "read_label_table", "rois_of", "sizes_on", "with_regions"]  # fmt: skip


def open_atlas(
    atlas: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    *,
    labels: str | Path | Mapping[int, str] | None = None,
    table_format: str | None = None,
    space: str | None = None,
    form: str | None = None,
    threshold: float | None = None,
    which: int | str | None = None,
    home: str | Path | None = None,
    **parameters: Any,
) -> Atlas:
    """Open an atlas: by the name of its card, or from files of your own.

    Parameters
    ----------
    atlas : str, Path, list of two paths, or dict of str to path
        Name of a card; a label file (.nii, .nii.gz, .dlabel.nii, .label.gii, .annot, .mgz), or both hemispheres of one;
        or binary masks by name, which become the regions 1, 2, ... .
    labels : path or dict of int to str, optional
        Names of the labels, where the file does not hold them: .tsv, .csv, .json, FreeSurfer .txt, AAL or FSL .xml (see
        :func:`braindec.loaders._atlas_tables.read_label_table`).
    table_format : str, optional
        Shape of that table, when it cannot be told from its content.
    space : str, optional
        Coordinate system of the labels; wins over card, file name and header.
    form : str, optional
        Which form of a card ("volume", "fslr", ...); the first when left out.
    threshold : float, optional
        Make labels of probabilities: the most probable region, where its probability is at least this.
    which : int or str, optional
        Map of a file that holds several.
    home : str or Path, optional
        Folder that holds the folders of atlases; see :func:`atlas_home`.
    **parameters
        Parameters of the card, such as ``n_parcels=100``.

    Raises
    ------
    BraindecError
        If there is no such card, its files are not there (where they were looked for, and how to obtain them, is said),
        the files do not belong together, or a table does not fit the labels.
    """
    if not isinstance(atlas, (str, Path, Mapping, list, tuple)):
        raise BraindecError(
            "which atlas?", found=repr(atlas), allowed="the name of a card, a label file, two of them, or masks by name"
        )
    if isinstance(atlas, Mapping):
        _refuse(parameters, form=form, labels=labels, threshold=threshold)
        return read_masks(atlas, name="masks", space=space)
    table = read_label_table(labels, table_format) if isinstance(labels, (str, Path)) else labels
    is_card = isinstance(atlas, str) and (atlas in names() or not _looks_like_a_file(atlas))
    if is_card or str(atlas).endswith((".yaml", ".yml")):
        found = _of_card(load_atlas_card(str(atlas)), form, parameters, table, space, which, home)
    else:
        _refuse(parameters, form=form)
        paths = [Path(p).expanduser() for p in ([atlas] if isinstance(atlas, (str, Path)) else atlas)]
        if not 1 <= len(paths) <= 2:
            raise BraindecError("an atlas is one file, or two (left, right)", found=f"{len(paths)} files")
        entities = entities_of(paths[0].name)
        said = space or entities.get("space") or entities.get("tpl")
        found = read_atlas(paths, name=_stem(paths[0]), space=said, table=table, which=which)
    return found if threshold is None else found.thresholded(threshold)


def atlas_home(home: str | Path | None = None) -> Path:
    """Return the folder of atlases: the one that is given, else ``$BRAINDEC_DATA/atlases``, else ``./data/atlases``."""
    if home is not None:
        return Path(home).expanduser()
    return Path(os.environ.get("BRAINDEC_DATA") or "data").expanduser() / "atlases"


def fetch_atlas(
    name_or_path: str | Path,
    *,
    form: str | None = None,
    home: str | Path | None = None,
    mirror: str | Path | None = None,
    progress: bool | None = None,
    **parameters: Any,
) -> list[Path]:
    """Download the files of one form of an atlas into its folder in ``home``, or say how to obtain them.

    Raises
    ------
    BraindecError
        If the licence does not let us, or the download fails; see :func:`braindec.loaders.fetch.fetch`.
    """
    from braindec.loaders.fetch import fetch

    card = load_atlas_card(name_or_path)
    chosen = card.form(form, **parameters)
    files = chosen.files if mirror is not None else card.as_dataset(chosen).files
    dataset = card.as_dataset(chosen).model_copy(update={"files": files})
    return fetch(dataset, atlas_home(home) / card.folder, mirror=mirror, progress=progress)


def _of_card(
    card: AtlasCard,
    form: str | None,
    parameters: Mapping[str, Any],
    table: Mapping[int, str] | None,
    space: str | None,
    which: int | str | None,
    home: str | Path | None,
) -> Atlas:
    chosen = card.form(form, **parameters)
    folder = atlas_home(home) / card.folder
    missing = [f.path for f in chosen.files if not (folder / f.path).is_file()]
    if missing:
        words = "".join(f", {k}={v!r}" for k, v in parameters.items()) + (f", form={form!r}" if form else "")
        raise BraindecError(
            f"the atlas {card.name} is not here", found=f"no {', '.join(missing)} in {folder}",
            fix=(f"fetch_atlas({card.name!r}{words}) downloads it; " if card.access == "open" else "")
            + card.how_to_obtain.strip(),
        )  # fmt: skip
    if table is None and chosen.table is not None:
        table = read_label_table(folder / chosen.table, chosen.table_format)
    if table is None and chosen.names is not None:
        table = dict(enumerate(chosen.names, start=1))
    found = read_atlas(
        [folder / p for p in chosen.labels], name=card.name, space=space or chosen.space, table=table, which=which
    )
    held = "labels" if found.labels is not None else "probability"
    if held != chosen.values or found.kind != chosen.kind:
        raise BraindecError(
            f"{found.path} is not what the card of {card.name} says", found=f"{found.kind}, {held}",
            allowed=f"{chosen.kind}, {chosen.values}", fix="the file is of another release: name it yourself",
        )  # fmt: skip
    said = card.n_regions.get(form or next(iter(card.forms)))
    if said is not None and len(found.names) != said:
        note = f"{card.name}: the card says {said} regions, the files hold {len(found.names)}"
        return replace(found, notes=(*found.notes, note))
    return found


def _looks_like_a_file(text: str) -> bool:
    return "/" in text or "\\" in text or "." in text or Path(text).exists()


def _stem(path: Path) -> str:
    return path.name.split(".")[0] or path.name


def _refuse(parameters: Mapping[str, Any], **options: Any) -> None:
    """Options of cards make no sense for files of your own."""
    given = [*parameters, *(k for k, v in options.items() if v is not None)]
    if given:
        known = ("labels", "table_format", "space", "form", "threshold", "which", "home")
        raise BraindecError(
            f"open_atlas: {given[0]!r} cannot be used here{did_you_mean(given[0], known)}",
            fix="parameters and forms belong to cards; label tables and thresholds to label files",
        )
