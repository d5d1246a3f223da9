"""A decoder from the settings of a recipe: its name and its options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from braindec import registry

__all__ = ["make_decoder"]


def make_decoder(options: Mapping[str, Any], **offered: Any) -> Any:
    """Build a decoder that is not fitted.

    Parameters
    ----------
    options : mapping
        ``name``, a file of ``decoders``, and any of its options.
    **offered
        Settings for decoders that have such an option, such as ``seed`` and ``folder``; ``options`` come first.

    Raises
    ------
    BraindecError
        If there is no such decoder, or an option cannot be used.

    Examples
    --------
    >>> make_decoder({"name": "classifier", "model": "ridge"}, seed=3)
    Classifier(model='ridge')
    """
    chosen = dict(options)
    kind = registry.get("decoders", chosen.pop("name"))
    known = inspect.signature(kind).parameters
    return kind(**{**{k: v for k, v in offered.items() if k in known}, **chosen})
