"""Does any decision depend on what came after it? The executed test of a whole decoder, whatever is inside.

The recording is changed beyond a moment and decided again: decisions made by that moment must stay what they were. This
finds what a test of filters cannot: windows that reach beyond the decision, baselines from later samples, scaling by the
whole run inside a decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from braindec.errors import BraindecError
from braindec.types import ArraySignal, Recording

__all__ = ["assert_no_foresight"]

Decide = Callable[[Recording], tuple[np.ndarray, np.ndarray]]


def assert_no_foresight(
    decide: Decide, recording: Recording, *, at: Sequence[float] | None = None, size: float = 20.0, tolerance: float = 1e-9,
    seed: int = 0,
) -> int:  # fmt: skip
    """Change a recording beyond some moments and require all decisions made by then to stay the same.

    Parameters
    ----------
    decide : callable
        Recording -> (times of the decisions in s (n,), their scores (n, ...)).
    recording : Recording
        One run; it is read into memory.
    at : sequence of float, optional
        Moments in s; a quarter, half and three quarters of the run by default.
    size : float
        The change, in standard deviations of each channel.
    tolerance : float
        Relative change of scores that counts as none.
    seed : int

    Returns
    -------
    int
        How many decisions were compared.

    Raises
    ------
    BraindecError
        If a decision changed, or none was made by any of the moments.
    """
    moments = [recording.duration * share for share in (0.25, 0.5, 0.75)] if at is None else list(at)
    data = np.array(recording.signal.read(), dtype=np.float64)
    rng, spread = np.random.default_rng([seed, 19]), data.std(axis=1, keepdims=True)
    times, scores = (np.asarray(v, dtype=float) for v in decide(recording))
    compared = 0
    for moment in moments:
        first = int(np.floor(moment * recording.sfreq + 1e-6)) + 1
        changed = data.copy()
        changed[:, first:] += size * spread * rng.standard_normal(changed[:, first:].shape)
        new_times, new_scores = (
            np.asarray(v, dtype=float) for v in decide(recording.with_signal(ArraySignal(changed)))
        )
        old, new = scores[times <= moment + 1e-9], new_scores[new_times <= moment + 1e-9]
        compared += len(old)
        same = old.shape == new.shape and np.allclose(old, new, rtol=tolerance, atol=tolerance, equal_nan=True)
        if not same:
            moved = len(old) if old.shape != new.shape else int((~np.isclose(old, new, rtol=tolerance, atol=tolerance, equal_nan=True)).reshape(len(old), -1).any(axis=1).sum())  # fmt: skip
            raise BraindecError(
                f"decisions depend on samples that came after them: changing the recording after {moment:.3g} s changes {moved} of "
                f"{len(old)} decisions made by then", fix="use live steps, and windows and baselines that end at the decision",
            )  # fmt: skip
    if not compared:
        raise BraindecError(
            "no decision was made by any of these moments", found=", ".join(f"{m:.3g} s" for m in moments)
        )
    return compared
