"""Metrics as the control report uses them: values of items, chance, and, where it is cheap, the score of every pair of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._control_pairs import beaten, correlations, first, thumbnails
from braindec.evaluate.picture_metric import PictureMetric, find_metric
from braindec.evaluate.picture_network import Remembered, features_of

_FEW_VALUES = 60_000  # numbers a picture up to which all pairs are correlated in full

Pairs = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]

__all__ = ["DEFAULT", "Scorer", "hidden_scorers", "scorers", "vectors_of"]

DEFAULT = {
    "pictures": ("two_way", "within_category", "pixcorr", "ssim"),
    "films": ("two_way", "within_category", "pixcorr", "frame_ssim"),
    "captions": ("cider", "meteor", "rouge"),
}


@dataclass(frozen=True, eq=False)
class Scorer:
    """One metric in one version.

    Parameters
    ----------
    name, version, describe : str
    higher_is_better : bool
    function : callable
        ``function(made, true, labels) -> (values, lost)``: one value an item, and which had no answer of their own.
    chance : float
        Level that follows from counting; NaN where none does.
    pairs : callable, optional
        ``pairs(made, true_items, labels_of_items) -> (n_made, n_items)``: the score of each made item if it were of each item.
    within : bool
        Items are exchanged within their class only, and those that are alone in it are left out.
    exact : bool
        The pairs give the very values of the metric, and take their place.
    """

    name: str
    version: str
    describe: str
    higher_is_better: bool
    function: Callable[..., tuple[np.ndarray, np.ndarray]] | None
    chance: float = float("nan")
    pairs: Pairs | None = None
    within: bool = False
    exact: bool = False


def scorers(
    metrics: Sequence[Any] | None, *, kind: str, network: Any, labels: np.ndarray | None, n: int,
    versions: str | Mapping[str, str] | None = None, options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Scorer]:  # fmt: skip
    """Return the metrics asked for, ready to be called.

    Parameters
    ----------
    metrics : sequence of str, PictureMetric or callable, optional
        Names; a callable is ``metric(made, true) -> (n,)`` and is named after itself.
    kind : {"pictures", "films", "captions"}
    network : name, mapping or callable, opened already where pictures are described.
    labels : array of shape (n,), optional
    n : int
        Number of items.
    versions, options
        As in :func:`braindec.evaluate.picture_scores.score_pictures`.

    Raises
    ------
    BraindecError
        If a metric or a version is unknown, or one stands twice.
    """
    asked = DEFAULT[kind] if metrics is None else tuple(metrics)
    if not asked:
        raise BraindecError("a control report needs a metric", fix="metrics=['two_way', 'pixcorr']")
    looked = {"pictures": ("pictures",), "films": ("films", "pictures"), "captions": ("captions",)}[kind]
    made = []
    for entry in asked:
        if callable(entry) and not isinstance(entry, PictureMetric):
            made.append(_plain(entry))
            continue
        metric = find_metric(entry, kinds=looked)
        if metrics is None and "labels" in metric.needs and not _has_company(labels):
            continue
        version = versions.get(metric.name) if isinstance(versions, Mapping) else versions
        if isinstance(versions, str) and version not in metric.versions:
            version = None
        made.append(_registered(metric, version, network, labels, n, dict((options or {}).get(metric.name, {}))))
    names = [s.name for s in made]
    if len(set(names)) < len(names):
        raise BraindecError("a metric of the control report stands twice", found=", ".join(names))
    return made


def hidden_scorers(asked: Sequence[Scorer], *, network: Any, labels: np.ndarray | None) -> list[Scorer]:
    """Return what the checks look at beyond the metrics asked for: identification by small pixels, by features, within a class.

    The truth of a few items leaves the mean over all where it was; the share of items that are nearest of all to their own
    stimulus (``top1 by pixels``) tells of it.
    """
    have = {s.name for s in asked if s.pairs is not None}
    found = [Scorer("two_way by pixels", "strict", "", True, None, 0.5, lambda m, t, _: beaten(correlations(thumbnails(m), thumbnails(t)))),
             Scorer("top1 by pixels", "strict", "", True, None, float("nan"), lambda m, t, _: first(correlations(thumbnails(m), thumbnails(t))))]  # fmt: skip
    if "two_way" not in have:
        found.append(Scorer("two_way", "strict", "", True, None, 0.5, _identification(network, None, within=False)))
    if "within_category" not in have and _has_company(labels):
        found.append(
            Scorer("within_category", "strict", "", True, None, 0.5, _identification(network, None, within=True), True)
        )
    return found


def vectors_of(network: Any, items: np.ndarray) -> np.ndarray:
    """Return one vector an item, (n, units): what the network says of pictures, or of texts a function of texts."""
    if items.dtype.kind in "OUS":
        texts = [v[0] if isinstance(v, list) else v for v in items]  # of several references the first
        return np.asarray(network(texts), dtype=float).reshape(len(texts), -1)
    return features_of(network, items)


def _has_company(labels: np.ndarray | None) -> bool:
    """True where there are several categories, and one of them has several items: else "within" says nothing of its own."""
    if labels is None:
        return False
    counts = np.unique(labels, return_counts=True)[1]
    return len(counts) > 1 and int(counts.max()) > 1


def _plain(function: Callable[..., Any]) -> Scorer:
    def score(made: Any, true: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        values = np.asarray(function(made, true), dtype=float)
        if values.shape != (len(true),):
            raise BraindecError(
                f"the metric {name} must give one value an item",
                found=f"shape {values.shape}",
                allowed=f"({len(true)},)",
            )
        return values, ~np.isfinite(values)

    name = str(getattr(function, "__name__", type(function).__name__))
    return Scorer(name, "given", "", bool(getattr(function, "higher_is_better", True)), score)


def _registered(
    metric: PictureMetric, version: str | None, network: Any, labels: Any, n: int, options: dict[str, Any]
) -> Scorer:
    def score(made: Any, true: Any, own: Any) -> tuple[np.ndarray, np.ndarray]:
        return metric.answers(made, true, version=version, network=network, labels=own, **options)

    within = metric.name == "within_category"
    plain = (version or metric.default) == "strict" and set(options) <= {"layer"}
    pairs: Pairs | None = None
    if plain and metric.name in ("two_way", "within_category"):
        pairs = _identification(network, options.get("layer"), within=within)
    elif plain and metric.name == "pixcorr":
        pairs = _pixel_pairs
    return Scorer(
        metric.name, version or metric.default, metric.describe, metric.higher_is_better, score,
        metric.chance(n, labels, version=version, **options), pairs, within, pairs is not None and metric.name != "pixcorr",
    )  # fmt: skip


def _identification(network: Any, layer: str | None, *, within: bool) -> Pairs:
    def pairs(made: np.ndarray, true: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        known = isinstance(network, Remembered)
        a, b = (features_of(network, v, layer=layer) if known else vectors_of(network, v) for v in (made, true))
        return beaten(correlations(a, b), labels if within else None)

    return pairs


def _pixel_pairs(made: np.ndarray, true: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    if made[0].size > _FEW_VALUES:
        return correlations(thumbnails(made, size=64), thumbnails(true, size=64))
    if made.ndim == 5:
        return np.mean([correlations(made[:, f], true[:, f]) for f in range(made.shape[1])], axis=0)
    return correlations(made, true)
