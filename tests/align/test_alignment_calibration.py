"""P-values of an alignment hold their level when nothing is there, and layers chosen on training folds score at chance.

With 300 simulations a test that holds 5 % lies between 2 and 8.5 % in 99 of 100 runs; one that does not (an exchange of
single items that share passages: 15 % and more) is far outside.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d

from braindec.align._alignment_data import BrainItems
from braindec.align._alignment_encoding import encode, encode_unique, fold_rows
from braindec.align._alignment_geometry import ItemGeometry
from braindec.align._alignment_null import make_surrogates
from braindec.align._alignment_splits import hold_out
from braindec.align.layer_choice import choose_layers
from braindec.stats.permutation import permutation_p

pytestmark = pytest.mark.slow
GROUPS, PER, N = 20, 4, 80
CODES = np.repeat(np.arange(GROUPS), PER)
TABLE = pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(N)], "passage": CODES.astype(str)})
ONE = np.ones((1, 6), dtype=bool)
ALPHAS = 10.0 ** np.linspace(-2, 3, 6)


def grouped(rng, p, shared=0.5):
    """Items of a passage are alike, (80, p)."""
    return np.sqrt(1 - shared) * rng.normal(size=(N, p)) + np.sqrt(shared) * rng.normal(size=(GROUPS, p))[CODES]


def level(p):
    return float(np.mean(np.array(p) <= 0.05 + 1e-9))


def test_grouped_items_and_the_choice_of_a_layer():
    held = hold_out(TABLE)
    folds = fold_rows(held)
    nested, anywhere, largest, value, apart = [], [], [], [], []
    for rep in range(300):
        rng = np.random.default_rng([1, rep])
        Y = grouped(rng, 6).astype(np.float32)
        made = make_surrogates(N, 19, groups=held.groups, runs=None, kind="items", seed=rep)
        whole = [encode(grouped(rng, 6), Y, folds, ONE, made, alphas=ALPHAS) for _ in range(3)]
        found = choose_layers(np.stack([w.train for w in whole]), np.stack([w.test for w in whole]), list("abc"))
        nested.append(found.p[0])
        anywhere.append(found.p_any[0])
        value.append(found.value[0])
        largest.append(found.largest[0])
        alone = make_surrogates(N, 19, groups=np.arange(N), runs=None, kind="items", seed=rep)
        apart.append(
            permutation_p(
                *_split(
                    encode(
                        grouped(rng, 6, 0.9), grouped(rng, 6, 0.9).astype(np.float32), folds, ONE, alone, alphas=ALPHAS
                    )
                )
            )
        )
    assert 0.02 <= level(nested) <= 0.085 and 0.02 <= level(anywhere) <= 0.085
    assert abs(np.mean(value)) < 0.015 and np.mean(largest) > 0.04
    assert level(apart) > 0.085  # single items exchanged: this is what whole passages are for


def _split(found):
    mean = found.test.mean(axis=0)[:, 0]
    return mean[0], mean[1:]


def test_autocorrelated_series():
    n, runs = 240, np.repeat(list("abcd"), 60)
    rows = pd.DataFrame({"stimulus_id": np.arange(n).astype(str), "run": runs, "content": runs})
    held = hold_out(rows, runs=runs, kind="time", n_folds=4)
    folds, p = fold_rows(held), []
    for rep in range(200):
        rng = np.random.default_rng([2, rep])
        X, Y = (
            np.concatenate([gaussian_filter1d(rng.normal(size=(100, k)), 3, axis=0)[20:80] for _ in range(4)])
            for k in (6, 6)
        )
        made = make_surrogates(n, 19, groups=held.groups, runs=runs, kind="time", seed=rep)
        p.append(permutation_p(*_split(encode(X, Y.astype(np.float32), folds, ONE, made, alphas=ALPHAS))))
    assert 0.015 <= level(p) <= 0.095


def test_what_units_add_to_nuisance_that_drives_both():
    held = hold_out(TABLE)
    folds, p, gain = fold_rows(held), [], []
    for rep in range(200):
        rng = np.random.default_rng([3, rep])
        length = grouped(rng, 1)
        X = 0.6 * grouped(rng, 5) + 0.8 * length * rng.normal(size=(1, 5))
        Y = (0.7 * grouped(rng, 6) + 0.7 * length * rng.normal(size=(1, 6))).astype(np.float32)
        made = make_surrogates(N, 19, groups=held.groups, runs=None, kind="items", seed=rep)
        gained, _ = encode_unique(X, length, Y, folds, ONE, made, alphas=ALPHAS, gammas=(0.0, 0.3, 0.7))
        mean = gained.mean(axis=0)[:, 0]
        p.append(permutation_p(mean[0], mean[1:]))
        gain.append(mean[0])
    assert 0.015 <= level(p) <= 0.095
    assert np.mean(gain) < 0.02


@pytest.mark.parametrize("score", ["rsa", "cka"])
def test_rsa_and_cka_of_items_in_passages(score):
    held = hold_out(TABLE)
    folds = fold_rows(held)
    nested, partial, value = [], [], []
    for rep in range(150):
        rng = np.random.default_rng([4, rep])
        data = BrainItems(
            grouped(rng, 6).astype(np.float32), TABLE, {"all": ONE[0]}, pd.DataFrame({"place": range(6)}), 6
        )
        job = SimpleNamespace(
            data=data,
            held=held,
            folds=folds,
            n_surrogates=19,
            seed=rep,
            comparator="pearson",
            bands={"length": grouped(rng, 1)},
        )
        engine = ItemGeometry(job).engine(score)
        layers = [grouped(rng, 6), grouped(rng, 6)]
        whole = engine.layers(layers, surrogates=True)
        found = choose_layers(
            np.stack([w.train for w in whole]), np.stack([w.test for w in whole]), ["a", "b"], full=engine.full(whole)
        )
        unique = engine.unique(layers, found)
        nested.append(found.p[0])
        partial.append(permutation_p(unique["value"][0], unique["null"][:, 0]))
        value.append(found.largest[0])
    assert 0.01 <= level(nested) <= 0.105 and 0.01 <= level(partial) <= 0.105
    assert abs(np.mean(value)) < 0.04  # items of a passage do not count as pairs
