"""Official splits: the parts that a data set's authors named in a column of the events."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate.splits import content_split
from braindec.types import Split, Windows

__all__ = ["official_or_content_split", "official_split"]


def official_split(
    windows: Windows, column: str, *, validation_by: str, validation: float = 0.1, seed: int = 0
) -> Split:
    """Split by a column that says train, validation or test.

    Parameters
    ----------
    windows : Windows
        What is split.
    column : str
        The column; rows that say neither are an error.
    validation_by : str
        When no row says validation, a share of the training rows is taken by the hash of this content.
    validation : float
        That share; 0 for no validation rows.
    seed : int
        Another seed takes another share.

    Raises
    ------
    BraindecError
        If the column is missing or says something else.
    """
    trials = windows.trials
    if column not in trials:
        raise BraindecError(f"the trials have no column {column!r}{did_you_mean(column, trials.columns)}",
                            allowed=", ".join(map(str, trials.columns)))  # fmt: skip
    part = trials[column].astype(str).to_numpy()
    unknown = sorted(set(part) - {"train", "validation", "test"})
    if unknown:
        raise BraindecError(f"the column {column!r} must say train, validation or test", found=", ".join(unknown[:5]))
    train, held, test = (np.flatnonzero(part == p) for p in ("train", "validation", "test"))
    if validation and not len(held):
        inside = content_split(windows[train], validation_by, test=validation, validation=0.0, seed=seed)
        train, held = train[inside.train], train[inside.test]
    return Split(train, held, test, by=column, ids=windows.ids, name=f"the column {column}")


def official_or_content_split(
    windows: Windows, column: str | None, *, by: str, test: float, validation: float = 0.0, seed: int = 0
) -> Split:
    """Split by the official column where the trials have it, else by the hash of a content.

    Parameters
    ----------
    windows : Windows
    column : str, optional
        See :func:`official_split`.
    by : str
        The content: test (and validation) rows show none that training rows show.
    test, validation : float
        Shares of the contents; ``test`` counts only without the column.
    seed : int
    """
    if column in windows.trials:
        return official_split(windows, str(column), validation_by=by, validation=validation, seed=seed)
    return content_split(windows, by, test=test, validation=validation, seed=seed)
