"""What a picture shows, read by a classifier that learned it from labelled pictures: was the shape, colour or place decoded?

A reader is trained on pictures whose table says what they show (further drawings, never the test pictures), then reads
pictures that were made and pictures that were shown alike. One number an item, so it can stand among the metrics of a control
report: 1 where both are read as the same class, or minus the distance of what is read for columns of numbers.

The object is found as what differs from the border of the picture; its silhouette is moved to the middle before its form is
read, so that place and form do not help one another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import shift

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Pictures

__all__ = ["AttributeReader"]


class AttributeReader:
    """Read columns of the table of pictures from the pictures.

    Parameters
    ----------
    pictures : Pictures
        Still pictures to learn from; they must be none of the pictures that are judged.
    columns : sequence of str
        Columns of ``pictures.items``; texts are classes (support vector machine), numbers are regressed (kernel ridge).
    seed : int
        Of the pictures that are held out to measure how good the reader is.

    Attributes
    ----------
    accuracy : dict of str to float
        On held-out pictures: share read rightly, or correlation for numbers. A metric can not be better than its reader.
    """

    def __init__(self, pictures: Pictures, columns: Sequence[str], *, seed: int = 0) -> None:
        from sklearn.kernel_ridge import KernelRidge
        from sklearn.svm import SVC

        if pictures.is_film:
            raise BraindecError("attributes are read from still pictures", found="films")
        unknown = [c for c in columns if c not in pictures.items]
        if unknown:
            raise BraindecError(
                f"the pictures have no column {unknown[0]!r}{did_you_mean(unknown[0], pictures.items.columns)}",
                allowed=", ".join(map(str, pictures.items.columns)),
            )
        seen = describe(pictures.load())
        held = np.random.default_rng(seed).permutation(len(seen)) < max(1, len(seen) // 10)
        self.models, self.accuracy, self.spread = {}, {}, {}
        for name in columns:
            values = pictures.items[name].to_numpy()
            numbers = values.dtype.kind in "fiu"
            gamma = 1 / (seen.shape[1] * seen.var())
            made = KernelRidge(alpha=0.1, kernel="rbf", gamma=gamma) if numbers else SVC(C=10.0, gamma="scale")
            target = values.astype(float) if numbers else values.astype(str)
            model = made.fit(seen[~held], target[~held])
            read = model.predict(seen[held])
            self.accuracy[name] = float(np.corrcoef(read, target[held])[0, 1] if numbers else (read == target[held]).mean())  # fmt: skip
            self.models[name], self.spread[name] = model, float(target.std()) if numbers else None

    def read(self, values: np.ndarray, column: str) -> np.ndarray:
        """Return what pictures (n, height, width, channel) of 0 to 1 show, (n,)."""
        return self.models[column].predict(describe(values))

    def metric(self, *columns: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Return ``metric(made, true) -> (n,)``: same class 1, other 0; of numbers minus the distance in standard deviations.

        Several columns of numbers (x and y) make one distance.
        """
        numbers = [self.spread[c] is not None for c in columns]
        if any(numbers) != all(numbers) or (not numbers[0] and len(columns) > 1):
            raise BraindecError("one column of classes, or columns of numbers", found=", ".join(columns))

        def score(made: np.ndarray, true: np.ndarray) -> np.ndarray:
            a, b = describe(made), describe(true)
            if not numbers[0]:
                model = self.models[columns[0]]
                return (model.predict(a) == model.predict(b)).astype(float)
            steps = [(self.models[c].predict(a) - self.models[c].predict(b)) / self.spread[c] for c in columns]
            return -np.sqrt(np.sum(np.square(steps), axis=0))

        score.__name__ = "_and_".join(columns)
        return score


def describe(values: np.ndarray) -> np.ndarray:
    """Return what classifiers see: the silhouette moved to the middle, the silhouette where it is, object's and border's colour."""
    values = np.asarray(values, dtype=np.float64)
    n, height, width, _ = values.shape
    border = np.concatenate([values[:, 0], values[:, -1], values[:, 1:-1, 0], values[:, 1:-1, -1]], axis=1)
    ground = np.median(border, axis=1)  # (n, channel)
    apart = np.sqrt(np.square(values - ground[:, None, None]).sum(axis=-1))  # (n, height, width)
    apart = apart / np.maximum(np.quantile(apart.reshape(n, -1), 0.98, axis=1), 1e-6)[:, None, None]
    shape = np.clip((np.clip(apart, 0, 1) - 0.25) / 0.75, 0, 1)
    weight = shape**2
    total = np.maximum(weight.sum(axis=(1, 2)), 1e-9)
    y = (weight * np.arange(height)[:, None]).sum(axis=(1, 2)) / total
    x = (weight * np.arange(width)).sum(axis=(1, 2)) / total
    middle = ((height - 1) / 2, (width - 1) / 2)
    moved = np.stack([shift(s, (middle[0] - b, middle[1] - a), order=1) for s, a, b in zip(shape, x, y, strict=True)])
    colour = (values * weight[..., None]).sum(axis=(1, 2)) / total[:, None]
    return np.concatenate([
        moved.reshape(n, -1), 0.3 * shape.reshape(n, -1), 3 * colour, 3 * ground,
        3 * np.stack([x / width, y / height], axis=1),
    ], axis=1)  # fmt: skip
