"""What a connection rule is: which neurons of one population reach which of another.

A rule is a file in ``networks/rules``: a frozen dataclass of plain parameters with ``check`` and ``connect``. Random
numbers are hashes of the projection's key and a counter, so the same seed gives the same synapses everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.networks._numbers import is_whole, numbers

__all__ = ["ConnectionRule", "Wiring", "as_rule", "need_share", "need_whole"]


@dataclass(frozen=True, eq=False)
class Wiring:
    """Synapses by source: neuron ``i`` reaches ``targets[indptr[i]:indptr[i + 1]]``, in rising order.

    Parameters
    ----------
    indptr : array of int64, shape (n_source + 1,)
    targets : array of int32, shape (n_synapses,)
    weights : array of float64, shape (n_synapses,), optional
        Where the rule brings them.
    """

    indptr: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None


@runtime_checkable
class ConnectionRule(Protocol):
    """The form of a rule; populations have ``name``, ``n`` and ``positions``."""

    def check(self, source: Any, target: Any) -> None:
        """Raise BraindecError if the rule does not fit these populations."""

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Return the synapses; ``autapses`` says whether neuron i may reach neuron i (of one population)."""


def as_rule(rule: Any) -> ConnectionRule:
    """Return a rule given as such, by name, or as ``{"name": ..., parameter: value}``."""
    from braindec import registry

    if isinstance(rule, ConnectionRule) and not isinstance(rule, type):
        return rule
    if not isinstance(rule, (str, Mapping)):
        raise BraindecError(
            "a connection rule is an object of braindec.networks.rules, a name, or {'name': ..., parameter: value}",
            found=f"{rule!r}"[:80], allowed=", ".join(registry.names("networks.rules")),
        )  # fmt: skip
    name, params = (rule, {}) if isinstance(rule, str) else ({**rule}.pop("name", ""), {**rule})
    params.pop("name", None)
    made = registry.get("networks.rules", str(name))
    known = [f.name for f in fields(made)]
    for param in params:
        if param not in known:
            raise BraindecError(
                f"the connection rule {name!r} has no parameter {param!r}{did_you_mean(param, known)}",
                allowed=", ".join(known),
            )
    try:
        return made(**params)
    except TypeError as error:
        raise BraindecError(f"the connection rule {name!r} lacks a parameter", found=str(error), allowed=", ".join(known)) from error  # fmt: skip


def need_share(value: float, what: str) -> None:
    """Raise unless ``value`` is a probability."""
    if not 0 <= float(numbers(value, what, finite=False)) <= 1:
        raise BraindecError(f"{what} is a probability", found=f"{value}", allowed="0 to 1")


def need_whole(value: float, what: str) -> None:
    """Raise unless ``value`` is a whole number from 0."""
    if not is_whole(value) or value < 0:
        raise BraindecError(f"{what} is a whole number", found=f"{value!r}", allowed="0, 1, 2, ...")


def rule_name(rule: Mapping[str, Any] | Any) -> str:
    """Return the name of a rule for messages."""
    return type(rule).__name__
