"""Scores of made pictures, item by item and metric by metric, in one long table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.evaluate.picture_metric import PictureMetric, find_metric
from braindec.evaluate.picture_network import Remembered

__all__ = ["score_pictures", "CAPTION_METRICS", "FILM_METRICS", "PICTURE_METRICS"]

PICTURE_METRICS = ("pixcorr", "ssim", "two_way", "within_category")
FILM_METRICS = ("frame_ssim", "film_two_way", "end_point_error", "motion_direction")
CAPTION_METRICS = ("bleu", "meteor", "rouge", "cider", "sentence_cosine")


def score_pictures(
    made: Any,
    true: Any,
    *,
    metrics: Sequence[str | PictureMetric] | None = None,
    versions: str | Mapping[str, str] | None = None,
    network: Any = None,
    labels: Any = None,
    ids: Sequence[Any] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Score what was made against what was shown.

    Parameters
    ----------
    made, true : arrays of shape (n, [n_frames,] height, width, channel), or lists of captions
        See :meth:`braindec.evaluate.picture_metric.PictureMetric.per_item`.
    metrics : sequence of str or PictureMetric, optional
        Names in evaluate.pictures, evaluate.films or evaluate.captions. By default ``PICTURE_METRICS`` for pictures (without
        ``within_category`` where there are no labels), ``FILM_METRICS`` for films, ``CAPTION_METRICS`` for texts.
    versions : str or mapping of metric to str, optional
        One version for every metric that has it (the others keep their default), or one a metric.
    network : name, mapping or callable
        See :func:`braindec.evaluate.picture_network.open_network`; for captions, a sentence network
        ("hashing" unless one is given).
    labels : sequence of shape (n,), optional
        The class of each item.
    ids : sequence of shape (n,), optional
        Names of items; their numbers by default.
    options : mapping of metric to mapping, optional
        Options of a metric.

    Returns
    -------
    DataFrame
        Columns item, metric, version, value, note; ``note`` says where an item had no answer of its own.

    Raises
    ------
    BraindecError
        If a metric or version is unknown, ids do not fit, or a metric cannot score the items.
    """
    usual = _usual(true)
    chosen = [find_metric(m) for m in (usual if metrics is None else metrics)]
    if metrics is None and labels is None:
        chosen = [m for m in chosen if "labels" not in m.needs]
    names = [m.name for m in chosen]
    for given, what in ((versions if isinstance(versions, Mapping) else {}, "version"), (options or {}, "option")):
        unknown = [m for m in given if m not in names]
        if unknown:
            raise BraindecError(f"a {what} is given of {unknown[0]!r}, which is not scored", allowed=", ".join(names))
    ids = list(range(len(true))) if ids is None else list(ids)
    if len(ids) != len(true):
        raise BraindecError("ids must name each item", found=f"{len(ids)} ids, {len(true)} items")
    if network is None:
        network = "hashing" if usual is CAPTION_METRICS else "gabor"
    if any("network" in m.needs and m.kind != "captions" for m in chosen):
        network = network if isinstance(network, Remembered) else Remembered(network)
    tables = []
    for metric in chosen:
        version = versions.get(metric.name) if isinstance(versions, Mapping) else versions
        if isinstance(versions, str) and version not in metric.versions:
            version = None
        values, lost = metric.answers(
            made, true, version=version, network=network, labels=labels, **(options or {}).get(metric.name, {})
        )
        tables.append(pd.DataFrame({
            "item": ids, "metric": metric.name, "version": version or metric.default, "value": values,
            "note": np.where(lost, f"{metric.undefined_says}: counts as {metric.undefined:g}", ""),
        }))  # fmt: skip
    if not tables:
        raise BraindecError("no metric was named", fix="metrics=['pixcorr', 'ssim', ...]")
    return pd.concat(tables, ignore_index=True)


def _usual(true: Any) -> tuple[str, ...]:
    """Return the metrics that fit what was shown."""
    first = true[0] if len(true) else None
    if isinstance(first, (list, tuple)) and first:
        first = first[0]
    if isinstance(first, str):
        return CAPTION_METRICS
    return FILM_METRICS if np.ndim(true[0] if len(true) else 0) == 4 else PICTURE_METRICS
