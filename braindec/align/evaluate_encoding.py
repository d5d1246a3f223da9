"""Cross-validated evaluation of an encoding model: held-out scores, what each band adds, ceilings, calibrated p-values.

A target's score is the mean over folds of the correlation (and R2, against the training mean) in the held-out rows. What a band adds is the loss of
R2 when the model is fitted without it, penalties chosen again ("unique"), and its part in the product measure ("split").
P-values come from fitting again on surrogate features (:mod:`braindec.align.refit_null`); they are corrected over targets
by the false discovery rate and by the maximum statistic. Control rows stand beside the score.

Source: Dupré la Tour et al. 2022 (NeuroImage 264:119728) for unique variance and the product measure (Hoffman 1960, Pratt
1987); Nichols & Holmes 2002 (Human Brain Mapping 15:1) for the maximum statistic; Benjamini & Hochberg 1995 (JRSS B 57);
Kriegeskorte et al. 2009 (Nat Neurosci 12:535) on choosing voxels without looking at what is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.align._columns import check_bands, read_block
from braindec.align._encoding_folds import BlockScores, Task, held_out_units, score_block
from braindec.align._encoding_setup import (
    band_notes,
    ceiling_rows,
    check,
    control_models,
    end_notes,
    gap_notes,
    given_ceiling,
    labels_of,
    null_penalties,
    repeat_notes,
    standardise_notes,
    stimulus_notes,
    surrogates_of,
)  # fmt: skip
from braindec.align._encoding_table import RELIABLE, RegionMeans, as_regions, score_table, with_reliable
from braindec.align.refit_null import refit_scores
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.errors import BraindecError
from braindec.stats.ceilings import Ceiling, noise_ceiling, normalized
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p
from braindec.types import FitRecord, Split

__all__ = ["Encoding", "evaluate_encoding", "select_targets"]

_BLOCK = 2**25  # numbers of one matrix (rows or columns x targets) held at once


@dataclass(frozen=True, eq=False)
class Encoding:
    """What :func:`evaluate_encoding` found; arrays have one number a target, NaN for skipped targets.

    Parameters
    ----------
    r, r2 : array of shape (n_targets,)
        Means over folds of held-out scores.
    split_r2, unique_r2 : dict of str to array of shape (n_targets,)
        For each band.
    ceiling : array of shape (n_targets,)
        Share of the variance of a single row that could be explained; NaN where unknown.
    normalized : array of shape (n_targets,)
        ``r`` over the square root of the ceiling; NaN where the ceiling is below 0.05. Where repeats stand on both sides of
        a split, a map only: the means in ``scores`` divide in each fold by the ceiling of that fold (``repeats``). The ceiling
        is that of rows that repeat one another: a score of other rows (rest) may be easier or harder to reach.
    p, q, p_max : array of shape (n_targets,)
        By refitting on surrogates: uncorrected, false discovery rate, family-wise by the maximum statistic.
    p_unique : dict of str to array of shape (n_targets,)
        For the bands in ``test_bands``: only this band was replaced by surrogates.
    skipped : array of bool, shape (n_targets,)
        Constant or not finite in a part of the data.
    edge : dict of str to int
        Penalties (targets x folds) at the "lowest" and "highest" of the grid, "of" how many.
    scores : DataFrame
        Long table of :class:`braindec.types.Result`.
    regions : dict of str to array of bool
    null : array of shape (n_surrogates, n_regions)
        Mean over the targets of each region, for each surrogate.
    null_max : array of shape (n_surrogates,)
        Largest correlation of any target.
    records : list of (Split, list of FitRecord)
    notes : list of str
        Sentences for a report.
    """

    r: np.ndarray
    r2: np.ndarray
    split_r2: Mapping[str, np.ndarray]
    unique_r2: Mapping[str, np.ndarray]
    ceiling: np.ndarray
    normalized: np.ndarray
    p: np.ndarray
    q: np.ndarray
    p_max: np.ndarray
    p_unique: Mapping[str, np.ndarray]
    skipped: np.ndarray
    edge: Mapping[str, int]
    scores: pd.DataFrame
    regions: Mapping[str, np.ndarray]
    null: np.ndarray
    null_max: np.ndarray
    controls: Mapping[str, np.ndarray] = field(default_factory=dict)
    records: Sequence[tuple[Split, list[FitRecord]]] = ()
    notes: Sequence[str] = ()

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays for a Result."""
        out = {
            k: np.asarray(getattr(self, k)) for k in ("r", "r2", "ceiling", "normalized", "p", "q", "p_max", "skipped")
        }
        for name in ("split_r2", "unique_r2", "p_unique", "controls"):
            out |= {f"{name}/{k}": np.asarray(v) for k, v in getattr(self, name).items()}
        if len(self.null):
            out |= {f"null/{k}": self.null[:, i] for i, k in enumerate(self.regions)} | {"null/max": self.null_max}
        return out


def evaluate_encoding(
    encoder: VoxelwiseEncoder, bands: Mapping[str, np.ndarray], Y: Any, splits: Sequence[Split], *,
    runs: np.ndarray | None = None, repeats: np.ndarray | None = None, ceiling: Ceiling | np.ndarray | None = None,
    reliable: float | None = None, stimuli: np.ndarray | None = None, n_surrogates: int = 200, unique: bool = True, test_bands: Sequence[str] = (),
    design: Literal["time", "trials"] = "time", penalties: Literal["auto", "chosen", "fixed"] = "auto", reach: int = 0, regions: Any = None,
    controls: Sequence[str] = ("one_penalty", "time_only", "oasm"), oasm_sigma: float = 2.0, seed: int = 0,
    keys: Mapping[str, Any] | None = None,
) -> Encoding:  # fmt: skip
    """Evaluate an encoder on held-out rows.

    Parameters
    ----------
    encoder : VoxelwiseEncoder
        Not fitted; a clone is fitted in each fold, on training rows only.
    bands : mapping of str to array of shape (n, p_band)
    Y : array-like of shape (n, n_targets)
        Responses: array, memory map, HDF5 dataset or :class:`braindec.align.responses.Responses`; read by blocks of targets.
    splits : sequence of Split
        Outer folds over the rows. Rows in no test part are not scored.
    runs : array of shape (n,), optional
        Run of each row; rows of a run are neighbours in order of time.
    repeats : array of shape (n,), optional
        Rows with one label repeat one another ("" for none); the noise ceiling of single rows is estimated from them, from
        all rows for ``ceiling``, and for normalised scores and ``reliable`` again in each fold without the test rows whose
        label stands in the training rows too: where repeats stand on both sides, a response that agrees by chance is
        predicted by chance, and choosing or dividing by that agreement would be circular.
    ceiling : Ceiling or array of shape (n_targets,), optional
        Share of explainable variance, instead of ``repeats``; of other recordings, or of repeats that no split divides.
    reliable : float, optional
        Adds the region "reliable": in each fold the targets whose ceiling in that fold exceeds this. Its scores are means
        over folds and targets; ``regions`` marks those chosen in half of the folds or more.
    stimuli : array of shape (n,), optional
        What was shown ("" for nothing). Stimuli that stand on both sides of a split are counted and told; single trials
        of one stimulus are surrogates together, and inner folds hold them out together.
    n_surrogates : int
        Refits for p-values; the smallest p is 1 / (n + 1). 0 for none.
    unique : bool
        Fit without each band.
    test_bands : sequence of str
        Bands whose own contribution gets a p-value: only this band becomes a surrogate, all others stay.
    design : {"time", "trials"}
        Phases randomised within runs, or stimuli permuted.
    penalties : {"auto", "chosen", "fixed"}
        Choose penalties (and weights of bands) for each surrogate as for the real features, or keep those that the real
        features got in the same fold. Both hold their level in simulations when all bands become surrogates. "auto" chooses
        where that takes minutes, and keeps in large problems, where it would repeat the whole search for each surrogate; the
        notes say which. For ``test_bands`` "auto" always chooses, however long that takes: a surrogate loses the
        correlation with the other bands, kept penalties do not suit what is left, and in simulations of bands that
        correlate at 0.9 the p-value of a band that adds nothing was below 0.05 in 14 to 23 % (chosen: 4 to 7 %).
    reach : int
        Rows that delays reach which the columns of the bands hold already; training rows nearer than that to a test row of
        their run are counted and told.
    regions : mapping of str to mask or numbers, or labels of shape (n_targets,), optional
    controls : sequence of str
        Rows beside the score: "one_penalty" (plain ridge), "time_only" (place in the run), "oasm" (neighbourhood in time;
        up to 2,000 rows).
    oasm_sigma : float
        Rows.
    seed : int
    keys : mapping, optional
        Columns put before the table (subject, ...).

    Raises
    ------
    BraindecError
        If rows, splits, runs or labels do not fit, or features are not finite.
    """
    if getattr(Y, "ndim", 2) != 2 or len(getattr(Y, "shape", ())) != 2:
        raise BraindecError("responses are a matrix of (row, target)", found=f"shape {getattr(Y, 'shape', None)}")
    n, n_targets = int(Y.shape[0]), int(Y.shape[1])
    bands = check_bands(bands, n)
    runs, repeats, stimuli = (
        labels_of(v, n, k) for v, k in ((runs, "runs"), (repeats, "repeats"), (stimuli, "stimuli"))
    )
    check(splits, n, bands, test_bands, design=design, penalties=penalties, n_surrogates=n_surrogates)
    of_bands = "fixed" if penalties == "fixed" else "chosen"
    if penalties == "auto":
        penalties = null_penalties(encoder, bands, n_targets, n_fits=n_surrogates * len(splits))
    masks = as_regions(regions, n_targets)
    if reliable is not None and repeats is not None and ceiling is None:
        masks = with_reliable(masks, n_targets)
    notes = [
        *stimulus_notes(splits, stimuli),
        *gap_notes(encoder, splits, runs, design, reach),
        *standardise_notes(Y, splits, runs),
    ]
    groups = stimuli if design == "trials" else None
    task = Task(encoder, bands, splits, runs, groups, held_out_units(splits, runs, groups), tuple(bands) if unique else (),
                control_models(encoder, controls, bands, splits, runs, oasm_sigma, notes))  # fmt: skip
    surrogates, kind = surrogates_of(n, n_surrogates, design, runs, stimuli, seed, None)
    gathered = _Gathered(n_targets, RegionMeans(list(masks), np.stack(list(masks.values()))), len(surrogates))
    known_rows = None if ceiling is not None or repeats is None else [ceiling_rows(s, repeats) for s in splits]
    shares = given_ceiling(ceiling, n_targets)
    size = max(1, _BLOCK // max(n, sum(v.shape[1] for v in bands.values()) * len(list(encoder.delays))))
    for start in tqdm(range(0, n_targets, size), desc="encoding", disable=None, leave=False):
        block = slice(start, min(start + size, n_targets))
        part = read_block(Y, block)
        by_fold = np.tile(shares[block], (len(splits), 1))
        if known_rows is not None:
            shares[block] = noise_ceiling(part, repeats).share
            by_fold = np.stack([noise_ceiling(part[rows], repeats[rows]).share for rows in known_rows])
        found = score_block(task, part)
        chosen = np.nan_to_num(by_fold, nan=-np.inf) > reliable if RELIABLE in masks else None
        gathered.scores(block, found, by_fold, chosen)
        if n_surrogates:
            null = {"": surrogates} | {
                b: surrogates_of(n, n_surrogates, design, runs, stimuli, seed, [b])[0] for b in test_bands
            }
            for band, made in null.items():
                gathered.null(block, band, *_null(task, part, found, made, of_bands if band else penalties, chosen))
    masks = gathered.regions(masks)
    table = score_table(gathered.means, n_rows=len(np.unique(np.concatenate([s.test for s in splits]))), n_folds=len(splits), keys=keys or {},
                        seed=seed, surrogate=kind, n_surrogates=n_surrogates)  # fmt: skip
    return gathered.encoding(
        table,
        shares,
        masks,
        splits,
        [
            *notes,
            *repeat_notes(splits, repeats if known_rows else None),
            *band_notes(test_bands, of_bands),
            *end_notes(gathered, n_surrogates, kind, penalties, shares),
        ],
    )


def select_targets(
    ceiling: Ceiling | np.ndarray, threshold: float, *, fitted_on: FitRecord | Sequence[FitRecord] | None = None,
    splits: Sequence[Split] = (),
) -> np.ndarray:  # fmt: skip
    """Choose targets without looking at what will be tested; returns a mask of the targets above ``threshold``.

    Legitimate are (1) a :class:`~braindec.stats.ceilings.Ceiling`: the reliability of responses over repeats, halves or
    subjects, *when no split that will be reported has repeats of one condition on both sides*. It knows no features, and
    repeats that are all held out may be used (normalised scores of the chosen targets are a little low or high by
    regression to the mean). Where a condition stands in training and in test rows (runs are left out, and all runs show the
    same conditions), a ceiling of all rows is circular: noise that agrees between them by chance is predicted by chance. In
    simulations of noise the chosen targets then reached r = 0.1 and 25 % false positives; ``evaluate_encoding(...,
    reliable=threshold)`` chooses in each fold instead. (2) Any score that was computed on training rows of *every* fold
    that will be reported, or on an independent recording: pass it as an array with ``fitted_on``, the records of the rows
    that it saw, and the ``splits``.

    Not legitimate, and refused: a score of a model (r, R2, or a ceiling divided into either) that saw a test row of the
    splits; choosing by it and reporting the same rows is circular.

    Parameters
    ----------
    ceiling : Ceiling or array of shape (n_targets,)
    threshold : float
        Targets above it are chosen; NaN is never chosen.
    fitted_on : FitRecord or sequence of FitRecord
        Rows that an array was computed from.
    splits : sequence of Split
        Folds in which the chosen targets will be scored.

    Raises
    ------
    BraindecError
        If an array comes without its rows, or saw test rows.
    """
    if isinstance(ceiling, Ceiling):
        return np.nan_to_num(ceiling.share, nan=-np.inf) > threshold
    values = np.asarray(ceiling, dtype=float)
    records = [fitted_on] if isinstance(fitted_on, FitRecord) else list(fitted_on or ())
    if not records or not splits or any(not len(r.ids) for r in records):
        raise BraindecError(
            "targets are chosen by a reliability of the responses, or by a score whose rows are known",
            found=f"an array of shape {values.shape} with {len(records)} records and {len(splits)} splits",
            fix="pass a Ceiling (braindec.stats.ceilings), or fitted_on= (FitRecord with the rows it saw) and splits=",
        )  # fmt: skip
    seen = {str(i) for r in records for i in r.ids}
    for split in splits:
        both = [i for i in split.ids[split.test] if str(i) in seen]
        if both:
            raise BraindecError(
                f"targets would be chosen by a score that saw {len(both)} test rows of {split.name or 'a split'}",
                found=f"first: {both[0]}", fix="compute it on training rows of each fold, or choose by a Ceiling of responses only",
            )  # fmt: skip
    return np.nan_to_num(values, nan=-np.inf) > threshold


class _Gathered:
    """Scores of all blocks of targets."""

    def __init__(self, n_targets: int, means: RegionMeans, n_surrogates: int) -> None:
        self.n, self.means = n_targets, means
        self.values: dict[str, np.ndarray] = {}
        self.p: dict[str, np.ndarray] = {}
        self.largest = np.full(n_surrogates, -np.inf)
        self.chosen = np.zeros(n_targets, dtype=bool)
        self.edge = {"lowest": 0, "highest": 0, "of": 0}
        self.records: list[list[FitRecord]] = []
        self.notes: list[str] = []

    def scores(self, block: slice, found: BlockScores, shares: np.ndarray, chosen: np.ndarray | None) -> None:
        """``shares`` and ``chosen`` (n_folds, n_targets of the block): ceilings, and the reliable targets, of each fold."""
        folds, units = dict(found.by_fold), dict(found.units)
        if np.isfinite(shares).any():
            folds["normalized"] = np.stack([normalized(r, s) for r, s in zip(folds["r"], shares, strict=True)])
            units["normalized"] = np.stack(
                [normalized(r, shares[f]) for r, f in zip(units["r"], found.fold_of, strict=True)]
            )
        known = np.isfinite(folds["r"]).all(axis=0)
        for name, each in folds.items():
            self.values.setdefault(name, np.full(self.n, np.nan))[block] = each.mean(axis=0)
            self.means.add_folds(f"value/{name}", block, np.where(known, each, np.nan), chosen)
            pieces = np.where(known, units[name], np.nan)[:, None]  # one fold each
            picked = None if chosen is None else chosen[found.fold_of][:, None]
            self.means.add_folds(f"unit/{name}", block, pieces, picked)
        if chosen is not None:
            self.chosen[block] = 2 * (chosen & known).sum(axis=0) >= len(chosen)
        for side in self.edge:
            self.edge[side] += found.edge[side]
        self.records, self.notes = found.records, found.notes

    def null(
        self, block: slice, band: str, known: np.ndarray, null: np.ndarray, sums: tuple[np.ndarray, np.ndarray]
    ) -> None:
        """``null`` (n_surrogates, n_known) of the targets that ``known`` marks; ``sums`` as for ``RegionMeans.add_reliable``."""
        p = self.p.setdefault(band, np.full(self.n, np.nan))[block]  # a view
        if known.any():
            p[known] = permutation_p(self.values["r"][block][known], null)
        wide = np.full((len(null), len(known)), np.nan)
        wide[:, known] = null
        name = f"null/{f'unique_r2/{band}' if band else 'r'}"
        self.means.add(name, block, wide)
        self.means.add_reliable(name, *sums)
        if known.any() and not band:
            self.largest = np.maximum(self.largest, null.max(axis=1))

    def regions(self, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The masks with the targets that were found reliable; without that region where no fold has any."""
        if RELIABLE not in masks:
            return masks
        if self.means.counts["value/r"][list(masks).index(RELIABLE)] > 0:
            return {**masks, RELIABLE: self.chosen}
        self.means.drop(RELIABLE)
        return {k: v for k, v in masks.items() if k != RELIABLE}

    def encoding(self, table: pd.DataFrame, shares: np.ndarray, masks: Mapping[str, np.ndarray], splits: Sequence[Split],
                 notes: list[str]) -> Encoding:  # fmt: skip
        def of(prefix: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(prefix): v for k, v in self.values.items() if k.startswith(prefix)}

        r, nan = self.values["r"], np.full(self.n, np.nan)
        p, p_max = self.p.get("", nan), nan.copy()
        known = np.isfinite(r)
        if len(self.largest) and known.any():
            p_max[known] = permutation_p(r[known], self.largest[:, None])
        null = self.means.of("null/r") if len(self.largest) else np.empty((0, len(masks)))
        return Encoding(
            r, self.values["r2"], of("split_r2/"), of("unique_r2/"), shares, normalized(r, shares), p, fdr_bh(p), p_max,
            {k: v for k, v in self.p.items() if k}, ~known, self.edge, table, masks, null, self.largest, of("control/"),
            list(zip(splits, self.records, strict=True)), notes,
        )  # fmt: skip


def _null(
    task: Task, Y: np.ndarray, found: BlockScores, surrogates: Any, penalties: str, chosen: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Which targets have a null, their correlations of each surrogate, and sums and counts of the chosen ones in a mean fold."""
    known = np.isfinite(found.values["r"]) & np.isfinite(Y).all(axis=0)
    sums, n_folds = np.zeros(len(surrogates)), len(found.folds)
    weights = None if chosen is None else chosen[:, known].astype(float) / n_folds
    counts = np.full(len(surrogates), 0.0 if weights is None else weights.sum())
    if not known.any():
        return known, np.zeros((len(surrogates), 0)), (sums, counts)
    folds = [
        replace(f, alpha=f.alpha[known] if penalties == "fixed" else None,
                gamma=None if f.gamma is None or penalties != "fixed" else f.gamma[:, known])
        for f in found.folds
    ]  # fmt: skip

    def add(fold: int, which: slice, scores: np.ndarray) -> None:
        if weights is not None:
            sums[which] += scores @ weights[fold]

    encoder = task.encoder
    null = refit_scores(task.bands, Y[:, known], folds, surrogates, weights=encoder.band_weights(task.bands), runs=task.runs,
                        delays=encoder.delays, scoring=encoder.scoring, dtype=encoder.dtype, each=add)  # fmt: skip
    return known, null, (sums, counts)
