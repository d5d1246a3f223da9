"""What stretches of training steps brought: a table that is saved as CSV and drawn as training curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from braindec.files import write_text

__all__ = ["StepHistory"]


@dataclass
class StepHistory:
    """Mean training loss over stretches of steps.

    Parameters
    ----------
    rows : list of dict
        step (the last of the stretch, from 1), lr, train_loss (its mean), and ``validation_...`` values taken at its end.
    best_step : int
        Step whose averaged weights were kept; 0 when nothing was trained.
    folder : Path, optional
        Where the checkpoints of the run are.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    folder: Path | None = None

    def columns(self) -> dict[str, np.ndarray]:
        """One array a column, and ``best_step`` as an array of one, for ``training_curves``."""
        table = {n: np.array([row[n] for row in self.rows], dtype=np.float64) for n in self._names()}
        return {**table, "best_step": np.array([self.best_step])}

    def save(self, path: str | Path) -> None:
        """Write a CSV file in which every digit of the floats is kept."""
        names = self._names()
        lines = [",".join(names), *(",".join(repr(row[n]) for n in names) for row in self.rows)]
        write_text(path, "\n".join(lines) + "\n")

    def _names(self) -> list[str]:
        return list(self.rows[0]) if self.rows else ["step", "lr", "train_loss"]
