"""Ridge regression engine: plain and banded, one penalty a target, fast and flat in memory."""

from __future__ import annotations

from braindec.ridge.banded import BandedFit, fit_banded
from braindec.ridge.folds import check_folds, contiguous_folds, group_folds
from braindec.ridge.plain import RidgeFit, fit_ridge
from braindec.ridge.scores import pearson, r2, split_r, split_r2, unique_r2

__all__ = [
    "BandedFit",
    "RidgeFit",
    "check_folds",
    "contiguous_folds",
    "fit_banded",
    "fit_ridge",
    "group_folds",
    "pearson",
    "r2",
    "split_r",
    "split_r2",
    "unique_r2",
]
