"""Retrieval of segments and words against closed forms: ranks, ties, chance, exchanges of whole contents, calibrated p."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.evaluate._segment_ranks import block_exchange, exchange_table, places_in_content
from braindec.evaluate.segment_retrieval import evaluate_segments, exchanged_stimuli, paired_difference, place_windows
from braindec.types import Windows


def candidates(n_contents=6, size=7, words=None, seed=0):
    """Contents of ``size`` segments, 0.5 s apart; words are drawn unevenly."""
    rng = np.random.default_rng(seed)
    sizes = [size] * n_contents if np.isscalar(size) else size
    rows = [
        {"stimulus_id": f"c{c}-{k}", "content_id": f"c{c}", "block_id": f"c{c}", "in_block": 0.5 * k}
        for c, n in enumerate(sizes)
        for k in range(n)
    ]
    items = pd.DataFrame(rows)
    names = np.array(["the", "the", "the", "a", "a", "dog", "cat", "sees", "tree", "house"])
    return items.assign(text=rng.choice(names, len(items)) if words is None else words)


def heard(items, subjects=("01", "02")):
    parts = [items[["stimulus_id", "text"]].assign(subject=s) for s in subjects]
    return pd.concat(parts, ignore_index=True).assign(window_id=lambda t: [f"w{k}" for k in range(len(t))])


def row(found, metric, level="segment", subject="pooled", name="decoded"):
    t = found.scores
    return t[(t["metric"] == metric) & (t["level"] == level) & (t["subject"] == subject) & (t["row"] == name)].iloc[0]


def test_ranks_and_top_k_equal_a_plain_count():
    items, rng = candidates(), np.random.default_rng(1)
    trials = heard(items)
    s = rng.standard_normal((len(trials), len(items)))
    own = np.tile(np.arange(len(items)), 2)
    s[np.arange(len(own)), own] += 1.5
    found = evaluate_segments(s, items, trials=trials, n_permutations=100, n_bootstrap=200)
    rank = 1 + (s > s[np.arange(len(own)), own][:, None]).sum(axis=1)
    assert np.array_equal(found.ranks, rank)
    for k in (1, 5, 10):
        line = row(found, f"top{k}")
        assert line["value"] == pytest.approx((rank <= k).mean()) and line["chance"] == pytest.approx(k / len(items))
        assert (
            line["low"] < line["value"] < line["high"]
            and line["n"] == len(trials)
            and line["n_candidates"] == len(items)
        )
        assert row(found, f"top{k}", subject="02")["value"] == pytest.approx((rank[len(items) :] <= k).mean())
    assert row(found, "median_rank")["value"] == np.median(rank) and row(found, "top1")["p"] < 0.05


def test_words_sum_the_softmax_over_their_segments():
    items, rng = candidates(), np.random.default_rng(2)
    trials = heard(items, ["01"])
    s = rng.standard_normal((len(trials), len(items)))
    found = evaluate_segments(s, items, trials=trials, scale=2.0, n_permutations=0, n_bootstrap=50, topk=(1, 3))
    p = np.exp(2.0 * s) / np.exp(2.0 * s).sum(axis=1, keepdims=True)
    names = sorted(set(items["text"]))
    words = np.stack([p[:, (items["text"] == w).to_numpy()].sum(axis=1) for w in names], axis=1)
    own = words[np.arange(len(items)), [names.index(w) for w in items["text"]]]
    rank = 1 + (words > own[:, None]).sum(axis=1)
    assert np.array_equal(found.queries["word_rank"], rank)
    t = found.scores[found.scores["level"] == "word"].set_index("metric")
    assert t.loc["top1", "value"] == pytest.approx((rank == 1).mean()) and t.loc["top3", "value"] == pytest.approx(
        (rank <= 3).mean()
    )


def test_chance_of_words_is_that_of_their_counts():
    items = candidates(8, 10)
    n, share = len(items), items["text"].value_counts(normalize=True)
    trials = heard(items, ["01"])
    rng = np.random.default_rng(3)
    # one segment has nearly all of the probability: chance is that of a random segment, sum of squared shares
    peaked = 1e3 * rng.standard_normal((4000, n))
    many = (
        pd.concat([trials] * 50, ignore_index=True)
        .iloc[:4000]
        .assign(window_id=lambda t: np.arange(len(t)).astype(str))
    )
    t = (
        evaluate_segments(peaked, items, trials=many, n_permutations=0, n_bootstrap=20, topk=(1,))
        .scores.query("level == 'word'")
        .iloc[0]
    )
    assert t["chance"] == pytest.approx((share**2).sum(), abs=0.02) and t["value"] == pytest.approx(
        t["chance"], abs=0.03
    )
    # nothing is known: the most frequent word, always
    t = evaluate_segments(
        1e-6 * rng.standard_normal((n, n)), items, trials=trials, n_permutations=0, n_bootstrap=20, topk=(1,)
    )
    t = t.scores.query("level == 'word'").iloc[0]
    assert t["chance"] == pytest.approx(share.max()) and t["value"] == pytest.approx(share.max())
    # everything is known: two random windows have one word
    t = (
        evaluate_segments(1e3 * np.eye(n), items, trials=trials, n_permutations=0, n_bootstrap=20, topk=(1,))
        .scores.query("level == 'word'")
        .iloc[0]
    )
    assert t["value"] == 1.0 and t["chance"] == pytest.approx((share**2).sum())


def test_ties_and_constant_scores_are_at_chance():
    items = candidates()
    trials = heard(items)
    for s in (np.zeros((len(trials), len(items))), np.tile(np.arange(len(items), dtype=float), (len(trials), 1))):
        found = evaluate_segments(s, items, trials=trials, n_permutations=200, n_bootstrap=50)
        assert row(found, "top5")["value"] == pytest.approx(5 / len(items)) and row(found, "top5")["p"] > 0.9
        word = row(found, "top1", "word")
        assert word["value"] == pytest.approx(word["chance"])
    order = np.random.default_rng(0).permutation(len(items))
    s = np.round(np.random.default_rng(5).standard_normal((len(trials), len(items))))  # many ties
    a = evaluate_segments(s, items, trials=trials, n_permutations=0, n_bootstrap=20)
    b = evaluate_segments(s[:, order], items.iloc[order], trials=trials, n_permutations=0, n_bootstrap=20)
    assert np.array_equal(a.ranks, b.ranks) and np.allclose(
        a.scores["value"].astype(float), b.scores["value"].astype(float)
    )


def test_repeated_candidates_count_once():
    items = candidates()
    trials = heard(items)
    s = np.random.default_rng(6).standard_normal((len(trials), len(items)))
    twice, wide = pd.concat([items, items[:9]]), np.concatenate([s, s[:, :9]], axis=1)
    a, b = (
        evaluate_segments(x, i, trials=trials, n_permutations=0, n_bootstrap=20) for x, i in ((s, items), (wide, twice))
    )
    assert (
        np.array_equal(a.ranks, b.ranks)
        and "9 repeated candidates" in b.notes[0]
        and len(b.candidate_ids) == len(items)
    )
    wide[:, -1] += 1
    with pytest.raises(BraindecError, match="two different segments"):
        evaluate_segments(wide, twice, trials=trials)


def test_contents_are_exchanged_as_a_whole_and_keep_places():
    items = candidates(5, [6, 6, 4, 9, 6])
    code, place = places_in_content(items, "content_id")
    table = exchange_table(code, place)
    for c in range(5):
        own = np.flatnonzero(code == c)
        assert np.array_equal(table[own, c], own)  # itself
        assert (code[table[:, c]] == c).all()
    assert np.array_equal(table[code == 0, 1], np.flatnonzero(code == 1))  # equal lengths: place by place
    assert np.array_equal(
        place[table[code == 3, 2]], place[code == 2][[0, 1, 2, 3, 0, 1, 2, 3, 0]]
    )  # goes around in a shorter one
    maps, n, exact = block_exchange(code, place, n=200, rng=np.random.default_rng(0))
    maps = np.stack(list(maps))
    assert exact and n == math.factorial(5) == len(maps) == len(np.unique(maps, axis=0))
    assert all(len(set(code[m[code == c]])) == 1 for m in maps for c in range(5))
    _, n, exact = block_exchange(code, place, n=50, rng=np.random.default_rng(0))
    assert n == 50 and not exact


def test_a_perfect_decoder_has_the_smallest_exact_p():
    items = candidates(4, 6)
    trials = heard(items)
    found = evaluate_segments(
        np.tile(np.eye(len(items)), (2, 1)), items, trials=trials, n_permutations=100, n_bootstrap=50
    )
    assert row(found, "top1")["p"] == pytest.approx(1 / 24) and "all 24 orders" in found.notes[0]
    assert row(found, "top1")["low"] < 1.0 == row(found, "top1")["high"]  # 4 contents: no certainty
    null = found.null["segment/top1"]
    assert len(null) == 24 and row(found, "top1", name="content_permutation")["value"] == pytest.approx(null.mean())


def test_differences_are_paired_over_subjects():
    items = candidates()
    trials = heard(items, [f"0{k}" for k in range(1, 9)])
    rng, own = np.random.default_rng(7), np.tile(np.arange(len(items)), 8)
    s = rng.standard_normal((len(trials), len(items)))
    good = s.copy()
    good[np.arange(len(own)), own] += 2
    a, b = (evaluate_segments(x, items, trials=trials, n_permutations=0, n_bootstrap=20) for x in (good, s))
    d = paired_difference(a, b)
    assert (
        d["value"] == pytest.approx(a.value() - b.value())
        and d["p"] == pytest.approx(1 / 256)
        and d["low"] > 0
        and d["n"] == 8
    )
    assert paired_difference(b, a)["p"] > 0.99 and paired_difference(a, a)["value"] == 0
    assert paired_difference(a, b, metric="median_rank")["value"] > 0
    with pytest.raises(BraindecError, match="same windows"):
        paired_difference(a, evaluate_segments(s[:40], items, trials=trials[:40], n_permutations=0, n_bootstrap=20))


def windows_of(items, n=3):
    t = pd.concat([items.assign(start=items["in_block"], block_start=0.0, block_stop=9.0, onset=np.arange(len(items)) * 0.5, subject="01",
                                run=str(k)) for k in range(n)], ignore_index=True)  # fmt: skip
    return Windows.from_arrays(np.zeros((len(t), 2, 12), np.float32), t, sfreq=10.0, tmin=-0.35)


def test_controls_break_the_pairing_by_content_and_hear_nothing():
    w = windows_of(candidates(6, [6, 6, 4, 9, 6, 5]))
    (mixed,) = exchanged_stimuli([w], seed=3)
    content = dict(zip(w.trials["stimulus_id"], w.trials["content_id"], strict=True))
    became = mixed.trials["stimulus_id"].map(content)
    assert not (became == w.trials["content_id"]).any()
    assert (became.groupby(w.trials["content_id"]).nunique() == 1).all()
    place = dict(zip(w.trials["stimulus_id"], w.trials["in_block"], strict=True))
    same = w.trials["content_id"].isin(["c0", "c1"]) & became.isin(["c0", "c1", "c4"])
    assert np.allclose(mixed.trials["stimulus_id"].map(place)[same], w.trials["in_block"][same])
    blind = place_windows(w)
    noise = Windows.from_arrays(np.random.default_rng(0).standard_normal(w.shape), w.trials, sfreq=10.0, tmin=-0.35)
    assert (
        np.array_equal(blind.load(), place_windows(noise).load()) and blind.n_times == w.n_times and blind.shape[1] == 5
    )
    assert np.allclose(blind.load()[:, 0, 0], w.trials["in_block"]) and np.allclose(
        np.diff(blind.load()[:, 0]), 0.1, atol=1e-5
    )


def test_what_cannot_be_scored_is_refused():
    items = candidates()
    trials = heard(items)
    s = np.zeros((len(trials), len(items)))
    for change, message in (({"trials": trials[:3]}, "n_windows, n_candidates"), ({"trials": trials.assign(stimulus_id="c0-99")}, "not among the candidates"),
                            ({"content": "block"}, "need a column 'block'"), ({"similarity": np.full_like(s, np.nan)}, "not finite")):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            evaluate_segments(**{"similarity": s, "candidates": items, "trials": trials, **change})
    with pytest.raises(BraindecError, match="have no word"):
        evaluate_segments(s, items.assign(text=items["text"].where(items["text"] != "dog")), trials=trials)
    with pytest.raises(BraindecError, match="nothing to exchange"):
        evaluate_segments(s, items.assign(content_id="one", block_id="one"), trials=trials)
    assert len(
        evaluate_segments(
            s, items.drop(columns="text"), trials=trials, word=None, n_permutations=10, n_bootstrap=10
        ).scores
    )


@pytest.mark.slow
def test_p_is_calibrated_for_windows_that_overlap_and_subjects_that_share_stimuli():
    """Brains that drift and sounds that drift, without a word of one another: 3 to 7 % are below 0.05."""
    rng, n_runs, dim, low = np.random.default_rng(11), 1000, 6, np.zeros(3)

    def smooth(sizes):
        """Vectors that change slowly within each content."""
        parts = []
        for n in sizes:
            x = rng.standard_normal((n, dim))
            for k in range(1, n):
                x[k] = 0.9 * x[k - 1] + math.sqrt(1 - 0.81) * x[k]
            parts.append(x)
        return np.concatenate(parts)

    for _ in range(n_runs):
        sizes = rng.integers(5, 10, 9)
        items = candidates(9, sizes, words="w")
        y = smooth(sizes)
        common = smooth(sizes)  # what both subjects' brains do at the same time, whatever is heard
        z = np.concatenate([0.7 * common + 0.7 * smooth(sizes) for _ in range(2)])
        found = evaluate_segments(z @ y.T / np.linalg.norm(y, axis=1), items, trials=heard(items), word=None, topk=(10, 5), n_permutations=99,
                                  n_bootstrap=1)  # fmt: skip
        p = found.scores[(found.scores["subject"] == "pooled") & (found.scores["row"] == "decoded")]["p"].to_numpy(
            dtype=float
        )
        low += p <= 0.05
    assert ((low / n_runs >= 0.03) & (low / n_runs <= 0.07)).all(), low / n_runs
