"""From an encoding to a Result: scores, maps, regions and the pictures that a report shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._brain_panels import Brain
from braindec.align._encoding_table import ALL, RELIABLE
from braindec.align.bands import Design
from braindec.align.evaluate_encoding import Encoding
from braindec.align.responses import Responses
from braindec.config import Section
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate.audit import Audit
from braindec.loaders.source import Source
from braindec.types import Result

__all__ = ["Regions", "encoding_result", "region_masks", "write_encoding_maps"]

_TOP = 0.999  # share of channels below the end of the colours of a map of what a band adds
_ROW = {"time": "volume", "trials": "trial"}
_SHORT = {ALL: "all"}
_MANY = 14  # regions in one picture


class Regions(Section):
    """Regions of the brain: a parcellation, masks by name, or a column of the channel table.

    ``atlas`` is a label image, or a name of ``braindec list atlases`` whose files are there, with ``labels``, ``form``
    (volume, fslr, fsaverage5, ...), ``threshold`` (for maps of probabilities) and ``parameters`` of its card; ``masks`` maps
    names to mask images, as seen from the folder of the data. ``resample`` allows the nearest voxel when grids differ;
    ``space`` says the space of the atlas or masks where the file does not, or where two names mean the same to you.
    """

    column: str = "region"
    atlas: str | None = None
    labels: str | None = None
    form: str | None = None
    threshold: float | None = None
    parameters: dict[str, Any] = {}
    masks: dict[str, str] = {}
    space: str | None = None
    resample: bool = False


def region_masks(
    regions: Regions, responses: Responses, source: Source | None = None, *, said: list[str] | None = None
) -> dict[str, np.ndarray]:
    """Return which channels belong to each region, name -> array of bool (n_channels,).

    Notes on what was resampled or left out are added to ``said``.

    Raises
    ------
    BraindecError
        If the column, an atlas or a mask does not fit the data.
    """
    geometry, found = responses.geometry(), {}
    notes = said if said is not None else []
    if regions.masks:
        from braindec.loaders.atlases import rois_of

        folder = Path(source.root) if source is not None else Path()
        named = {k: folder / v for k, v in regions.masks.items()}
        found |= rois_of(geometry, named, resample=regions.resample, mask_space=regions.space, said=notes)
    if regions.atlas:
        from braindec.loaders.atlases import labels_of, open_atlas

        atlas = open_atlas(regions.atlas, labels=regions.labels, form=regions.form, threshold=regions.threshold,
                           space=regions.space, **regions.parameters)  # fmt: skip
        codes = labels_of(geometry, atlas, resample=regions.resample, space=regions.space, said=notes)
        found |= {name: codes == code for code, name in atlas.names.items() if (codes == code).any()}
        notes += [n for n in atlas.notes if n not in notes]
    if not found and regions.column in responses.channels:
        labels = responses.channels[regions.column].astype(str).to_numpy()
        named = sorted(set(labels) - {"", "n/a", "nan"})
        if len(named) < len(labels):  # where each channel is a region by itself, there is nothing to average
            found = {name: labels == name for name in named}
    elif not found and "region" != regions.column:
        raise BraindecError(f"regions: the channels have no column {regions.column!r}{did_you_mean(regions.column, responses.channels)}",
                            allowed=", ".join(map(str, responses.channels)))  # fmt: skip
    return {k: v for k, v in found.items() if v.any()}


def write_encoding_maps(found: Encoding, responses: Responses, folder: Path, unit: Mapping[str, str]) -> list[Path]:
    """Write maps in the space of the data (NIfTI, GIFTI or CIFTI); nothing where channels have no place in a brain."""
    from braindec.loaders.brain_maps import write_maps

    maps = {
        "r": found.r,
        "r2": found.r2,
        "p": found.p,
        "q": found.q,
        "ceiling": found.ceiling,
        "normalized": found.normalized,
    }
    maps |= {f"unique{_word(k)}": v for k, v in found.unique_r2.items()} | {
        f"split{_word(k)}": v for k, v in found.split_r2.items()
    }
    kept = {k: np.asarray(v, dtype=np.float32) for k, v in maps.items() if np.isfinite(v).any()}
    if not _placed(responses):
        return []
    return write_maps(responses.geometry(), kept, folder, entities={**dict(unit), "desc": "encoding"})


def encoding_result(
    found: Encoding, design: Design, responses: Responses, *, card: Audit, source: Source, maps: Sequence[Path] = (),
    mesh: Mapping[str, str] | None = None, said: Sequence[str] = (),
) -> Result:  # fmt: skip
    """Return the result of one subject with its panels.

    ``mesh`` names the surfaces (left, right: GIFTI) that vertices are drawn on, where they are not those of fsaverage.
    """
    arrays = found.arrays()
    arrays |= {
        "regions/names": np.array(list(found.regions), dtype=object),
        "regions/masks": np.stack(list(found.regions.values())),
    }
    panels = _Panels(found, responses, arrays, mesh, design.kind).all()
    cited = (
        [{"key": source.card.name, "text": source.card.citation, "doi": source.card.doi or ""}] if source.card else []
    )
    notes = joined_notes(found.notes)
    if maps:
        notes.append(f"Maps ({len(maps)} files: {_shown(found)}) are in {_below(maps[0])}/.")
    made_by = {"overview": _overview(found, design, responses), "audit": card.to_dict(), "panels": panels, "citations": cited,
               "warnings": [*dict.fromkeys([*responses.notes, *(responses.info.get("warnings") or []), *said])], "notes": notes}  # fmt: skip
    return Result(reliable_first(found.scores), arrays, made_by)


def reliable_first(scores: pd.DataFrame) -> pd.DataFrame:
    """Put the scores of reliable channels first, where there are any: a mean over all channels of a brain is mostly of
    channels that respond to nothing of the experiment."""
    return scores.iloc[np.argsort(scores["region"] != RELIABLE, kind="stable")].reset_index(drop=True)


def joined_notes(notes: Iterable[str]) -> list[str]:
    """Join notes that folds say alike: "block-0: 298 of 784 columns ..." becomes one with the range of the numbers."""
    out: dict[str, list[int]] = {}
    alike: dict[str, str] = {}
    for note in dict.fromkeys(notes):
        match = re.fullmatch(r"([^\s:]+): (\d+) (of \d+ columns of band .*)", note)
        if match is None:
            out[note] = []
            continue
        key = alike.setdefault(match[3], note)
        out.setdefault(key, []).append(int(match[2]))
    kept = {note: text for text, note in alike.items()}
    return [
        f"{_span(n)} {_grouped(kept[note])} (in {len(n)} fold{'s' if len(n) > 1 else ''})." if n else note
        for note, n in out.items()
    ]


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _grouped(text: str) -> str:
    """Numbers of four digits and more with commas."""
    return re.sub(r"\d{4,}", lambda m: f"{int(m[0]):,}", text)


def _overview(found: Encoding, design: Design, responses: Responses) -> dict[str, Any]:
    channels, info = responses.channels, responses.info
    kinds = ", ".join(_counted(n, k) for k, n in channels["type"].value_counts().items())
    rows = "volumes" if design.kind == "time" else "trials"
    return {
        "modality": info.get("modality") or "fmri",
        rows: f"{len(design.rows):,} in {_counted(len(set(design.runs)), 'run')}",
        "channels": kinds,
        **(
            {"repetition time (s)": "not said" if np.isnan(design.step) else round(design.step, 4)}
            if design.kind == "time"
            else {}
        ),
        "bands": ", ".join(f"{k} ({_counted(v.shape[1], 'column')})" for k, v in design.bands.items()),
        **_delays(design),
        "space": info.get("space") or "not said",
        "channels without a score": int(found.skipped.sum()),
        "repeated conditions": _repeated(design),
    }


def _delays(design: Design) -> dict[str, str]:
    """The delays as they are, once where all bands share them."""
    told = {band: ", ".join(f"{d:g}" for d in delays) for band, delays in design.delays.items()}
    if not any(set(t) - set("0") for t in told.values()):
        return {}
    shared = set(told.values())
    return {"delays (s)": shared.pop() if len(shared) == 1 else "; ".join(f"{b}: {t}" for b, t in told.items())}


def _repeated(design: Design) -> str:
    counts = design.rows.loc[design.rows["condition"] != "", "condition"].value_counts()
    again = counts[counts > 1]
    if not len(again):
        return "none: no noise ceiling"
    times = f"{again.min()}" if again.min() == again.max() else f"{again.min()} to {again.max()}"
    return f"{len(again):,}, seen {times} times each"


def _counted(n: int, what: str) -> str:
    plural = {"vertex": "vertices"}.get(what, f"{what}s")
    return f"{n:,} {what if n == 1 else plural}"


class _Panels:
    """Pictures of an encoding: maps, regions, ceilings, null."""

    def __init__(
        self,
        found: Encoding,
        responses: Responses,
        arrays: dict[str, np.ndarray],
        mesh: Mapping[str, str] | None = None,
        kind: str = "time",
    ) -> None:
        self.found, self.arrays, self.kind = found, arrays, kind
        self.brain = Brain(responses, arrays, mesh or {})

    def all(self) -> list[dict[str, Any]]:
        """All pictures that the data allow, the score first."""
        found, unique = self.found, list(self.found.unique_r2)
        panels = self.brain.map("r", found.r, "Held-out correlation", "held-out r", "Mean over folds.")
        gains = np.concatenate([v[np.isfinite(v)] for v in found.unique_r2.values()]) if unique else np.zeros(0)
        top = float(np.quantile(gains, _TOP)) if len(gains) else 0.0
        for band in unique if len(unique) > 1 else []:
            panels += self.brain.map(f"unique_r2/{band}", np.maximum(found.unique_r2[band], 0.0), f"What the band {band} adds", "R² added",
                                     f"Held-out R² lost when the model is fitted without this band; losses below 0 are shown as 0. One scale for all bands, which "
                                     f"ends at the largest {100 * (1 - _TOP):.1g} % of the channels.",
                                     top=max(top, 0.0))  # fmt: skip
        if np.isfinite(found.ceiling).any():
            panels += self.brain.map("ceiling", np.maximum(found.ceiling, 0.0), "Noise ceiling", "share of variance",
                                     f"Share of the variance of one {_ROW[self.kind]} that comes again when the condition does, from the responses alone.")  # fmt: skip
            panels.append({"draw": "score_ceiling", "title": "Score against ceiling", "args": {"score": "@r", "ceiling": "@ceiling", "what": _plural(self.brain.channels["type"])},
                           "caption": "Each square counts channels; on the line a score is all that the ceiling allows. It may be above where a band, such "
                           "as motion, explains what does not repeat."})  # fmt: skip
        return [*panels, *self.bars(), *self.null()]

    def bars(self) -> list[dict[str, Any]]:
        """Means of the regions, with what each band has of them."""
        table = self.found.scores
        rows = table[(table["row"] == "decoded") & (table["metric"] == "pearson")].drop_duplicates("region")
        n_regions = len(rows)
        rows = rows.sort_values("n_targets", ascending=False, kind="stable").head(_MANY)
        names = [
            f"{_SHORT.get(region, region)} ({int(n):,})"
            for region, n in zip(rows["region"], rows["n_targets"], strict=True)
        ]
        masks = [self.found.regions[r] for r in rows["region"]]
        for column in ("value", "low", "high"):
            self.arrays[f"bars/{column}"] = rows[column].to_numpy(dtype=float)
        args: dict[str, Any] = {
            "values": "@bars/value",
            "names": names,
            "low": "@bars/low",
            "high": "@bars/high",
            "label": "held-out r",
        }
        ceilings = np.array([_mean(self.found.ceiling[m]) for m in masks])
        if np.isfinite(ceilings).any():
            self.arrays["bars/ceiling"] = np.sqrt(np.maximum(ceilings, 0.0))
            args["ceiling"] = "@bars/ceiling"
        panels = [{"draw": "roi_bars", "title": "Mean correlation by region", "args": args,
                   "caption": "In brackets: how many channels. Dark lines: 95 % intervals over held-out pieces." + (" Grey: what the noise ceiling allows "
                   "(square root of its mean)." if "ceiling" in args else "") + (f" The largest {_MANY} of {n_regions} regions; all are in scores.csv."
                                                                                  if n_regions > _MANY else "")}]  # fmt: skip
        if len(self.found.split_r2) > 1:
            self.arrays["bars/split"] = np.array([[_mean(v[m]) for m in masks] for v in self.found.split_r2.values()])
            panels.append({"draw": "band_shares", "title": "Shares of the explained variance",
                           "args": {"shares": "@bars/split", "names": names, "bands": list(self.found.split_r2)},
                           "caption": "Mean over channels. The shares add up to the R² of all bands together (product measure; diamond); a share below 0 is of a "
                           "band that makes the joint prediction worse."})  # fmt: skip
        return panels

    def null(self) -> list[dict[str, Any]]:
        """The mean score beside those of surrogate features."""
        if not len(self.found.null):
            return []
        names = list(self.found.regions)
        region = RELIABLE if RELIABLE in names else names[0]
        table = self.found.scores
        mine = (table["row"] == "decoded") & (table["metric"] == "pearson") & (table["region"] == region)
        observed = float(table.loc[mine, "value"].iloc[0])
        return [{"draw": "null_histogram", "title": f"Mean correlation of {_channels(region)} against surrogate features",
                 "args": {"observed": observed, "null": f"@null/{region}", "label": "mean held-out r", "kind": "surrogate features"},
                 "caption": f"Grey: scaling, fit and prediction repeated on {_counted(len(self.found.null), 'set')} of surrogate features; the notes say how they "
                 "are made and whether penalties were chosen again."}]  # fmt: skip


def _plural(types: pd.Series) -> str:
    """What the channels are, in one word."""
    return _counted(2, str(types.iloc[0])).split(" ", 1)[1] if types.nunique() == 1 else "channels"


def _channels(region: str) -> str:
    return "reliable channels" if region == RELIABLE else region


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _placed(responses: Responses) -> bool:
    info = responses.info
    return bool(info.get("affine") is not None or info.get("n_vertices"))


def _shown(found: Encoding) -> str:
    return ", ".join(
        [
            "r",
            "R²",
            "p and p corrected",
            *(["ceiling", "r over ceiling"] if np.isfinite(found.ceiling).any() else []),
            "what each band adds",
            "its share",
        ]
    )


def _below(path: Path) -> str:
    """The folder of a map, as seen from the folder of the unit."""
    parts = path.parent.parts
    return "/".join(parts[parts.index("units") + 1 :]) if "units" in parts else path.parent.name


def _word(text: str) -> str:
    return "".join(c for c in text.title() if c.isalnum())
