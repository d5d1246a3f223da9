"""A decoder from the settings of a recipe: its name and its options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from braindec import registry
from braindec.errors import BraindecError, did_you_mean

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
    if not isinstance(options, Mapping) or "name" not in options:
        raise BraindecError(
            "a decoder is asked for by its name and options", found=repr(options), fix='{"name": "ridge", ...}'
        )
    chosen = dict(options)
    name = chosen.pop("name")
    kind = registry.get("decoders", name)
    known = inspect.signature(kind).parameters
    unknown = [o for o in chosen if o not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        raise BraindecError(
            f"the decoder {name!r} has no option {unknown[0]!r}{did_you_mean(str(unknown[0]), known)}",
            allowed=", ".join(known),
        )
    return kind(**{**{k: v for k, v in offered.items() if k in known}, **chosen})
