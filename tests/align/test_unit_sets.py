"""Sets of units: planted ones are found, the choice never sees what it is scored on, random sets are the null."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from braindec.align.unit_sets import align_unit_sets, driving_scores, rows_of_units, top_by_brain
from braindec.errors import BraindecError
from braindec.types import Features


def data(*, seed=0, snr=1.0, n_groups=30, per=4, n_units=60, n_driving=6, n_channels=18):
    """Channels that follow one unit each of layer 1; everything else is noise. Returns features, brain, driving units."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "stimulus_id": [f"s{i}" for i in range(n_groups * per)],
            "passage": np.repeat(np.arange(n_groups), per).astype(str),
        }
    )
    X = rng.normal(size=(len(table), n_units))
    units = pd.DataFrame(
        {"layer": np.repeat([0, 1, 2], n_units // 3), "site": "mlp_act", "index": np.tile(np.arange(n_units // 3), 3)}
    )
    driving = np.sort(rng.choice(np.flatnonzero(units["layer"] == 1), n_driving, replace=False))
    Y = snr * X[:, driving[np.arange(n_channels) % n_driving]] * rng.choice([-1, 1], n_channels) + rng.normal(
        size=(len(table), n_channels)
    )
    return Features(X.astype(np.float32), table, units), Features(Y.astype(np.float32), table), driving


def test_driving_units_are_told_from_others_by_their_scores():
    features, brain, driving = data(snr=0.6)
    scores = driving_scores(features.load(), brain.load())
    inside = np.isin(np.arange(60), driving)
    auc = (scores[inside][:, None] > scores[~inside][None]).mean()
    assert auc > 0.95
    r = np.abs(np.corrcoef(features.load().T, brain.load().T)[:60, 60:]).max(axis=1)
    np.testing.assert_allclose(scores, r, atol=1e-5)


def test_units_are_chosen_on_one_half_and_scored_on_the_other():
    features, brain, driving = data()
    seen = []

    def spy(X, Y):
        seen.append(X)
        return top_by_brain(6)(X, Y)

    found = align_unit_sets(features, {"top": spy}, brain, n_surrogates=40, n_random_sets=20)
    assert sum(map(len, seen)) == 120
    halves = [{x.tobytes() for x in part} for part in seen]
    assert not halves[0] & halves[1]
    rows = found.table.set_index("row")
    assert rows.loc["decoded", "value"] > 0.5 and rows.loc["decoded", "p"] <= 0.05
    assert rows.loc["random_units", "p"] <= 1 / 21 + 1e-9 and rows.loc["random_units", "high"] < 0.4
    assert found.agreement["top"] > 0.8 and all(set(c) == set(driving) for c in found.chosen["top"])


def test_the_best_of_noise_is_at_chance_where_it_is_scored():
    values, p = [], []
    for seed in range(6):
        features, brain, _ = data(seed=seed, snr=0.0, n_groups=16, n_channels=6)
        found = align_unit_sets(features, {"top": top_by_brain(10)}, brain, n_surrogates=0, n_random_sets=5, n_folds=3)
        values.append(found.table.loc[found.table["row"] == "decoded", "value"].iloc[0])
        p.append(found.table.loc[found.table["row"] == "random_units", "p"].iloc[0])
        circular = driving_scores(features.load(), brain.load())
        assert np.sort(circular)[-10:].mean() > 0.25  # what the same items would have claimed
    assert abs(np.mean(values)) < 0.08
    assert np.mean(p) > 0.3


@pytest.mark.slow
def test_random_sets_are_a_null_for_an_uninformative_choice():
    p = []
    for seed in range(120):
        features, brain, _ = data(seed=seed, snr=0.5, n_groups=10, n_channels=6, n_units=60)
        mask = np.zeros(60, dtype=bool)
        mask[np.random.default_rng([7, seed]).choice(60, 12, replace=False)] = True
        found = align_unit_sets(features, {"any": mask}, brain, n_surrogates=0, n_random_sets=19, n_folds=3)
        p.append(found.table.loc[found.table["row"] == "random_units", "p"].iloc[0])
    jitter = np.array(p) - np.random.default_rng(0).random(len(p)) / 20  # p has 20 values
    assert kstest(jitter, "uniform").pvalue > 0.01
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.10


def test_sets_are_named_by_masks_numbers_or_tables():
    features, brain, driving = data(n_groups=12)
    mask = np.isin(np.arange(60), driving)
    table = features.units[mask].assign(score=1.0)
    assert rows_of_units(features.units, table).tolist() == driving.tolist()
    found = align_unit_sets(
        features, {"mask": mask, "numbers": driving, "table": table}, brain, n_surrogates=0, n_random_sets=3
    )
    values = found.table[found.table["row"] == "decoded"]["value"]
    assert values.nunique() == 1 and all(np.isnan(a) for a in found.agreement.values())
    units = features.units
    for draw in range(3):
        assert found.random["mask"].shape == (3, 1) and draw < 3
    assert units.loc[driving, "layer"].eq(1).all()


@pytest.mark.parametrize(
    ("choice", "words"),
    [(np.zeros(60, dtype=bool), "does not name units"), (np.zeros(5, dtype=bool), "does not fit"), ([99], "does not name units"),
     (pd.DataFrame({"layer": [9], "site": ["mlp_act"], "index": [0]}), "not among the features"),
     (pd.DataFrame({"layer": [1]}), "named by layer")],
)  # fmt: skip
def test_bad_sets(choice, words):
    features, brain, _ = data(n_groups=8)
    with pytest.raises(BraindecError, match=words):
        align_unit_sets(features, {"set": choice}, brain, n_surrogates=0)


def test_two_groups_are_too_few_to_choose_on():
    features, brain, _ = data(n_groups=3, per=16)
    with pytest.raises(BraindecError, match="6 groups"):
        align_unit_sets(features, {"top": top_by_brain(3)}, brain, n_surrogates=0)
