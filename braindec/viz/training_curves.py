"""Training curves: loss on training and validation rows by epoch, and the epoch that was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, GREEN, RED, canvas, chance_line, grid, legend_above, numbers, styled

__all__ = ["training_curves"]


_KEYS = {
    "train": ("train", "train_loss", "training", "loss"),
    "validation": ("validation", "validation_loss", "valid", "valid_loss", "val", "val_loss"),
    "epochs": ("epoch", "epochs", "step", "steps"),
    "chosen": ("chosen", "best_epoch", "best_step", "best", "kept"),
    "chance": ("chance", "chance_loss"),
}


@styled
def training_curves(
    history: Any = None,
    *,
    train: Any = None,
    validation: Any = None,
    chosen: int | None = None,
    epochs: Any = None,
    chance: float | None = None,
    ylabel: str = "loss",
    n: tuple[int, int] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the loss by epoch.

    Parameters
    ----------
    history : mapping of str to array, optional
        Holds train (or train_loss), validation (or validation_loss), epoch (or step), chosen (or best_epoch, best_step) and
        chance under these names; others are left alone.
    train, validation : array of shape (n_epochs,)
        Loss of each epoch; NaN in ``validation`` where it was not taken.
    chosen : int, optional
        The epoch (as numbered by ``epochs``, or counted from 1) whose weights were kept.
    epochs : array of shape (n_epochs,), optional
        Numbers of the epochs; 1, 2, ... by default.
    chance : float, optional
        Loss of guessing, e.g. log(number of candidates in a batch).
    ylabel, title : str
        Names for the axis and the picture.
    n : (int, int), optional
        Number of training and validation windows, for the legend.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ, the history has no training loss, or no validation value is finite.
    """
    unit = "step" if history is not None and "step" in history and "epoch" not in history else "epoch"
    if history is not None:
        found = _look_up(history)
        train, validation, epochs = (
            found.get(k, v) for k, v in (("train", train), ("validation", validation), ("epochs", epochs))
        )
        chosen, chance = (found.get(k, v) for k, v in (("chosen", chosen), ("chance", chance)))
    train = numbers("train", train, ndim=1)
    x = np.arange(1, len(train) + 1) if epochs is None else numbers("epochs", epochs, ndim=1, n=len(train))
    figure, ax = canvas(ax, height=3.0)
    counts = [f" (n = {int(v):,})" for v in n] if n is not None else ["", ""]
    mark = "o" if len(train) <= 3 else None
    ax.plot(x, train, color=BLUE, label=f"training{counts[0]}", marker=mark)
    if validation is not None:
        held = numbers("validation", validation, ndim=1, n=len(train), finite=False)
        there = np.isfinite(held)
        if not there.any():
            raise BraindecError("no validation loss is finite", found=f"{len(held)} epochs")
        ax.plot(x[there], held[there], color=RED, linestyle=(0, (5, 1.5)), label=f"validation{counts[1]}", marker=mark)
    if chosen is not None:
        chosen = int(np.asarray(chosen).ravel()[-1])
        ax.axvline(chosen, color=GREEN, linewidth=1.2, label=f"kept: {unit} {chosen}")
    if chance is not None:
        chance = float(np.asarray(chance).ravel()[-1])
        chance_line(ax, chance, label=f"guessing ({chance:.3g})")
    ax.set_xlabel(unit)
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(ax)
    legend_above(ax, title)
    return figure


def _look_up(history: Mapping[str, Any]) -> dict[str, Any]:
    """Find the parts of a history under the names that training loops use."""
    found = {}
    for part, names in _KEYS.items():
        key = next((name for name in names if name in history), None)
        if key is not None:
            found[part] = history[key]
    if "train" not in found:
        raise BraindecError(
            "the history has no training loss", found=f"{sorted(history)}", allowed=", ".join(_KEYS["train"])
        )
    return found
