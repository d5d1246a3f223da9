"""Options of readers: one signature for ``load``, ``subjects`` and ``files``; unknown ones are refused by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from braindec.errors import BraindecError, did_you_mean


def bind(load: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all keyword options of ``load`` with ``options`` filled in.

    Raises
    ------
    BraindecError
        If an option is unknown or a required one is missing.
    """
    parameters = [p for p in inspect.signature(load).parameters.values() if p.name != "root"]
    known = {p.name: p.default for p in parameters}
    reader = load.__module__.rsplit(".", 1)[-1]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise BraindecError(
            f"the reader {reader} has no option {unknown[0]!r}{did_you_mean(unknown[0], known)}",
            found=", ".join(unknown), allowed=", ".join(known),
        )  # fmt: skip
    values = {**known, **options}
    missing = [name for name, value in values.items() if value is inspect.Parameter.empty]
    if missing:
        spikes = "; for spikes another reader: reader=spikes (times), spike_bins (counts) or spike_text (a file a unit)"
        raise BraindecError(
            f"the reader {reader} needs {', '.join(missing)}",
            fix=f"add {missing[0]}=... to the options of the reader{spikes if reader in ('arrays', 'table') else ''}",
        )
    return values


def as_list(value: Any) -> list[str] | None:
    """Return None, or a list of labels as text (numbers of a YAML file become text)."""
    if value is None:
        return None
    many = [value] if isinstance(value, (str, int, float)) else list(value)
    return [str(v) for v in many]


def text_or_none(value: Any) -> str | None:
    """Return a single label as text, or None."""
    labels = as_list(value)
    return labels[0] if labels and len(labels) == 1 else None
