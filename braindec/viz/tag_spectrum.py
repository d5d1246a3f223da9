"""Spectrum of the mean response with its tagged rates: one line a condition, power on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from braindec.errors import BraindecError
from braindec.viz._style import CONTROL, INK, SERIES, canvas, grid, legend_above, numbers, styled, texts

__all__ = ["tag_spectrum"]


@styled
def tag_spectrum(
    frequencies: Any,
    spectra: Any,
    *,
    rates: Mapping[str, float] | None = None,
    labels: Sequence[str] | None = None,
    low: Any = None,
    high: Any = None,
    ylabel: str = "evoked power",
    n: int | None = None,
    what: str = "units",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw spectra with the tagged rates marked.

    Parameters
    ----------
    frequencies : array of shape (n_bins,)
        Hz, rising.
    spectra : array of shape (n_bins,) or (n_conditions, n_bins)
        Power, at least 0; the first condition is drawn in colour with dots, controls after it in other lines.
    rates : mapping of str to float, optional
        Tagged rates, Hz, marked by name.
    labels : sequence of str, optional
        Names of the conditions.
    low, high : array of the shape of ``spectra``, optional
        Ends of intervals, drawn as bands.
    ylabel, title : str
    n : int, optional
        How many ``what`` the mean is over.
    what : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, power is negative, or a rate lies outside the frequencies.
    """
    frequencies = numbers("frequencies", frequencies, ndim=1)
    lines = np.atleast_2d(numbers("spectra", spectra))
    if lines.shape[1:] != frequencies.shape or (np.diff(frequencies) <= 0).any():
        raise BraindecError(
            "spectra must be (condition, bin) over rising frequencies",
            found=f"{lines.shape}, {len(frequencies)} frequencies",
        )
    if lines.min() < 0 or not (lines > 0).any():
        raise BraindecError("power is at least 0, and not 0 everywhere", found=f"{lines.min():g} to {lines.max():g}")
    names = texts("labels", labels, len(lines)) if labels is not None else [None] * len(lines)
    rates = {str(k): float(v) for k, v in (rates or {}).items()}
    step = float(np.diff(frequencies).min()) if len(frequencies) > 1 else 1.0
    outside = {k: v for k, v in rates.items() if not frequencies[0] - step <= v <= frequencies[-1] + step}
    if outside:
        raise BraindecError(
            "a rate lies outside the spectrum",
            found=str(outside),
            allowed=f"{frequencies[0]:g} to {frequencies[-1]:g} Hz",
        )
    figure, ax = canvas(ax, height=3.1)
    floor = lines[lines > 0].min() / 2
    _mark(ax, rates, frequencies, step)
    for i, line in enumerate(lines):
        colour = SERIES[i % len(SERIES)]
        if low is not None and high is not None:
            ends = [np.atleast_2d(numbers(k, v)) for k, v in (("low", low), ("high", high))]
            if any(e.shape != lines.shape for e in ends):
                raise BraindecError(
                    "low and high must have the shape of spectra", found=f"{ends[0].shape}, {ends[1].shape}"
                )
            ax.fill_between(
                frequencies,
                np.maximum(ends[0][i], floor),
                np.maximum(ends[1][i], floor),
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
        ax.plot(frequencies, np.maximum(line, floor), color=colour, linestyle="-" if i == 0 else (0, (4, 1.5)),
                marker="o" if i == 0 and len(frequencies) <= 80 else None, markersize=3, linewidth=1.4, label=names[i])  # fmt: skip
    ax.set_yscale("log")
    decades = np.log10(max(lines.max(), 2 * floor) / floor)
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2.5 else (1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top * (top / bottom) ** 0.22 if rates else top)  # room for the names of the rates
    ax.set_xlim(frequencies[0] - step, frequencies[-1] + step)
    ax.set_xlabel("frequency (Hz)" + (f"  (mean of {n:,} {what})" if n is not None else ""))
    ax.set_ylabel(ylabel)
    grid(ax)
    legend_above(ax, title)
    return figure


def _mark(ax: Axes, rates: Mapping[str, float], frequencies: np.ndarray, step: float) -> None:
    """Grey bands at the rates with their names, one below the other where they are close."""
    span = frequencies[-1] - frequencies[0] + 2 * step
    ends: list[float] = []  # right end of the last name of each line of names
    for name, rate in sorted(rates.items(), key=lambda item: item[1]):
        ax.axvline(rate, color=CONTROL, linewidth=5, alpha=0.25, zorder=0)
        wide = 0.021 * len(name) * span
        left = min(rate - wide / 2, frequencies[-1] + step - wide)
        row = next((k for k, end in enumerate(ends) if end < left), len(ends))
        ends[row : row + 1] = [left + wide]
        ax.annotate(f"{name}\n{rate:g} Hz", (left + wide / 2, 1), xycoords=("data", "axes fraction"), xytext=(0, -3 - 20 * row),
                    textcoords="offset points", ha="center", va="top", fontsize=7.5, color=INK)  # fmt: skip
