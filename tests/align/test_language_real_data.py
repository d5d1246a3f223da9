"""Real data about words: object embeddings against one another and against judged similarity, N400 epochs against association strength."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import braindec
from braindec.align.rsa.compare import compare
from braindec.align.rsa.rdm import RDMs, compute_rdm
from braindec.loaders.language_stimuli import read_word_pairs
from braindec.stats.permutation import permutation_p


@pytest.fixture(scope="module")
def embeddings(shared):
    """Embeddings of the THINGS concepts; rows are those of unique_id.txt (words.csv has another order)."""
    folder = shared("things_embeddings")
    names = (folder / "unique_id.txt").read_text(encoding="utf8").split()
    found = {
        "spose49": np.loadtxt(folder / "spose_embedding_49d_sorted.txt"), "spose66": np.loadtxt(folder / "spose_embedding_66d_sorted.txt"),
        "vice": np.load(folder / "final_embedding.npy"),
    }  # fmt: skip
    assert all(len(values) == len(names) == 1854 for values in found.values())
    return names, found


def test_embeddings_agree_with_one_another(embeddings):
    names, found = embeddings
    rows = np.random.default_rng(0).choice(1854, 300, replace=False)
    conditions = [names[k] for k in rows]
    rdms = {
        name: compute_rdm(values[rows], measure="correlation", conditions=conditions) for name, values in found.items()
    }
    same = {
        other: float(compare(rdms["spose49"], rdms[other], comparator="spearman")[0, 0])
        for other in ("spose66", "vice")
    }
    assert abs(same["spose66"] - 0.938) < 0.02 and abs(same["vice"] - 0.950) < 0.02
    mixed = compute_rdm(
        found["vice"][np.random.default_rng(1).permutation(rows)], measure="correlation", conditions=conditions
    )
    assert abs(float(compare(rdms["spose49"], mixed, comparator="spearman")[0, 0])) < 0.05


def test_embeddings_agree_with_judged_similarity(shared, embeddings):
    names, found = embeddings
    place = {name: k for k, name in enumerate(names)}
    pairs = read_word_pairs(shared("word_similarity"))
    pairs = pairs[
        pairs["word1"].str.lower().isin(place)
        & pairs["word2"].str.lower().isin(place)
        & (pairs["word1"] != pairs["word2"])
    ]
    rho = {}
    for name, values in found.items():
        z = values - values.mean(axis=1, keepdims=True)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        first, second = ([place[w.lower()] for w in pairs[c]] for c in ("word1", "word2"))
        similar = pd.Series((z[first] * z[second]).sum(axis=1), index=pairs.index)
        rho[name] = {
            s: spearmanr(similar[part.index], part["rating"]).statistic
            for s, part in pairs.groupby("set")
            if len(part) > 90
        }
    assert set(rho["vice"]) == {"EN-MEN-TR-3k", "EN-SIMLEX-999"}
    for name in found:
        assert 0.6 < rho[name]["EN-MEN-TR-3k"] < 0.8, "relatedness"
        assert 0.25 < rho[name]["EN-SIMLEX-999"] < 0.5, "similarity proper is harder"
    # rows in another order say nothing: the agreement is that of words
    order = np.random.default_rng(0).permutation(1854)
    values = found["spose49"][order]
    chance = [
        np.corrcoef(values[place[a.lower()]], values[place[b.lower()]])[0, 1]
        for a, b in zip(pairs["word1"], pairs["word2"], strict=True)
    ]
    assert abs(spearmanr(chance, pairs["rating"]).statistic) < 0.15


@pytest.fixture(scope="module")
def n400(shared):
    """Single trials (n, 32 channels x 6 bins of 0.1 s), association strength, and whether the words are related."""
    windows = braindec.load(shared("n400-words") / "subject04-epo.fif")
    late = (windows.times >= 0.1) & (windows.times < 0.8)
    x = windows.load()[:, :, late]
    x = (
        x[:, :, : x.shape[2] // 5 * 5]
        .reshape(len(windows), windows.n_channels, -1, 5)
        .mean(axis=3)
        .reshape(len(windows), -1)
    )
    return (
        x.astype(float),
        windows.trials["FAS"].astype(float).to_numpy(),
        (windows.trials["trial_type"] == "related").to_numpy(),
    )


def held_out(x, y, *, n_folds=10, penalty=1e3):
    """Correlation of ridge predictions with y over contiguous folds, as a function of y (the fits are the same for each)."""
    n = len(x)
    weights = np.zeros((n, n))
    for test in np.array_split(np.arange(n), n_folds):
        train = np.setdiff1d(np.arange(n), test)
        mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
        a, b = (x[train] - mean) / spread, (x[test] - mean) / spread
        smooth = b @ a.T @ np.linalg.inv(a @ a.T + penalty * np.eye(len(train)))
        weights[np.ix_(test, train)] = smooth - smooth.mean(axis=1, keepdims=True) + 1 / len(train)
    return lambda values: float(np.corrcoef(weights @ values, values)[0, 1])


def test_association_strength_is_in_single_trials(n400):
    x, strength, related = n400
    assert len(x) == 200 and related.sum() == 100 and strength[related].min() > 0.25 > 0.01 > strength[~related].max()
    rng = np.random.default_rng(0)
    score = held_out(x, strength)
    null = np.array([score(rng.permutation(strength)) for _ in range(400)])
    assert score(strength) > 0.25 and permutation_p(score(strength), null) < 0.01
    # what is found is the difference of the two kinds: among related pairs, strength (0.25 to 0.34) cannot be predicted
    score = held_out(x[related], strength[related])
    null = np.array([score(rng.permutation(strength[related])) for _ in range(400)])
    assert permutation_p(score(strength[related]), null) > 0.05


def test_patterns_of_pairs_are_as_different_as_their_strengths(n400):
    x, strength, _ = n400
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    names = [f"pair-{k:03d}" for k in range(len(x))]
    brain = compute_rdm(scaled, measure="correlation", conditions=names)
    first, second = np.triu_indices(len(x), 1)

    def model(values):
        return np.abs(values[first] - values[second])

    rng = np.random.default_rng(0)
    shuffled = np.stack([model(rng.permutation(strength)) for _ in range(200)])
    models = RDMs(np.concatenate([model(strength)[None], shuffled]), names)
    found = compare(models, brain, comparator="pearson")[:, 0]
    p = permutation_p(found[0], found[1:])
    assert 0.0 < found[0] < 0.1 and p < 0.05, f"small but there: r = {found[0]:.3f}, p = {p:.3f}"
