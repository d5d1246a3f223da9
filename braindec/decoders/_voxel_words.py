"""How far captions of voxels can be believed: do held-out stimuli that are like the caption drive the voxel more?

Voxels are chosen, and captioned, on training stimuli. On test stimuli the words of a voxel's caption are compared with the
words of each stimulus (tf-idf, cosine), and that is correlated with the voxel's response. Stimuli are exchanged, for all
voxels together, for the p-value: voxels that share noise count as one experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._reading import column
from braindec.errors import BraindecError
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p
from braindec.types import Windows

__all__ = ["caption_validity", "named_rows", "over_shuffles", "predictable", "said_more", "text_similarity"]

FEWEST = 8  # test stimuli, or voxels, that say something
FEWEST_SHUFFLES = 5


def predictable(r: np.ndarray, shuffled: np.ndarray, *, q: float = 0.05) -> np.ndarray:
    """Return the voxels whose held-out r is above what shuffled pairs give: one-sided, corrected over voxels.

    Folds share training rows, so their r are not independent of one another: the mean of noise voxels varies far more than
    Fisher's z has it. Each voxel is compared with its own r under shuffles, as one more draw of a normal distribution (Student's t).

    Parameters
    ----------
    r : array of shape (n_voxels,)
        Over held-out folds of the training stimuli.
    shuffled : array of shape (n_shuffles, n_voxels)
        The same with stimuli shuffled, fitted anew each time.

    Raises
    ------
    BraindecError
        If there are fewer than 5 shuffles.
    """
    from scipy.stats import t

    r, shuffled = np.asarray(r, dtype=float), np.asarray(shuffled, dtype=float)
    n = len(shuffled)
    if n < FEWEST_SHUFFLES:
        raise BraindecError(
            "shuffles say which voxels are predicted", found=f"{n}", allowed=f"at least {FEWEST_SHUFFLES}"
        )
    spread = shuffled.std(axis=0, ddof=1) * np.sqrt(1 + 1 / n)
    z = np.divide(r - shuffled.mean(axis=0), spread, out=np.zeros(len(r)), where=spread > 0)
    return np.flatnonzero(fdr_bh(t.sf(z, n - 1)) <= q)


def text_similarity(texts: Sequence[str], others: Sequence[str], *, bank: Sequence[str]) -> np.ndarray:
    """Return the cosine of each text with each other one, (n_texts, n_others); words are weighed by how rare the bank has them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True).fit(list(bank))  # noqa: S106 - a pattern of words
    return np.asarray((words.transform(list(texts)) @ words.transform(list(others)).T).todense())


def caption_validity(
    captions: Sequence[str], test: Windows, responses: np.ndarray, stimulus_texts: Mapping[str, str], *, bank: Sequence[str],
    groups: Mapping[str, np.ndarray], row: str, keys: Mapping[str, Any], n_permutations: int = 1000, n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Score captions of voxels on held-out stimuli.

    Parameters
    ----------
    captions : sequence of shape (n_voxels,)
    test : Windows
        Test trials; those of one stimulus are averaged.
    responses : array of shape (n_trials, n_voxels)
        Of these trials.
    stimulus_texts : mapping of stimulus_id to caption
    bank : sequence of str
        Texts that say how rare words are.
    groups : mapping of region to array of int
        Voxels (numbers among ``captions``) that are averaged; each is a row.

    Returns
    -------
    DataFrame
        Metric ``caption_r``: mean over voxels of the correlation, over stimuli, of response and likeness to the caption.

    Raises
    ------
    BraindecError
        If there are too few test stimuli.
    """
    shown = column(test, "stimulus_id")
    stimuli, code = np.unique(shown, return_inverse=True)
    if len(stimuli) < FEWEST:
        raise BraindecError(
            "too few test stimuli to try captions on", found=f"{len(stimuli)}", allowed=f"at least {FEWEST}"
        )
    counts = np.bincount(code)
    mean = np.zeros((len(stimuli), responses.shape[1]))
    np.add.at(mean, code, responses)
    likeness = text_similarity(captions, [stimulus_texts[s] for s in stimuli], bank=bank)  # (voxel, stimulus)
    a, b = _standard(mean / counts[:, None]), _standard(likeness.T)
    rng, n = np.random.default_rng(seed), len(stimuli)
    orders = [rng.permutation(n) for _ in range(n_permutations)]
    rows = []
    for region, voxels in groups.items():
        if not len(voxels):
            continue
        own, words = a[:, voxels], b[:, voxels]
        by_stimulus = (own * words).mean(axis=1)  # their mean over stimuli is the mean r over voxels
        value, gram = float(by_stimulus.mean()), own @ words.T / (n * len(voxels))
        null = np.array([gram[np.arange(n), order].sum() for order in orders])
        low, high = bootstrap_interval(by_stimulus, n=n_bootstrap, rng=rng)[:2]
        rows.append({**keys, "metric": "caption_r", "version": "1", "region": region, "row": row, "value": value, "chance": 0.0, "low": low,
                     "high": high, "p": permutation_p(value, null) if len(null) else np.nan, "n": n,
                     "note": f"{len(voxels)} voxels; interval over {n} test stimuli; p by exchanging stimuli for all voxels together"})  # fmt: skip
    return pd.DataFrame(rows)


def named_rows(
    captions: Sequence[str], planted: Mapping[str, tuple[np.ndarray, Sequence[str], int]], *, row: str, keys: Mapping[str, Any],
    n_permutations: int = 1000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Return how often the caption of a voxel holds the word for what was planted in it.

    Parameters
    ----------
    captions : sequence of shape (n_voxels,)
    planted : mapping of region to (voxels, word of each of them, number of words that there could be)

    Returns
    -------
    DataFrame
        Metric ``planted_named``; p by exchanging planted words among the voxels of a region.
    """
    rng, rows = np.random.default_rng(seed), []
    for region, (voxels, words, n_words) in planted.items():
        if len(voxels) < FEWEST:
            continue
        said = [set(str(captions[v]).split()) for v in voxels]
        names, code = np.unique(np.asarray(words, dtype=str), return_inverse=True)
        hit = np.array([[name in own for name in names] for own in said], dtype=float)  # (voxel, word)
        values = hit[np.arange(len(code)), code]
        null = [hit[np.arange(len(code)), rng.permutation(code)].mean() for _ in range(n_permutations)]
        low, high = bootstrap_interval(values, n=1000, rng=rng)[:2]
        rows.append({**keys, "metric": "planted_named", "version": "1", "region": region, "row": row, "value": values.mean(),
                     "chance": 1 / n_words, "low": low, "high": high, "p": permutation_p(values.mean(), np.array(null)) if null else np.nan,
                     "n": len(code), "note": f"{len(code)} voxels with one clear preference; p by exchanging planted words among them"})  # fmt: skip
    return pd.DataFrame(rows)


def over_shuffles(tables: Sequence[pd.DataFrame], row: str) -> pd.DataFrame:
    """Join the same scores of several shuffles: their mean, and the range that holds 95 % of them."""
    stacked = pd.concat(tables, ignore_index=True)
    by = [c for c in stacked.columns if c not in ("row", "value", "low", "high", "p", "note")]
    rows = []
    for key, group in stacked.groupby(by, sort=False, dropna=False):
        low, high = np.quantile(group["value"], [0.025, 0.975])
        rows.append({**dict(zip(by, key, strict=True)), "row": row, "value": group["value"].mean(), "low": low, "high": high, "p": np.nan,
                     "note": f"mean and 95 % range of {len(group)} shuffles, each fitted anew"})  # fmt: skip
    return pd.DataFrame(rows)


def said_more(
    captions: Sequence[str], groups: Mapping[str, np.ndarray], bank: Sequence[str], *, n: int = 12
) -> tuple[list[str], np.ndarray]:
    """Return the words that regions say most differently from the bank, and by how much: (region, word), share less the bank's share."""
    texts = [set(str(t).lower().replace(",", " ").split()) for t in captions]
    words, base = np.unique(
        [w for t in bank for w in set(str(t).lower().replace(",", " ").split())], return_counts=True
    )
    share = base / len(bank)
    table = (
        np.array(
            [
                [np.mean([w in texts[v] for v in voxels]) if len(voxels) else 0.0 for w in words]
                for voxels in groups.values()
            ]
        )
        - share
    )
    kept = np.argsort(-np.abs(table).max(axis=0), kind="stable")[:n]
    kept = kept[np.argsort([int(np.argmax(table[:, k])) for k in kept], kind="stable")]  # words of one region together
    return [str(words[k]) for k in kept], table[:, kept]


def _standard(values: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and mean square 1; a constant column is 0."""
    values = values - values.mean(axis=0)
    spread = np.sqrt((values**2).mean(axis=0))
    return values / np.where(spread > 1e-12, spread, np.inf)
