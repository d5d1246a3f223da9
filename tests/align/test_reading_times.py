"""Surprisal against reading times: calibrated, powerful, what the definitions say, and the figures of the Natural Stories."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter
from scipy.stats import spearmanr

from braindec.align.reading_times import relate_reading_times
from braindec.errors import BraindecError
from braindec.loaders.reading_times import read_natural_stories


def simulated(seed, *, beta=0.0, carry=0.0, bend=0.0, n_texts=6, n=120, rho=0.7):
    """Times that depend on length (bent by ``bend``), on surprisal (``beta``) and on that of the word before (``carry``), all slow in time."""
    rng = np.random.default_rng(seed)
    rows = []
    for text in range(n_texts):
        slow = [lfilter([1], [1, -rho], rng.standard_normal(n + 50))[50:] for _ in range(2)]
        length = rng.integers(1, 12, n).astype(float)
        surprisal = 0.4 * length + 0.05 * bend * length**2 + slow[0] + rng.standard_normal()
        before = np.concatenate([[0.0], surprisal[:-1]])
        time = (
            300
            + 6 * length
            + bend * length**2
            + 8 * slow[1]
            + beta * surprisal
            + carry * before
            + 10 * rng.standard_normal()
        )
        rows.append(pd.DataFrame({"text_id": str(text), "surprisal": surprisal, "time": time, "n_letters": length}))
    return pd.concat(rows, ignore_index=True)


def decoded(found):
    return found.scores[found.scores["row"] == "decoded"].set_index("metric")


def test_values_are_those_of_the_definitions():
    table = simulated(0, beta=2.0)
    found = relate_reading_times(table, spillover=0, n_permutations=20, n_bootstrap=100)
    rows = decoded(found)
    assert np.isclose(rows["value"]["spearman"], spearmanr(table["time"], table["surprisal"]).statistic)
    r = spearmanr(table[["time", "surprisal", "n_letters"]]).statistic
    partial = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert np.isclose(rows["value"]["partial_spearman"], partial)
    turned = found.scores[found.scores["row"] == "turned"].set_index("metric")
    assert set(turned.index) == set(rows.index) and np.allclose(turned["value"], rows["chance"][turned.index])
    gains = []
    own = table.drop(columns="text_id") - table.groupby("text_id").transform("mean")
    for text in table["text_id"].unique():  # by hand: fit on the other texts, Gaussian likelihood of this one
        test = (table["text_id"] == text).to_numpy()
        score = []
        for columns in (["n_letters"], ["n_letters", "surprisal"]):
            X = own[columns].to_numpy()
            left = own["time"] - X @ np.linalg.lstsq(X[~test], own["time"][~test], rcond=None)[0]
            variance = (left[~test] ** 2).mean()
            score.append((-0.5 * np.log(2 * np.pi * variance) - 0.5 * left[test] ** 2 / variance).sum())
        gains.append(score[1] - score[0])
    assert np.isclose(rows["value"]["delta_log_likelihood"], sum(gains) / len(table), rtol=1e-6)
    assert np.allclose(found.per_text["delta_log_likelihood"] * found.per_text["n"], gains, rtol=1e-5)


def test_the_answer_does_not_depend_on_units_or_order_of_texts():
    table = simulated(1, beta=2.0)
    one = decoded(relate_reading_times(table, n_permutations=30, n_bootstrap=50))
    other = decoded(
        relate_reading_times(
            table.assign(time=table["time"] / 1000, surprisal=table["surprisal"] * 0.7),
            n_permutations=30,
            n_bootstrap=50,
        )
    )
    assert np.allclose(one["value"], other["value"], rtol=1e-6) and one["p"].equals(other["p"])
    mixed = pd.concat([part for _, part in table.groupby("text_id")][::-1])
    assert np.allclose(
        decoded(relate_reading_times(mixed, n_permutations=5, n_bootstrap=50))["value"], one["value"], rtol=1e-6
    )


def test_what_is_added_is_found():
    hits = [
        decoded(relate_reading_times(simulated(seed, beta=2.5, n=200), n_permutations=39, n_bootstrap=50, seed=seed))
        for seed in range(8)
    ]
    assert np.mean([h["p"]["partial_spearman"] <= 0.05 for h in hits]) >= 0.9
    assert np.mean([h["value"]["delta_log_likelihood"] > 0 for h in hits]) >= 0.7


def test_spillover_is_modelled():
    table = simulated(3, carry=4.0, n=250)
    without, with_it = (
        decoded(relate_reading_times(table, spillover=k, n_permutations=19, n_bootstrap=50)) for k in (0, 1)
    )
    assert with_it["value"]["delta_log_likelihood"] > without["value"]["delta_log_likelihood"] + 0.05
    assert with_it["p"]["delta_log_likelihood"] <= 0.05


def test_length_alone_is_not_taken_for_surprisal():
    found = [
        relate_reading_times(simulated(seed, n=200, bend=1.5), n_permutations=59, n_bootstrap=50, seed=seed)
        for seed in range(12)
    ]
    ps = pd.DataFrame([decoded(f)["p"] for f in found])
    assert (ps["spearman"] <= 0.02).all(), "surprisal and times share their length"
    assert (ps["partial_spearman"] <= 0.05).sum() <= 3 and (ps["delta_log_likelihood"] <= 0.05).sum() <= 3
    beside = found[0].scores[found[0].scores["row"] == "n_letters"].iloc[0]
    assert beside["value"] > decoded(found[0])["value"]["spearman"] and beside["low"] < beside["value"] < beside["high"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bend", "least"), [(0.0, 0.02), (1.5, 0.0)]
)  # a strong bend, kept in the null, costs some power
def test_calibrated(bend, least):
    ps = pd.DataFrame([
        decoded(relate_reading_times(simulated(seed, bend=bend, n=100), n_permutations=39, n_bootstrap=2, seed=seed))["p"] for seed in range(300)
    ])  # fmt: skip
    rate = (ps <= 0.05).mean()
    assert 0.02 <= rate["partial_spearman"] <= 0.08 and least <= rate["delta_log_likelihood"] <= 0.08, rate


def test_interval_covers_over_texts():
    """Texts differ in their true correlation: the interval is about new texts."""
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = []
        for text in range(12):
            rho, z = 0.3 + 0.15 * rng.standard_normal(), rng.standard_normal((80, 2))
            rows.append(
                pd.DataFrame(
                    {
                        "text_id": text,
                        "surprisal": z[:, 0],
                        "time": 300 + rho * z[:, 0] + np.sqrt(max(1 - rho**2, 0)) * z[:, 1],
                    }
                )
            )
        row = decoded(relate_reading_times(pd.concat(rows), n_permutations=0, n_bootstrap=300, spillover=0)).loc[
            "spearman"
        ]
        inside.append(row["low"] < 6 / np.pi * np.arcsin(0.3 / 2) < row["high"])
    assert np.mean(inside) > 0.85


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"predictor": "surprise"}, "no column 'surprise'; did you mean 'surprisal'"),
        ({"text_id": "1"}, {}, "at least 2 are needed"),
        ({"surprisal": 1.0}, {}, "the same for all words"),
        ({"time": 0.0}, {"log_time": True}, "the same for all words|no logarithm"),
        ({}, {"spillover": -1}, "number of preceding words"),
        ({}, {"controls": ["surprisal"]}, "determine the predictor"),
    ],
)
def test_bad_tables(change, options, message):
    with pytest.raises(BraindecError, match=message):
        relate_reading_times(simulated(0).assign(**change), n_permutations=5, n_bootstrap=10, **options)


def test_too_few_words():
    with pytest.raises(BraindecError, match="too few words"):
        relate_reading_times(simulated(0, n_texts=2, n=8), n_permutations=5)


def test_natural_stories(shared):
    table = read_natural_stories(shared("reading_times_naturalstories"))
    found = relate_reading_times(table, spillover=0, n_permutations=100, n_bootstrap=200)
    rows = decoded(found)
    assert abs(rows["value"]["spearman"] - 0.179) < 0.002 and abs(rows["value"]["partial_spearman"] - 0.110) < 0.002
    assert rows["n"].eq(10246).all() and rows["p"].le(0.01).all() and rows["low"].gt(0).all()
    beside = found.scores[found.scores["row"] == "n_letters"]["value"].iloc[0]
    assert abs(beside - 0.295) < 0.002 and "10 of 10256 words" in found.notes[0]
    spilled = decoded(relate_reading_times(table, spillover=1, n_permutations=50, n_bootstrap=200))
    assert (
        spilled["value"]["delta_log_likelihood"] > rows["value"]["delta_log_likelihood"] > 0
        and spilled["p"]["delta_log_likelihood"] <= 0.02
    )


def test_an_untrained_model_says_nothing_beyond_length(shared):
    from braindec.llm.surprisal import surprisal
    from braindec.llm.tiny import tiny_model

    table = read_natural_stories(shared("reading_times_naturalstories"))
    some = table[table["text_id"].isin(["1", "2", "3"]) & (table["word_index"] < 160)].drop(
        columns=["surprisal", "n_tokens"]
    )
    some.attrs["texts"] = {t: " ".join(part["word"]) for t, part in some.groupby("text_id")}
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2, seed=0)
    scored = surprisal(lm, some.reset_index(drop=True))
    rows = decoded(relate_reading_times(scored, n_permutations=100, n_bootstrap=100))
    assert abs(rows["value"]["partial_spearman"]) < 0.12 and rows["p"]["delta_log_likelihood"] > 0.01


def test_a_drift_of_both_is_told_and_a_control_of_place_takes_it_away():
    p = {"n_letters": [], "word_index": []}
    for seed in range(8):
        table = simulated(seed, n_texts=6, n=100)
        table["word_index"] = table.groupby("text_id").cumcount()
        plain = relate_reading_times(table, n_permutations=1, n_bootstrap=10)
        assert not any("drift" in n for n in plain.notes)
        table["surprisal"] -= 4 * table["word_index"] / 100
        table["time"] -= 100 * table["word_index"] / 100
        for last, values in p.items():
            found = relate_reading_times(
                table, controls=list(dict.fromkeys(["n_letters", last])), n_permutations=19, n_bootstrap=10, seed=seed
            )
            assert any("drift" in n for n in found.notes) == (last == "n_letters")
            values.append(decoded(found)["p"]["partial_spearman"])
    assert np.median(p["n_letters"]) <= 0.05 < np.median(p["word_index"])
