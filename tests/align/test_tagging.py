"""One function for arrays, windows and features; what it refuses; the published procedure; similarity without a free lunch."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from braindec.align._hftp import hftp, order_test
from braindec.align.tagging import layer_curve, region_summary, spectra_similarity, tag
from braindec.errors import BraindecError
from braindec.loaders.synthetic_language import tagged_seeg
from braindec.stats.tagging import Design
from braindec.types import Features, Windows

RATES = {"sentence": 1.0, "phrase": 2.0}


def words(values, condition, prefix, **info):
    """Features of trials (trial, time, unit) as words in text order."""
    n, n_times, n_units = values.shape
    items = pd.DataFrame({"text_id": np.repeat([f"{prefix}{k}" for k in range(n)], n_times), "word_index": np.tile(np.arange(n_times), n),
                          "condition": condition})  # fmt: skip
    items["stimulus_id"] = items["text_id"] + "/" + items["word_index"].astype(str)
    units = pd.DataFrame(
        {"model": "m", "layer": np.arange(n_units) // 2, "site": "mlp_act", "index": np.arange(n_units)}
    )
    return Features(values.reshape(-1, n_units), items, units, info)


def both(a, b):
    return Features(
        np.concatenate([a.load(), b.load()]), pd.concat([a.items, b.items], ignore_index=True), a.units, a.info
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 10, 36, 6)).astype(np.float32)
    x[:, :, 0] += 2 * np.cos(2 * np.pi * np.arange(36) / 4)
    return x, y


def test_arrays_windows_and_features_give_the_same(data):
    x, y = data
    design = Design(n_sentences=9)
    plain = tag(x, rates=RATES, sfreq=4.0, control=y, drop_onset=1.0)
    rng = np.random.default_rng(1)
    mixed = both(words(x, "sentence", "a"), words(y, "slot", "b"))
    shuffled = mixed[
        rng.permutation(len(mixed.items))
    ]  # order within a trial comes from word_index, trials in order of appearance
    for features in (mixed, both(words(x, "sentence", "a"), words(y, "slot", "b"))):
        found = tag(features, rates=design, condition="sentence", control="slot")
        assert np.allclose(found.table["p"], plain.of("phrase")["p"].tolist() + plain.of("sentence")["p"].tolist())
    assert tag(shuffled, rates=design, control="slot", test="two_sample").of("sentence")["p"].to_numpy() == pytest.approx(
        tag(mixed, rates=design, control="slot", test="two_sample").of("sentence")["p"].to_numpy())  # fmt: skip
    assert list(found.table.columns[:4]) == ["model", "layer", "site", "index"] and found.sfreq == 4.0
    assert any("Not observable at 4 Hz: word (4 Hz)" in n for n in found.notes)
    array = np.concatenate([x, y]).transpose(0, 2, 1)
    windows = Windows.from_arrays(array, {"trial_type": ["sentence"] * 10 + ["slot"] * 10}, sfreq=4.0)
    brain = tag(windows, rates=RATES, control="slot", drop_onset=1.0)
    assert (
        np.allclose(brain.of("sentence")["p"], plain.of("sentence")["p"])
        and brain.units["channel"].tolist()[0] == "ch000"
    )
    apart = tag(windows[:10], rates=RATES, control=windows[10:], drop_onset=1.0)
    assert np.allclose(apart.table["p"], brain.table["p"])
    assert brain.significant("sentence").tolist() == [True] + [False] * 5
    assert "sentence 1" in repr(brain) and set(brain.arrays()) >= {"tag/spectra", "tag/sentence/q"}


def test_the_sampling_frequency_comes_from_the_data(data):
    x, _ = data
    windows = Windows.from_arrays(x.transpose(0, 2, 1), {"trial_type": ["a"] * 10}, sfreq=4.0)
    with pytest.raises(BraindecError, match=r"sfreq=512 Hz contradicts the data"):
        tag(windows, rates=RATES, sfreq=512.0)
    with pytest.raises(BraindecError, match="arrays have none"):
        tag(x, rates=RATES)
    with pytest.raises(BraindecError, match="not known"):
        tag(words(x, "a", "a"), rates=RATES)
    assert tag(words(x, "a", "a", sfreq=4.0), rates=RATES).sfreq == 4.0


def test_what_is_dropped_and_cropped(data):
    x, _ = data
    kept = tag(x, rates=RATES, sfreq=4.0, drop_onset=1.0)
    assert np.allclose(kept.table["p"], tag(x[:, 4:], rates=RATES, sfreq=4.0).table["p"])
    assert not any("less than one period" in n for n in kept.notes)
    assert any("less than one period" in n for n in tag(x, rates=RATES, sfreq=4.0).notes)
    with pytest.raises(BraindecError, match="between Fourier bins"):
        tag(x[:, :35], rates=RATES, sfreq=4.0)
    assert np.allclose(
        tag(x[:, :35], rates=RATES, sfreq=4.0, crop=True).table["p"], tag(x[:, :32], rates=RATES, sfreq=4.0).table["p"]
    )
    with pytest.raises(BraindecError, match="whole number of samples"):
        tag(x, rates=RATES, sfreq=4.0, drop_onset=0.3)
    with pytest.raises(BraindecError, match="nothing is left"):
        tag(x, rates=RATES, sfreq=4.0, drop_onset=9.0)
    with pytest.raises(BraindecError, match="above the Nyquist"):
        tag(x, rates={"word": 4.0}, sfreq=4.0)


def test_unequal_and_repeated_trials_are_refused(data):
    x, y = data
    with pytest.raises(BraindecError, match="unequal"):
        tag([x[0], x[1, :30]], rates=RATES, sfreq=4.0)
    features = words(x, "a", "a", sfreq=4.0)
    with pytest.raises(BraindecError, match="unequal: texts differ"):
        tag(features[np.arange(len(features.items) - 1)], rates=RATES)
    again = words(x, "a", "a", sfreq=4.0)
    again.items["word"] = np.tile([f"w{k}" for k in range(36)], 10)
    with pytest.raises(BraindecError, match="a sentence stands in two trials"):
        tag(again, rates=RATES)
    again.items["word"] = [f"w{k}" for k in range(360)]
    assert tag(again, rates=Design(n_sentences=9)).n_trials == 10
    again.items.loc[[36, 37, 38, 39], "word"] = ["w0", "w1", "w2", "w3"]  # one sentence again, in the next trial
    assert tag(again, rates=RATES).n_trials == 10  # how long a sentence is, is not known here
    with pytest.raises(BraindecError, match="w0 w1 w2 w3"):
        tag(again, rates=Design(n_sentences=9))
    with pytest.raises(BraindecError, match="one kind"):
        tag(features, rates=RATES, control=y)
    with pytest.raises(BraindecError, match="text_id"):
        tag(Features.from_array(x[0], range(36), sfreq=4.0), rates=RATES)


def test_conditions_that_are_not_there(data):
    x, _ = data
    windows = Windows.from_arrays(x.transpose(0, 2, 1), {"trial_type": list("aaabbbcccc")}, sfreq=4.0)
    with pytest.raises(BraindecError, match="which condition"):
        tag(windows, rates=RATES, control="c")
    with pytest.raises(BraindecError, match="no trial has trial_type = 'z'"):
        tag(windows, rates=RATES, condition="a", control="z")
    with pytest.raises(BraindecError, match="no named conditions"):
        tag(x, rates=RATES, sfreq=4.0, control="a")
    with pytest.raises(BraindecError, match="has no trials yet"):
        tag(windows.recordings[0], rates=RATES)
    with pytest.raises(BraindecError, match="there is no column 'kind'"):
        tag(windows, rates=RATES, condition="a", by="kind")


def test_planted_channels_are_found_and_regions_told():
    from sklearn.metrics import roc_auc_score

    design = Design(n_sentences=9)
    windows, truth = tagged_seeg(design, n_subjects=1, n_channels=48, seed=3)
    against = tag(windows[0], rates=design, condition="sentence", control="random", blocks="run")
    for rate in ("sentence", "phrase"):
        there = truth.tagged("01", rate)
        assert roc_auc_score(there, against.of(rate)["statistic"]) > 0.93
        assert (against.of(rate)["p"][~there] <= 0.05).mean() < 0.15
        assert not against.significant(rate, by="p_max")[~there].any()
    assert not against.significant("word").any()  # there in both conditions
    alone = tag(windows[0][np.flatnonzero(windows[0].trials["trial_type"] == "random")], rates=design)
    assert alone.test == "t2circ" and alone.significant("word").sum() >= 8 and not alone.significant("sentence").any()
    phrases = tag(windows[0], rates=design, condition="sentence", control="phrase")
    assert phrases.significant("sentence").any() and not phrases.significant("phrase").any()
    table = region_summary(against, rate="sentence")
    assert table.set_index("region").loc["Hippocampus", "share"] <= 0.25 and {"n", "tagged", "low", "high"} <= set(
        table
    )
    with pytest.raises(BraindecError, match="no column 'lobe'"):
        region_summary(against, by="lobe")


def test_a_second_harmonic_of_sentences_looks_like_phrases_and_is_told():
    design = Design(n_sentences=9)
    windows, truth = tagged_seeg(design, n_subjects=1, n_channels=36, second_harmonic=1.0, snr=1.5, seed=1,
                                 conditions={"sentence": ("sentence", "word"), "random": ("word",)})  # fmt: skip
    found = tag(windows[0], rates=design, condition="sentence", control="random", harmonics=2)
    there = truth.tagged("01", "sentence")
    assert (found.of("phrase")["p"][there] <= 0.05).mean() > 0.5  # no phrase response was planted
    assert any("does not by itself show a response to the phrase" in n for n in found.notes)
    assert (found.of("sentence", "1-2")["p"][there] <= 0.05).mean() > 0.5
    with pytest.raises(BraindecError, match="no rate"):
        found.of("sentences")


def test_layers(data):
    x, y = data
    found = tag(both(words(x, "s", "a"), words(y, "c", "b")), rates=Design(n_sentences=9), condition="s", control="c")
    table = layer_curve(found, rate="sentence", on="p")
    assert table["layer"].tolist() == [0, 1, 2] and table["n"].tolist() == [2, 2, 2] and table.loc[0, "tagged"] >= 1
    with pytest.raises(BraindecError):
        layer_curve(found, on="r")


@pytest.fixture(scope="module")
def published(shared):
    z = np.load(shared("hftp_frequency_tag.npz", kind="parity"))
    groups = [z[k].transpose(0, 2, 1, 3).reshape(10, 200, 96) for k in ("exp_groups", "ctrl_groups")]
    return z, *groups


def test_the_second_stage_of_the_published_procedure(published):
    z, a, b = published
    passed = z["si_perm_matrix"].ravel() > 0, z["pi_perm_matrix"].ravel() > 0
    found = hftp(a, b, sfreq=1 / float(z["sample_interval"]), passed=passed)
    for mine, theirs in (
        ("sentence_difference", "si_matrix"),
        ("phrase_difference", "pi_matrix"),
        ("sentence_z", "si_z"),
        ("phrase_z", "pi_z"),
    ):
        assert np.abs(getattr(found, mine) - z[theirs].ravel()).max() < 1e-6, mine  # stored from float32
    for mine, theirs in (("sentence_only", "mask_si"), ("phrase_only", "mask_pi"), ("shared", "mask_shared")):
        assert np.array_equal(getattr(found, mine), z[theirs].ravel()), mine


def test_the_first_stage_of_the_published_procedure(published):
    z, a, _ = published
    agree = []
    for bin_, name in ((50, "si_perm_matrix"), (100, "pi_perm_matrix")):
        p = order_test(a.mean(axis=0), bin_, n_permutations=4000, rng=1)
        agree.append((p < 0.05) == (z[name].ravel() > 0))
    assert np.mean(agree) >= 0.97


def test_the_published_procedure_warns(published):
    _, a, b = published
    with pytest.warns(UserWarning, match="does not hold its level"):
        found = tag(a, control=b, rates=RATES, sfreq=4.0, compat="hftp")
    assert found.test == "hftp" and found.of("sentence")["selected"].sum() > 0
    with pytest.raises(BraindecError, match="unknown"):
        tag(a, control=b, rates=RATES, sfreq=4.0, compat="other")
    with pytest.raises(BraindecError, match="needs control"):
        tag(a, rates=RATES, sfreq=4.0, compat="hftp")


DESIGN = Design(n_sentences=9)
LIKE = {"sentence": "sentence", "phrase": "phrase", "random": "random"}


def made_units(rng, n=20):
    t = np.arange(36) / 4
    units = {k: rng.standard_normal((12, 36, n)) for k in LIKE}
    units["sentence"] += 1.5 * np.cos(2 * np.pi * t)[:, None] + np.cos(2 * np.pi * 2 * t)[:, None]
    units["phrase"] += np.cos(2 * np.pi * 2 * t)[:, None]
    return units


def noise_brain(rng, n_channels, n_trials=25):
    return {k: rng.standard_normal((n_trials, 36, n_channels)) for k in LIKE}


def test_similarity_of_layers_and_regions():
    windows, _ = tagged_seeg(DESIGN, n_subjects=1, n_channels=48, snr=1.0, seed=2)
    units = made_units(np.random.default_rng(1))
    options = {
        "design": DESIGN,
        "conditions": LIKE,
        "layer": np.zeros(20, dtype=int),
        "n_permutations": 199,
        "n_bootstrap": 200,
    }
    found = spectra_similarity(units, windows[0], **options)
    table = found.table.set_index("region")
    assert (
        table.loc["MTG", "p_max"] <= 0.05
        and table.loc["MTG", "value"] > 0.5
        and table.loc["Hippocampus", "p_max"] > 0.05
    )
    assert np.array_equal(spectra_similarity(units, windows[0], **options).null, found.null)
    assert found.matrix().shape == (1, 6) and found.frequencies[0] == 0.5 and found.frequencies[-1] == 2.0


def test_choosing_the_best_channels_gives_nothing_for_noise():
    from braindec.align._tag_similarity import _parts, _scores, _standard_ranks, _whitened

    rng = np.random.default_rng(3)
    units, values, naive = made_units(rng), [], []
    options = {"design": DESIGN, "conditions": LIKE, "layer": np.zeros(20, dtype=int), "region": np.zeros(300, dtype=int), "select": 50,
               "sfreq": (4.0, 4.0), "n_permutations": 5, "n_bootstrap": 20}  # fmt: skip
    for seed in range(6):
        brain = noise_brain(np.random.default_rng([seed, 4]), 300)
        values.append(spectra_similarity(units, brain, seed=seed, **options).table["value"].item())
        c = _whitened(np.concatenate([np.fft.rfft(x[:, 4:], axis=1)[:, 4:17] for x in brain.values()]))
        labels = np.repeat(np.arange(3), 25)
        model = _standard_ranks(np.arange(15.0)[:, None]).T
        _, used = _scores(c, labels, _parts(labels, rng), model, [np.arange(300)], None)
        naive.append(np.sort((model @ _standard_ranks(used[0][0]))[0])[-50:].mean())
    assert np.mean(naive) > 0.25  # the mean of the best, chosen and scored on the same data
    assert abs(np.mean(values)) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("select", [None, 10])
def test_similarity_holds_its_level(select):
    units, p = made_units(np.random.default_rng(5)), []
    for seed in range(60):
        brain = noise_brain(np.random.default_rng([seed, 6]), 40, n_trials=12)
        found = spectra_similarity(units, brain, design=DESIGN, conditions=LIKE, layer=np.zeros(20, dtype=int), region=np.arange(40) // 20,
                                   select=select, sfreq=(4.0, 4.0), n_permutations=99, n_bootstrap=2, seed=seed)  # fmt: skip
        p += found.table["p"].tolist()
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.1  # 120 tests


def test_what_similarity_refuses():
    rng = np.random.default_rng(7)
    units, brain = made_units(rng), noise_brain(rng, 4, 6)
    good = {
        "design": DESIGN,
        "conditions": LIKE,
        "layer": np.zeros(20),
        "region": np.zeros(4),
        "sfreq": (4.0, 4.0),
        "n_permutations": 5,
    }
    for change, message in (
        ({"conditions": {"sentence": "sentence"}}, "at least 2 conditions"), ({"conditions": {"sentence": "x", "phrase": "y"}}, "no condition 'x'"),
        ({"band": (1.9, 2.0)}, "fewer than 3 Fourier bins"), ({"layer": np.zeros(3)}, "differ in number"), ({"layer": "layer"}, "no column"),
        ({"sfreq": (4.0, None)}, "not known"), ({"design": Design(n_sentences=17)}, "shorter than the design"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            spectra_similarity(units, brain, **{**good, **change})
    with pytest.raises(BraindecError, match="need 4 trials"):
        spectra_similarity(units, {k: v[:3] for k, v in brain.items()}, **good)


def test_flicker_is_found_and_untagged_frequencies_are_not(shared):
    from braindec.loaders.source import open_source
    from braindec.signal.windows import make_windows
    from braindec.stats.fdr import fdr_bh

    source = open_source(None, root=str(shared("muse-ssvep")), reader="bids", options={})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        windows = make_windows(source.recordings("01"), tmin=1.0, tmax=3.0)
    controls = {f"c{f:g}": f for f in np.arange(13.5, 45.0, 1.0)}
    for shown, other in (("20Hz", "30Hz"), ("30Hz", "20Hz")):
        alone = windows[np.flatnonzero(windows.trials["trial_type"] == shown)]
        found = tag(alone, rates={"20Hz": 20.0, "30Hz": 30.0, **controls})
        assert found.test == "t2circ" and found.of(shown)["q"].min() < 0.02 and found.of(other)["q"].min() > 0.2
        quiet = found.table[found.table["rate"].isin(list(controls))]
        assert not (fdr_bh(quiet["p"].to_numpy()) <= 0.05).any() and (quiet["p"] <= 0.05).mean() < 0.1
        near = tag(alone, rates={shown: float(shown[:2]), "17Hz": 17.0}, test="neighbours")
        assert near.of(shown)["snr"].max() > 8 and near.significant(shown).any() and not near.significant("17Hz").any()
        against = tag(
            windows, rates={shown: float(shown[:2])}, condition=shown, control=other, statistic="stronger", blocks="run"
        )
        assert against.significant(shown, by="p_max").any()


def test_a_share_beyond_untrained_networks_that_are_all_alike_is_no_certainty():
    from braindec.align._tag_results import _beyond

    assert _beyond(0.1, [0.0, 0.0, 0.0, 0.0]) == pytest.approx(1 / 5)
    assert _beyond(0.0, [0.0, 0.0]) == 1.0 and np.isnan(_beyond(0.1, [0.0]))
    assert 0 < _beyond(0.2, [0.04, 0.05, 0.06]) < 0.01


@pytest.mark.parametrize("select", [None, 3])
def test_similarity_leaves_out_channels_that_do_not_vary(select):
    rng = np.random.default_rng(30)
    units = {k: rng.standard_normal((8, 36, 6)) for k in "abc"}
    channels = {k: rng.standard_normal((8, 36, 8)) for k in "abc"}
    known = {"design": Design(n_sentences=9), "conditions": {k: k for k in "abc"}, "layer": [0] * 6, "region": list("xxxxyyyy"),
             "sfreq": (4.0, 4.0), "n_permutations": 9, "n_bootstrap": 9, "select": select}  # fmt: skip
    flat = {k: np.where(np.arange(8) == 3, 0.0, v) for k, v in channels.items()}
    found = spectra_similarity(units, flat, **known)
    assert np.isfinite(found.table["value"]).all() and found.table["n"].tolist() == (
        [3, 4] if select is None else [3, 3]
    )
    assert any("1 of 8 channels do not vary" in n for n in found.notes)
    with pytest.raises(BraindecError, match="region x varies"):
        spectra_similarity(units, {k: np.where(np.arange(8) < 4, 0.0, v) for k, v in channels.items()}, **known)


def test_wrong_questions_are_refused():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 12, 64, 3))
    ask = {"rates": {"s": 1.0}, "sfreq": 8.0}
    for signal, change, says in (
        (None, {}, "nothing to tag"),
        (x, {"rates": {}}, "named frequencies above 0 Hz"),
        (x, {"rates": {"s": 0.0}}, "named frequencies above 0 Hz"),
        (x, {"rates": [1.0]}, "named frequencies above 0 Hz"),
        (x, {"rates": {"s": "fast"}}, "named frequencies above 0 Hz"),
        (x, {"rates": {"a": 1.0, "b": 1.0}}, "one frequency"),
        (x, {"sfreq": np.nan}, "no sampling frequency"),
        (x, {"drop_onset": np.nan}, "is no time"),
        (x, {"n_neighbours": 0}, "n_neighbours=0"),
        (x, {"skip": -1}, "skip=-1"),
        (x, {"harmonics": 1.5}, "harmonics=1.5"),
        (x, {"control": y, "n_permutations": 0}, "n_permutations=0"),
        (x, {"control": x[3:9]}, "share trials"),
        (x, {"control": y, "blocks": np.repeat([0, 1], 12)}, "no block holds trials of both"),
    ):
        with pytest.raises(BraindecError, match=says):
            tag(signal, **{**ask, **change})
    silent = x.copy()
    silent[3] = 0.0
    assert any("hold one value throughout" in n for n in tag(silent, **ask).notes)
    assert any("Blocks are not used" in n for n in tag(x, blocks=np.arange(12), **ask).notes)
    found = tag(x, **ask)
    for options, says in (({"by": "p_max"}, "permutes nothing"), ({"alpha": 5}, "no level")):
        with pytest.raises(BraindecError, match=says):
            found.significant("s", **options)


def test_words_of_trials_must_be_named_and_in_order():
    from braindec.types import Features

    items = pd.DataFrame({"stimulus_id": [str(k) for k in range(64)], "text_id": np.repeat(list("abcd"), 16), "word_index": np.tile(np.arange(16), 4),
                          "condition": np.repeat(["x", "y"], 32)})  # fmt: skip
    values = np.random.default_rng(0).standard_normal((64, 2))

    def ask(**columns):
        return tag(Features(values, items.assign(**columns)), rates={"s": 1.0}, sfreq=4.0, control="y")

    assert len(ask().table) == 2
    missing = items["condition"].where(items.index > 0)
    for columns, says in (
        ({"word_index": 0}, "order of words"),
        ({"text_id": None}, "'text_id' is empty"),
        ({"condition": missing}, "'condition' is empty"),
    ):
        with pytest.raises(BraindecError, match=says):
            ask(**columns)
    with pytest.raises(BraindecError, match="did you mean 'y1'|no trial has condition = 'yy'"):
        tag(Features(values, items), rates={"s": 1.0}, sfreq=4.0, control="yy")
    with pytest.raises(BraindecError, match="both the condition and its control"):
        tag(Features(values, items), rates={"s": 1.0}, sfreq=4.0, control="y", condition="y")
