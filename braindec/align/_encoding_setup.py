"""What surrounds the evaluation of an encoding model: checks, surrogates, control models, and sentences for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindec.align.baselines import oasm_band, position_band
from braindec.align.refit_null import Surrogate, phase_surrogates, stimulus_surrogates
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.errors import BraindecError, did_you_mean
from braindec.signal.delays import run_blocks
from braindec.stats.ceilings import Ceiling
from braindec.types import Split

__all__ = ["band_notes", "ceiling_rows", "check", "control_models", "end_notes", "gap_notes", "given_ceiling", "labels_of", "null_penalties", "repeat_notes", "standardise_notes", "stimulus_notes",
           "surrogates_of"]  # fmt: skip

CONTROLS = ("one_penalty", "time_only", "oasm")
_OASM_ROWS = 2000  # more rows: the control that has one column a row is left out
_PER_RUN = 5  # stimuli a run holds on average for them to be exchanged within runs
_FEW_PHASES = 20  # rows of a run below which there are few different surrogates
_AFFORDABLE = 5e12  # multiplications: some minutes on one core
_AUTO_PENALTIES = 17  # penalties of an automatic grid
_FLOOR = 0.05  # ceilings below it are not divided by


def check(
    splits: Sequence[Split], n: int, bands: Mapping[str, np.ndarray], test_bands: Sequence[str], *, design: str, penalties: str,
    n_surrogates: int,
) -> None:  # fmt: skip
    """Raise unless options are known and the splits are those of these rows."""
    for name, value, allowed in (
        ("design", design, ("time", "trials")),
        ("penalties", penalties, ("auto", "chosen", "fixed")),
    ):
        if value not in allowed:
            raise BraindecError(f"{name} of the evaluation is unknown", found=repr(value), allowed=", ".join(allowed))
    if int(n_surrogates) != n_surrogates or n_surrogates < 0:
        raise BraindecError("n_surrogates is a whole number of at least 0", found=repr(n_surrogates))
    for band in test_bands:
        if band not in bands:
            raise BraindecError(
                f"there is no band {band!r} to test{did_you_mean(band, bands)}", allowed=", ".join(bands)
            )
    if not splits:
        raise BraindecError("there are no folds to evaluate in", fix="split_by(trials, 'run')")
    for split in splits:
        if len(split.ids) != n:
            raise BraindecError(
                f"{split.name or 'a split'} was made for other rows",
                found=f"{len(split.ids)} rows, the responses have {n}",
            )


def labels_of(values: Any, n: int, name: str) -> np.ndarray | None:
    """Labels as text, one a row; missing ones are ""."""
    if values is None:
        return None
    labels = np.array(["" if v is None or v != v else str(v) for v in np.asarray(values, dtype=object)], dtype=object)
    if labels.shape != (n,):
        raise BraindecError(f"{name} need one label for each row", found=f"shape {labels.shape} for {n} rows")
    return labels


def given_ceiling(ceiling: Ceiling | np.ndarray | None, n_targets: int) -> np.ndarray:
    """The share of a given ceiling, NaN without one."""
    if ceiling is None:
        return np.full(n_targets, np.nan)
    share = np.array(ceiling.share if isinstance(ceiling, Ceiling) else ceiling, dtype=float)
    if share.shape != (n_targets,):
        raise BraindecError(
            "the ceiling does not fit the targets", found=f"shape {share.shape} for {n_targets} targets"
        )
    return share


def ceiling_rows(split: Split, repeats: np.ndarray) -> np.ndarray:
    """Rows whose repeats may say how reliable a target is in this fold: not test rows whose label is trained on, too."""
    trained = set(repeats[split.train]) - {""}
    apart = np.array([label not in trained for label in repeats[split.test]], dtype=bool)
    return np.sort(np.concatenate([split.train, split.validation, split.test[apart]]).astype(np.int64))


def repeat_notes(splits: Sequence[Split], repeats: np.ndarray | None) -> list[str]:
    """Tell what ceilings and reliable targets of a fold come from, where repeats stand on both sides of a split."""
    if repeats is None:
        return []
    tested, both = 0, 0
    for split in splits:
        labels = set(repeats[split.test]) - {""}
        tested, both = tested + len(labels), both + len(labels & set(repeats[split.train]))
    if not both:
        return []
    return [f"{both} of {tested} repeated conditions of test parts stand in training, too: reliable targets and the ceilings of "
            "normalised scores were found in each fold without those test rows; the map of the ceiling is of all rows."]  # fmt: skip


def band_notes(test_bands: Sequence[str], penalties: str) -> list[str]:
    """Warn when p-values of single bands were made with penalties of the real features."""
    if not test_bands or penalties != "fixed":
        return []
    return ["P-values of single bands keep the penalties of the real features: where bands correlate with one another they are "
            "too small (penalties: chosen)."]  # fmt: skip


def surrogates_of(
    n: int, count: int, design: str, runs: np.ndarray | None, stimuli: np.ndarray | None, seed: int, vary: Sequence[str] | None
) -> tuple[list[Surrogate], str]:  # fmt: skip
    """Return the surrogates and what to call them.

    Stimuli are exchanged within runs where each of them stands in one run only and a run holds 5 or more; else among all
    rows.
    """
    if design == "time":
        return phase_surrogates(count, n, runs, seed=seed, vary=vary), "phase-randomised features"
    shown = np.arange(n).astype(str) if stimuli is None else stimuli
    within = None
    if runs is not None:
        pairs = len(set(zip(shown.tolist(), runs.tolist(), strict=True)))
        names, n_runs = len(set(shown.tolist())), len(set(runs.tolist()))
        within = runs if pairs == names and names >= _PER_RUN * n_runs else None
    where = "" if within is None else " within runs"
    return stimulus_surrogates(count, shown, within, seed=seed, vary=vary), f"permutations of the stimuli{where}"


def null_penalties(encoder: VoxelwiseEncoder, bands: Mapping[str, np.ndarray], n_targets: int, *, n_fits: int) -> str:
    """Return "chosen" where choosing penalties for each surrogate takes minutes, else "fixed"."""
    n = len(next(iter(bands.values())))
    columns = min(sum(v.shape[1] for v in bands.values()) * len(list(encoder.delays)), n)
    draws = 1 if encoder.model == "ridge" or len(bands) == 1 else encoder.n_draws
    grid = _AUTO_PENALTIES if isinstance(encoder.alphas, str) else np.size(encoder.alphas)
    each = (
        4
        * grid
        * draws
        * (encoder.inner_folds * columns * min(columns, n // encoder.inner_folds) * n_targets + columns**3)
    )
    return "chosen" if each * n_fits <= _AFFORDABLE else "fixed"


def control_models(
    encoder: VoxelwiseEncoder, names: Sequence[str], bands: Mapping[str, np.ndarray], splits: Sequence[Split],
    runs: np.ndarray | None, sigma: float, notes: list[str],
) -> dict[str, tuple[VoxelwiseEncoder, Mapping[str, np.ndarray]]]:  # fmt: skip
    """Models of the control rows, each with its bands; what is left out is told in ``notes``."""
    from sklearn.base import clone

    n = len(splits[0].ids)
    out: dict[str, tuple[VoxelwiseEncoder, Mapping[str, np.ndarray]]] = {}
    for name in names:
        if name not in CONTROLS:
            raise BraindecError(
                f"unknown control row {name!r}{did_you_mean(name, CONTROLS)}", allowed=", ".join(CONTROLS)
            )
        plain = clone(encoder).set_params(model="ridge")
        if name == "one_penalty" and encoder.model != "ridge" and len(bands) > 1:
            out[name] = (plain, bands)
        elif name == "time_only":
            out[name] = (plain.set_params(delays=(0,)), {"time": position_band(n, runs=runs)})
        elif name == "oasm" and runs is not None and not any(set(runs[s.test]) & set(runs[s.train]) for s in splits):
            notes.append(
                "No run stands on both sides of a split: a model of neighbourhood in time (OASM) predicts nothing."
            )
        elif name == "oasm" and n <= _OASM_ROWS:
            alphas = (n * 10.0 ** np.arange(-3, 2)).tolist()  # columns have variance 1: n is their mean inner product
            out[name] = (plain.set_params(delays=(0,), alphas=alphas), {"rows": oasm_band(n, blocks=runs, sigma=sigma)})
        elif name == "oasm":
            notes.append(
                f"The control of neighbourhood in time (OASM) is left out: {n:,} rows, {_OASM_ROWS:,} at most."
            )
    return out


def stimulus_notes(splits: Sequence[Split], stimuli: np.ndarray | None) -> list[str]:
    """Count test stimuli that were also in training."""
    if stimuli is None:
        return []
    shared, tested = 0, 0
    for split in splits:
        test = set(stimuli[split.test]) - {""}
        shared += len(test & set(stimuli[split.train]))
        tested += len(test)
    if not tested:
        return []
    if not shared:
        return [f"No stimulus of a test part occurs in its training part ({tested} stimuli in {len(splits)} folds)."]
    return [f"{shared} of {tested} test stimuli (summed over {len(splits)} folds) also occur in training: the score holds for "
            "repetitions of known stimuli, not for new ones. Split by stimulus_id for those."]  # fmt: skip


def gap_notes(
    encoder: VoxelwiseEncoder, splits: Sequence[Split], runs: np.ndarray | None, design: str, reach: int = 0
) -> list[str]:
    """Tell when training rows lie within the delays of a test row, and when runs are too short for surrogates."""
    if design != "time":
        return []
    n = len(splits[0].ids)
    blocks = run_blocks(runs, n)
    reach = max(reach, *(abs(int(d)) for d in encoder.delays))
    near = 0
    for split in splits:
        test = np.zeros(n, dtype=bool)
        test[split.test] = True
        close = np.zeros(n, dtype=bool)
        for start, stop in blocks:
            for k in range(1, reach + 1):
                close[start + k : stop] |= test[start : max(stop - k, start)]
                close[start : max(stop - k, start)] |= test[start + k : stop]
        near += int(close[split.train].sum())
    notes = []
    if near:
        notes.append(f"{near} training rows (summed over {len(splits)} folds) lie within {reach} rows, the longest delay, of a test "
                     "row of their run: split by run, or with a gap of at least that much.")  # fmt: skip
    short = min(stop - start for start, stop in blocks)
    if short < _FEW_PHASES:
        notes.append(f"The shortest run has {short} rows: there are few different phase-randomised surrogates of it.")
    return notes


def standardise_notes(Y: Any, splits: Sequence[Split], runs: np.ndarray | None) -> list[str]:
    """Tell when responses were standardised by whole runs of which a split divides some."""
    if getattr(Y, "standardise", "none") != "run" or runs is None:
        return []
    divided = {run for s in splits for run in set(runs[s.train]) & set(runs[s.test])}
    if not divided:
        return []
    return [f"Responses have mean 0 and variance 1 in each run, test rows included, and {len(divided)} runs stand on both sides of a "
            "split: training rows know the mean and scale of the test rows (split by run, or standardise: none)."]  # fmt: skip


def end_notes(gathered: Any, n_surrogates: int, kind: str, penalties: str, shares: np.ndarray) -> list[str]:
    """Sentences on skipped targets, penalties at the edge, ceilings and the smallest p-value."""
    n, edge, r = gathered.n, gathered.edge, gathered.values["r"]
    notes = list(dict.fromkeys(gathered.notes))
    skipped = int((~np.isfinite(r)).sum())
    if skipped:
        notes.append(
            f"{skipped} of {n} targets are constant or not finite in a part of the data: their scores are NaN."
        )
    for side, way in (("lowest", "smaller"), ("highest", "larger")):
        if edge[side]:
            notes.append(f"{edge[side]} of {edge['of']} penalties (targets x folds) are the {side} of the grid"
                         + (f": {way} ones might be better." if side == "lowest" else ": as for targets that nothing predicts."))  # fmt: skip
    if np.isfinite(shares).any():
        low = int((shares[np.isfinite(shares)] < _FLOOR).sum())
        notes.append(f"Noise ceiling: median {np.nanmedian(shares):.3f} of the variance; {low} of {int(np.isfinite(shares).sum())} targets "
                     f"are below {_FLOOR} and have no normalised score.")  # fmt: skip
    if n_surrogates:
        kept = "kept from the real features" if penalties == "fixed" else "chosen again each time"
        count = int(np.isfinite(r).sum())
        share = min(1.0, 1 / ((n_surrogates + 1) * 0.05))
        notes.append(f"P-values: scaling, fit and prediction were repeated on {n_surrogates} {kind}, penalties {kept}; the smallest possible is "
                     f"{1 / (n_surrogates + 1):.4f}, so a false discovery rate of 5 % can be reached only when {share:.0%} or more of the "
                     f"{count} targets reach it.")  # fmt: skip
    return notes
