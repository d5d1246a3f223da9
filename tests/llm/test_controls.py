"""Random sets that are like a choice: layers, statistics, refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.llm.controls import match_quality, matched_random_units


def _units(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=900)
    return pd.DataFrame({"layer": np.repeat([0, 1, 2], 300), "site": np.tile(["a", "b"], 450), "mean": mean,
                         "variance": np.exp(mean / 2 + rng.normal(size=900))})  # fmt: skip


def test_sets_have_the_layers_and_sites_of_the_choice_and_none_of_its_units():
    units, chosen = _units(), np.array([0, 1, 3, 301, 303, 305, 899])
    sets = matched_random_units(units, chosen, n_sets=30, avoid=np.arange(5, 50), rng=1)
    assert len({tuple(s) for s in sets}) == 30
    for rows in sets:
        assert len(np.unique(rows)) == len(chosen) and not set(rows) & (set(chosen) | set(range(5, 50)))
        pd.testing.assert_frame_equal(
            units.iloc[rows].groupby(["layer", "site"]).size().to_frame(),
            units.iloc[chosen].groupby(["layer", "site"]).size().to_frame(),
        )
    again = matched_random_units(units, chosen, n_sets=30, avoid=np.arange(5, 50), rng=1)
    assert all(np.array_equal(a, b) for a, b in zip(sets, again, strict=True))
    mask = np.zeros(900, bool)
    mask[chosen] = True
    assert np.array_equal(
        matched_random_units(units, mask, n_sets=1, rng=1)[0], matched_random_units(units, chosen, n_sets=1, rng=1)[0]
    )


def test_plain_sets_are_uniform_over_the_complement():
    units = _units()
    drawn = np.concatenate(matched_random_units(units, np.array([0, 2, 4]), n_sets=4000, rng=0))
    counts = np.bincount(drawn, minlength=900)[units.index[(units.layer == 0) & (units.site == "a")]]
    assert (counts[:3] == 0).all() and counts[3:].std() == pytest.approx(np.sqrt(counts[3:].mean()), rel=0.25)


def test_matching_on_statistics_brings_sets_close_where_plain_sets_are_far():
    units = _units()
    chosen = np.concatenate([g.nlargest(80, "mean").index for _, g in units.groupby("layer")])[::5]
    plain = matched_random_units(units, chosen, rng=0)
    like = matched_random_units(units, chosen, match=("layer", "site", "mean", "variance"), rng=0)
    far, near = (
        match_quality(units, chosen, s, ["mean", "variance"]).set_index("column")["apart"].abs() for s in (plain, like)
    )
    assert far["mean"] > 1.0 and near["mean"] < 0.2 and near["variance"] < 0.2
    quality = match_quality(units, chosen, like, ["mean"]).iloc[0]
    assert quality["chosen"] == pytest.approx(units["mean"].iloc[chosen].mean())
    assert len({tuple(s) for s in like}) == 20


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"chosen": np.arange(0, 300, 2)[:100]}, "fewer free units"),
        ({"chosen": np.arange(3), "match": ("layers",)}, "did you mean 'layer'"),
        ({"chosen": np.array([], int)}, "need chosen units"),
        ({"chosen": np.array([1, 1])}, "different rows"),
        ({"chosen": np.array([900])}, "different rows"),
        ({"chosen": np.arange(0, 150, 2), "avoid": np.arange(150, 300), "n_sets": 1}, "fewer free units"),
        ({"chosen": np.array([0]), "avoid": np.arange(4, 300), "n_sets": 2}, "not 2 different"),
    ],
)
def test_what_cannot_be_matched_is_refused(arguments, says):
    with pytest.raises(BraindecError, match=says):
        matched_random_units(_units(), **{"n_sets": 20, **arguments})


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_choice_at_random_is_like_overlapping_sets(share):
    """The sum of unit effects of a random choice against its sets: 5 % of the p-values are at most .05."""
    rng, n = np.random.default_rng(0), 60
    units = pd.DataFrame({"layer": np.repeat([0, 1], n // 2), "site": "mlp_act", "index": np.arange(n)})
    p = []
    for _ in range(400):
        effect = rng.standard_normal(n)
        chosen = np.concatenate([rng.choice(30, round(30 * share), replace=False) + 30 * k for k in (0, 1)])
        sets = matched_random_units(units, chosen, n_sets=39, overlap=True, rng=rng)
        null = np.array([effect[s].sum() for s in sets])
        p.append((1 + (null >= effect[chosen].sum()).sum()) / 40)
    assert 0.025 <= np.mean(np.array(p) <= 0.05) <= 0.08
