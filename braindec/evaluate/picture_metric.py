"""PictureMetric: a versioned score of generated pictures, captions or films; each file of three folders holds one.

``evaluate/pictures``, ``evaluate/films`` and ``evaluate/captions`` each hold one metric a file. A metric gives one value an
item, always, because statistics are paired over items. It says what a decoder without information scores where that follows
from counting (:meth:`PictureMetric.chance`), what its own predictions score when they are exchanged between items
(:meth:`PictureMetric.exchanged`), and what a predictor scores that never sees a brain (:meth:`PictureMetric.blind`).

A version is a definition: ``strict`` is the one of this package, the others are those of published tables
(``mindeye-2023``, ``braindiffuser-2023``, ``mindvis-2023``), kept so that numbers can stand beside theirs. Where a definition
has no answer for an item (the correlation of a constant picture), a number stated by the metric stands in and a warning
counts the items: never a silent NaN.

Source: the versions follow research on how published systems were scored; each metric's file names its paper.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindec import registry
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._made_and_true import checked_pair, mean_training_item, of_frames

__all__ = ["PictureMetric", "find_metric"]

FOLDERS = {"pictures": "evaluate.pictures", "films": "evaluate.films", "captions": "evaluate.captions"}
MAX_SHIFTS = 20


@dataclass(frozen=True, eq=False)
class PictureMetric:
    """A versioned score of what was made against what was shown.

    Parameters
    ----------
    name : str
    versions : mapping of str to callable
        ``function(made, true, *, network=, labels=, **options) -> (n,)``; NaN where an item has no answer. ``network`` and
        ``labels`` are passed only when ``needs`` names them.
    describe : str
        One sentence for the report.
    kind : {"pictures", "films", "captions"}
    about : mapping of str to str
        A sentence on each version.
    default : str
        The version that is used unless another is named.
    higher_is_better : bool
    needs : tuple of str
        "network" (anything :func:`braindec.evaluate.picture_network.open_network` takes) and "labels" (one class an item).
    chance_level : callable, optional
        ``chance_level(n, labels, **options) -> float``; None where no level follows from counting.
    undefined : float
        What stands in for an item without an answer.
    undefined_says : str
        When an item has none.
    by_frame : bool
        Films are scored frame by frame and averaged; otherwise the function gets films whole.
    bounds : (float, float)
    blind_made : callable, optional
        ``blind_made(true, train, **options) -> made``: the predictions of a brain-independent predictor; the mean training
        picture (film; the most central training caption) by default. ``blind_says`` names it.
    blind_score : callable, optional
        ``blind_score(true, train, **options) -> (n,)``, for metrics whose blind predictor makes no picture.
    """

    name: str
    versions: Mapping[str, Callable[..., np.ndarray]]
    describe: str
    kind: str = "pictures"
    about: Mapping[str, str] = field(default_factory=dict)
    default: str = "strict"
    higher_is_better: bool = True
    needs: tuple[str, ...] = ()
    chance_level: Callable[..., float] | None = None
    undefined: float = 0.0
    undefined_says: str = "no answer"
    by_frame: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    blind_made: Callable[..., Any] | None = None
    blind_score: Callable[..., np.ndarray] | None = None
    blind_says: str = "the mean training picture, the same for every item"

    def per_item(
        self,
        made: Any,
        true: Any,
        *,
        version: str | None = None,
        network: Any = None,
        labels: Any = None,
        **options: Any,
    ) -> np.ndarray:
        """Return one value an item, shape (n,), all finite.

        Parameters
        ----------
        made, true : arrays of shape (n, [n_frames,] height, width, channel)
            float32 of 0 to 1; for captions, lists of n texts (of n lists of texts where there are several references).
        version : str, optional
        network, labels
            See ``needs``; ignored by metrics that need none.
        **options
            Of the version's function.

        Raises
        ------
        BraindecError
            If shapes differ, values are not finite or leave 0 to 1, the version or an option is unknown, or something that
            is needed is missing.

        Warns
        -----
        UserWarning
            If items had no answer and were given ``undefined``.
        """
        values, lost = self.answers(made, true, version=version, network=network, labels=labels, **options)
        if lost.any():
            warnings.warn(self.told(lost), UserWarning, stacklevel=2)
        return values

    __call__ = per_item

    def answers(
        self,
        made: Any,
        true: Any,
        *,
        version: str | None = None,
        network: Any = None,
        labels: Any = None,
        **options: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return :meth:`per_item` and the mask of items that had no answer of their own; warns of nothing."""
        made, true = checked_pair(made, true, kind=self.kind, metric=self.name)
        function, given = self._function(version), self._given(len(true), network, labels, options, version)
        if self.by_frame and np.ndim(made) == 5:
            values = of_frames(function, made, true, **given)
        else:
            values = function(made, true, **given)
        values = np.asarray(values, dtype=float)
        lost = np.isnan(values)
        return np.where(lost, self.undefined, values), lost

    def score(self, made: Any, true: Any, **options: Any) -> float:
        """Return the mean of :meth:`per_item`."""
        return float(self.per_item(made, true, **options).mean())

    def chance(self, n: int, labels: Any = None, *, version: str | None = None, **options: Any) -> float:
        """Return what predictions without information score, where that follows from counting; NaN where none does.

        NaN is an answer here: what unrelated pictures share (a correlation of .3 is common) depends on the pictures. Use
        :meth:`exchanged` for the level of given predictions and :meth:`blind` for that of a predictor without a brain.
        """
        self._function(version)
        if self.chance_level is None:
            return float("nan")
        return float(self.chance_level(n, labels, **self._of_version(version, options)))

    def exchanged(self, made: Any, true: Any, **options: Any) -> float:
        """Return the mean score of predictions given to other items: the level of knowing everything but which is whose.

        All cyclic shifts of the predictions, or 20 of them spread evenly; nothing is random.

        Raises
        ------
        BraindecError
            If there is one item only.
        """
        n = len(true)
        if n < 2:
            raise BraindecError(f"{self.name}: predictions are exchanged between items", found=f"{n} item")
        shifts = np.unique(np.linspace(1, n - 1, min(n - 1, MAX_SHIFTS)).round().astype(int))
        order = np.arange(n)
        made = made if isinstance(made, np.ndarray) else np.array(made, dtype=object)
        return float(np.mean([self.answers(made[np.roll(order, s)], true, **options)[0].mean() for s in shifts]))

    def blind(
        self,
        true: Any,
        train: Any,
        *,
        version: str | None = None,
        network: Any = None,
        labels: Any = None,
        **options: Any,
    ) -> float:
        """Return the mean score of a predictor that never sees a brain; ``blind_says`` says which.

        Parameters
        ----------
        true : array or list of captions
            The test items.
        train : array or list of captions
            The training items, of the same size; the predictor is made of them alone.
        version, network, labels, **options
            As in :meth:`per_item`.
        """
        if train is None or not len(train):
            raise BraindecError(
                f"{self.name}: the blind predictor is made of training items", found="none", fix="give train=..."
            )
        if self.blind_score is not None:
            given = self._given(len(true), network, labels, options, version)
            return float(np.mean(self.blind_score(true, train, **self._of_version(version, given))))
        if self.blind_made is not None:
            made = self.blind_made(true, train)
        else:
            made = mean_training_item(true, train, kind=self.kind, metric=self.name)
        return float(self.answers(made, true, version=version, network=network, labels=labels, **options)[0].mean())

    def told(self, lost: np.ndarray) -> str:
        """Return the sentence on items that had no answer."""
        return f"{self.name}: {int(lost.sum())} of {len(lost)} items had no answer ({self.undefined_says}) and count as {self.undefined:g}"

    def _function(self, version: str | None) -> Callable[..., np.ndarray]:
        name = self.default if version is None else version
        if name not in self.versions:
            raise BraindecError(
                f"{self.name} has no version {name!r}{did_you_mean(str(name), self.versions)}",
                allowed=", ".join(self.versions),
            )
        return self.versions[name]

    def _of_version(self, version: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the version's own settings (of a partial) with ``options`` over them."""
        return {**getattr(self._function(version), "keywords", {}), **options}

    def _given(
        self, n: int, network: Any, labels: Any, options: Mapping[str, Any], version: str | None
    ) -> dict[str, Any]:
        allowed = [
            p.name
            for p in inspect.signature(self._function(version)).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name not in ("network", "labels")
        ]
        unknown = [name for name in options if name not in allowed]
        if unknown:
            raise BraindecError(
                f"{self.name} has no option {unknown[0]!r}{did_you_mean(unknown[0], allowed)}",
                allowed=", ".join(allowed) or "none",
            )
        given = dict(options)
        if "network" in self.needs:
            given["network"] = self._network(network)
        if "labels" in self.needs:
            given["labels"] = self._labels(labels, n)
        return given

    def _network(self, network: Any) -> Callable[..., np.ndarray]:
        if self.kind == "captions":
            from braindec.evaluate.sentence_vectors import open_sentences

            return open_sentences(network)
        from braindec.evaluate.picture_network import open_network

        return open_network(network, metric=self.name)

    def _labels(self, labels: Any, n: int) -> np.ndarray:
        if labels is None:
            raise BraindecError(
                f"{self.name} needs the class of each item", fix="give labels=..., for instance the items' concept_id"
            )
        labels = np.asarray(labels)
        if labels.shape != (n,):
            raise BraindecError(
                f"{self.name} needs one label an item", found=f"shape {labels.shape}", allowed=f"({n},)"
            )
        if any(v is None or v != v for v in labels.tolist()):
            raise BraindecError(f"{self.name}: labels are missing (NaN or None)")
        return labels.astype(str)


def find_metric(name: str | PictureMetric, *, kinds: Sequence[str] = tuple(FOLDERS)) -> PictureMetric:
    """Return a metric by name, looked for in the folders of ``kinds`` in turn.

    Raises
    ------
    BraindecError
        If there is no such metric; the message has the nearest name.
    """
    if isinstance(name, PictureMetric):
        return name
    known = {n: FOLDERS[kind] for kind in reversed(kinds) for n in registry.names(FOLDERS[kind])}
    if name not in known:
        raise BraindecError(
            f"there is no metric {name!r}{did_you_mean(str(name), known)}", allowed=", ".join(sorted(known))
        )
    return registry.get(known[name], name)
