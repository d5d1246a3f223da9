"""Word classes in a layer: generalised discrimination value (GDV) of its activations, with a permutation test.

Stimuli ``word_classes``: a words table (text_id, word_index, word, start, stop, attrs["texts"]) with a column class (or word_class). Options:
``permutations`` (199), ``context`` (preceding words, default all), ``exclude`` (classes left out), ``seed`` (the probe's).

Activations are z-scored over words, each unit, and halved; the value is the mean distance within classes (mean over classes) minus
the mean distance between them (mean over pairs of classes), over the root of the number of units: -1 where classes are points far
apart, 0 where they do not differ. It is the same under shifts and scales of units, and nearly so under their number.

The p-value permutes classes over *words of the language*, not over their occurrences: two occurrences of one word are alike in any
network, an untrained one too, and always of one class here (a word that occurs in several classes is taken as several). For it the
activations of a word are averaged over its occurrences: function words are few and frequent, and where frequent words count more than
rare ones, dealing classes anew changes how large the classes are. Untrained networks of the probe show what is left of position and
word identity.

Columns: ``word_class`` the value over all occurrences (lower: more separated), ``_words`` the same over mean activations of words, ``_p``
one-sided and ``_null`` mean of permutations, both of ``_words``, ``_n`` occurrences, ``_classes``, ``_untrained`` the value over
occurrences, mean of the untrained networks (NaN without them). Rows are layers and sites.

Source: Schilling et al. 2021 (Neural Networks 139:278), equations 1-4.

Differs from the reference in: the permutation test; classes of one occurrence are left out instead of counting as dense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import keys_of, option
from braindec.stats.permutation import permutation_p

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

DEFAULTS: dict[str, Any] = {"permutations": 199, "context": None, "exclude": (), "seed": None}

_PLACE = ["model", "layer", "site"]

__all__ = ["score", "distances_of", "gdv", "gdv_test"]


def distances_of(values: np.ndarray) -> np.ndarray:
    """Euclidean distances of halved z-scores over the root of the number of units, (n_items, n_items).

    Raises
    ------
    BraindecError
        If no unit varies or values are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise BraindecError("activations are a matrix of (word, unit) of finite numbers", found=f"shape {values.shape}")
    spread = values.std(axis=0)
    moving = spread > 1e-12 * np.abs(values).max(axis=0, initial=0.0)
    if not moving.any():
        raise BraindecError("no unit of the layer differs between words", found=f"shape {values.shape}")
    z = 0.5 * (values[:, moving] - values[:, moving].mean(axis=0)) / spread[moving]
    square = (z**2).sum(axis=1)
    # constant units are at distance 0 from themselves and count as units, as in the definition
    gap = np.maximum(square[:, None] + square - 2 * z @ z.T, 0.0)
    np.fill_diagonal(gap, 0.0)
    return np.sqrt(gap / values.shape[1])


def gdv(distances: np.ndarray, classes: np.ndarray) -> np.ndarray | float:
    """Generalised discrimination value of one or several labellings.

    Parameters
    ----------
    distances : array of shape (n, n)
        From :func:`distances_of`.
    classes : array of int, shape (..., n)
        Codes from 0; every class has 2 items or more.
    """
    classes = np.asarray(classes)
    labels = classes.reshape(-1, classes.shape[-1])
    n = int(labels.max()) + 1
    out = np.empty(len(labels))
    for i, own in enumerate(labels):
        member = np.eye(n)[own]  # (item, class)
        size = member.sum(axis=0)
        total = member.T @ (distances @ member)  # sums of distances between classes, each pair within one twice
        within = np.diag(total) / (size * (size - 1))
        between = total / np.outer(size, size)
        out[i] = within.mean() - (between.sum() - np.trace(between)) / (n * (n - 1))
    return float(out[0]) if classes.ndim == 1 else out.reshape(classes.shape[:-1])


def gdv_test(
    values: np.ndarray, classes: np.ndarray, *, words: np.ndarray | None = None, permutations: int = 199, rng: np.random.Generator | int = 0
) -> tuple[float, float, np.ndarray]:  # fmt: skip
    """Return the value, its p (small where classes are apart) and the null.

    Parameters
    ----------
    values : array of shape (n_items, n_units)
    classes : array of shape (n_items,)
    words : array of shape (n_items,), optional
        Items of one word and class are averaged first, so that a word counts once however often it occurs, and classes of a
        single word are left out; each item is tested by itself without it.
    permutations : int
    rng : Generator or int

    Raises
    ------
    BraindecError
        If there are fewer than 2 classes, or one of fewer than 2 items (words).
    """
    values, classes = np.asarray(values), np.asarray(classes).astype(str)
    if words is not None:
        values, classes = _word_means(values, classes, words)
    names, code = np.unique(classes, return_inverse=True)
    if len(names) < 2 or np.bincount(code).min() < 2:
        raise BraindecError("the value needs 2 classes or more, of at least 2 words each",
                            found=", ".join(f"{k}: {n}" for k, n in zip(names, np.bincount(code), strict=True)))  # fmt: skip
    distances, rng = distances_of(values), np.random.default_rng(rng)
    observed = gdv(distances, code)
    null = np.array([gdv(distances, rng.permutation(code)) for _ in range(permutations)])
    p = float(permutation_p(-observed, -null)) if permutations else float("nan")
    return float(observed), p, null


def _word_means(values: np.ndarray, classes: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean activations (word, unit) of each word and its class, without classes of one word."""
    _, first, place = np.unique(_types(words, classes), return_index=True, return_inverse=True)
    member = np.eye(len(first))[place]  # (item, word)
    of_word = classes[first]
    kept = np.isin(of_word, [k for k, n in zip(*np.unique(of_word, return_counts=True), strict=True) if n > 1])
    if len(set(of_word[kept])) < 2:
        raise BraindecError("there are too few different words to permute their classes",
                            found=f"{len(first)} words, {len(set(of_word))} classes", allowed="2 classes of 2 words or more")  # fmt: skip
    return ((member.T @ values) / member.sum(axis=0)[:, None])[kept], of_word[kept]


def _types(words: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.array([f"{str(w).lower()}\t{c}" for w, c in zip(words, classes, strict=True)])


def _by_layer(lm: LanguageModel, table: pd.DataFrame, probe: Probe, context: int | None) -> dict[tuple, np.ndarray]:
    """Activations (word, unit) of each layer and site."""
    features = extract(lm, table, sites=tuple(probe.sites), layers=probe.layers, pool="word", context=context,
                       batch_size=probe.batch_size)  # fmt: skip
    values, keys = features.load(), keys_of(features)
    return {(*part.iloc[0][_PLACE],): values[:, part.index] for _, part in keys.groupby(_PLACE, sort=True)}


def _score(probe: Probe) -> pd.DataFrame:
    given = option(probe, "word_class", DEFAULTS)
    table = probe.need("word_classes")
    if isinstance(table, pd.DataFrame) and "class" not in table and "word_class" in table:
        attrs, table = table.attrs, table.rename(columns={"word_class": "class"})
        table.attrs.update(attrs)
    if not isinstance(table, pd.DataFrame) or "class" not in table:
        raise BraindecError(
            "word classes are a words table with a column class",
            found=", ".join(map(str, getattr(table, "columns", []))),
        )
    if "word" not in table or table["class"].isna().any():
        raise BraindecError(
            "word classes are a words table with a class in every row",
            found="no column word" if "word" not in table else f"{int(table['class'].isna().sum())} rows without a class",
            fix="make it with words_table(texts), and call what has no class 'other' (exclude=['other'])",
        )  # fmt: skip
    counts = table["class"].value_counts()
    kept = counts[(counts >= 2) & ~counts.index.isin(list(given["exclude"]))].index
    attrs, rows = table.attrs, table["class"].isin(kept)
    table = table[rows].reset_index(drop=True)
    table.attrs.update(attrs)
    classes, words = table["class"].to_numpy(), table["word"].to_numpy()
    seed = probe.seed if given["seed"] is None else given["seed"]
    fresh = [_by_layer(lm, table, probe, given["context"]) for lm in probe.untrained]
    code = np.unique(classes.astype(str), return_inverse=True)[1]
    out = []
    for (model, layer, site), values in _by_layer(probe.model, table, probe, given["context"]).items():
        value = gdv(distances_of(values), code)
        by_word, p, null = gdv_test(values, classes, words=words, permutations=given["permutations"], rng=seed)
        same = [v for f in fresh for (_, la, si), v in f.items() if (la, si) == (layer, site)]
        untrained = float(np.mean([gdv(distances_of(v), code) for v in same])) if same else np.nan
        out.append(
            (
                model,
                layer,
                site,
                value,
                by_word,
                p,
                null.mean() if len(null) else np.nan,
                len(table),
                len(kept),
                untrained,
            )
        )
    columns = [
        "model",
        "layer",
        "site",
        "word_class",
        *(f"word_class_{k}" for k in ("words", "p", "null", "n", "classes", "untrained")),
    ]
    return pd.DataFrame(out, columns=columns)


score = UnitScore(
    "word_class", "1", "layer", ("word_classes",), _score,
    "separation of word classes (generalised discrimination value; -1 is perfect, 0 none)", "Schilling et al. 2021",
)  # fmt: skip
