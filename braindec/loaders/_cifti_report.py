"""A short page about a masker of CIFTI files, with nilearn's way of showing and saving it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from braindec.files import write_text
from braindec.loaders._cifti_model import BrainModel, short

_STYLE = "body{font:15px/1.5 sans-serif;margin:2em;max-width:60em}td,th{padding:.2em 1em .2em 0;text-align:left}"


@dataclass(frozen=True)
class MaskerReport:
    """One self-contained HTML page."""

    body: str

    def save_as_html(self, path: str | Path) -> Path:
        """Write the page and return its path."""
        write_text(path, str(self))
        return Path(path)

    def _repr_html_(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"<!doctype html><meta charset='utf-8'><style>{_STYLE}</style>{self.body}"


def report(masker: Any, model: Any, name: str, parcels: pd.DataFrame | None = None) -> MaskerReport:
    """Return the page: settings, structures with their counts, and the parcels when there are any."""
    settings = ", ".join(f"{k}={v!r}" for k, v in masker.get_params().items())
    counts = f"{masker.n_elements_} features from {Path(name).name}: {model.describe()}"
    parts = [f"<h1>{type(masker).__name__}</h1><p>{html.escape(settings)}</p><p>{html.escape(counts)}</p>"]
    if isinstance(model, BrainModel):
        rows = [
            (short(b.structure), "vertices" if b.surface else "voxels", b.count, b.n_vertices or "")
            for b in model.blocks
        ]
        table = pd.DataFrame(rows, columns=["structure", "kind", "grayordinates", "of vertices"])
        parts.append(table.to_html(index=False, border=0))
    if parcels is not None:
        parts.append(parcels.to_html(index=False, border=0))
    return MaskerReport("".join(parts))
