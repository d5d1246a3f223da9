"""What could make hidden states look real: drift of the recording, and gains where there are no states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braindec.evaluate.audit import Audit, Finding
from braindec.spikes.brain_states import StateFits, switches
from braindec.stats.permutation import permutation_p

__all__ = ["state_audit"]

_N_PERMUTATIONS = 999
_ALPHA = 0.01


def state_audit(fits: StateFits, rows: Sequence[Mapping[str, Any]], *, rng: np.random.Generator | int = 0) -> Audit:
    """Return findings about the split, drift, states of rate, and the control without states.

    Drift: the share of each trial that a state takes is correlated with the order of the trials (all trials, in order);
    the largest absolute correlation of a state is compared with that of trials in random order.
    """
    rng = np.random.default_rng(rng)
    found = [
        Finding("split", "pass", f"the last {len(fits.test)} of {len(fits.train) + len(fits.test)} trials are held out",
                {"train": len(fits.train), "test": len(fits.test)})
    ]  # fmt: skip
    shares = np.array([p.mean(axis=0) for p in fits.models[fits.first].posterior([*fits.train, *fits.test])])
    observed, null = _largest(shares, np.arange(len(shares))), np.zeros(_N_PERMUTATIONS)
    for i in range(_N_PERMUTATIONS):
        null[i] = _largest(shares, rng.permutation(len(shares)))
    p = float(permutation_p(observed, null))
    evidence = {"largest correlation with the order of trials": round(observed, 3), "p": p}
    if p <= _ALPHA:
        found.append(
            Finding("drift", "warn", f"states follow the time in the recording (r = {observed:.2f}, p = {p:.3f}): they may be drift", evidence,
                    "look at the states over the session; analyse stable stretches, or add covariates for the drift")
        )  # fmt: skip
    else:
        found.append(Finding("drift", "pass", f"states do not follow the order of trials (p = {p:.2f})", evidence))
    gain = next(r for r in rows if r["metric"] == "state_gain" and r["row"] == "decoded")
    if any(r["row"] == "over_rates_only" for r in rows) and gain["p"] <= 0.05 and gain["low"] > 0:
        of_rate = not switches(rows)
        found.append(
            Finding("rates", "warn" if of_rate else "pass", "states in which only rates differ predict as well: no couplings need switch" if of_rate
                    else "couplings that switch predict more than states in which only rates differ", {},
                    "model.state_bias=true gives states rates of their own, beside couplings" if of_rate else "")
        )  # fmt: skip
    for row in rows:
        if row["row"] == "state_free":
            gains = row["p"] <= _ALPHA and row["low"] > 0
            text = "states gain on data that have none" if gains else "states gain nothing on data that have none"
            found.append(
                Finding("state_free", "fail" if gains else "pass", f"{text} ({row['value']:+.4f} bits a spike)",
                        {"value": float(row["value"]), "p": float(row["p"])})
            )  # fmt: skip
    return Audit(tuple(found))


def _largest(shares: np.ndarray, order: np.ndarray) -> float:
    """Largest absolute correlation of a column with an order; columns that do not change count as 0."""
    a, b = shares - shares.mean(axis=0), order - order.mean()
    size = np.sqrt((a**2).sum(axis=0) * (b @ b))
    return float(np.abs(np.divide(b @ a, size, out=np.zeros(len(size)), where=size > 1e-12)).max())
