"""RidgeDecoder: equals scikit-learn, finds a planted signal on held-out concepts, chance when pairs are shuffled."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge

from braindec.decoders.ridge import RidgeDecoder
from braindec.errors import BraindecError
from braindec.types import Features, Windows


def planted(*, strength=1.0, n_concepts=30, n_images=5, n_chans=12, n_times=40, dim=8, seed=0, subjects=1):
    """Each dimension drives a topography at its own time; noise is white; units are volts."""
    rng = np.random.default_rng(seed)
    n = n_concepts * n_images
    F = np.repeat(rng.normal(size=(n_concepts, dim)), n_images, axis=0) + 0.7 * rng.normal(size=(n, dim))
    maps, times = rng.normal(size=(dim, n_chans)), np.arange(n_times)
    courses = np.exp(-0.5 * ((times - rng.uniform(8, n_times - 8, size=(dim, 1))) / 3) ** 2)
    X = strength * np.einsum("nd,dc,dt->nct", F, maps, courses) + 2.0 * rng.normal(size=(n, n_chans, n_times))
    X[:, 3] *= 50  # one channel of another scale
    trials = {"stimulus_id": [f"s{i}" for i in range(n)], "concept_id": [f"c{i // n_images}" for i in range(n)],
              "subject": [f"{i % subjects + 1:02d}" for i in range(n)]}  # fmt: skip
    windows = Windows.from_arrays((1e-6 * X).astype(np.float32), trials, sfreq=100.0, unit="V", modality="eeg")
    return windows, Features.from_array((3 * F + 1).astype(np.float32), trials["stimulus_id"])


def parts(windows, features, n_test=8):
    concept = np.array([int(c[1:]) for c in windows.trials["concept_id"]])
    first = concept.max() + 1 - n_test
    train, test = windows[concept < first], windows[concept >= first]
    return train, test, features[features.rows_of(test.trials["stimulus_id"])]


def test_equals_sklearn_on_the_same_columns():
    train, test, candidates = parts(*(pair := planted()))
    decoder = RidgeDecoder(alpha=30.0, time_bins=10, scaler=None).fit(train, pair[1])
    columns = lambda w: w.load().reshape(len(w), 12, 10, 4).mean(3).reshape(len(w), -1)  # noqa: E731
    Y = pair[1].of(train.trials["stimulus_id"]).astype(float)
    mean, spread = Y.mean(axis=0), Y.std(axis=0)
    expected = Ridge(alpha=30.0).fit(columns(train), (Y - mean) / spread).predict(columns(test))
    np.testing.assert_allclose(decoder.embed(test), expected, atol=1e-4)
    np.testing.assert_allclose(decoder.project(candidates).load(), (candidates.load() - mean) / spread, atol=1e-5)


def test_planted_signal_is_retrieved_on_concepts_never_trained_on():
    windows, features = planted()
    train, test, candidates = parts(windows, features)
    assert RidgeDecoder().fit(train, features).score(test, candidates) >= 0.5  # chance 1 / 40
    whitened = RidgeDecoder(noise_normalise=True, per_target=True).fit(train, features)
    assert whitened.score(test, candidates) >= 0.5
    assert [r.step for r in whitened.fit_records_] == ["RobustScaler", "NoiseNormalizer", "Targets", "Ridge"]


def test_shuffled_pairs_are_at_chance():
    windows, features = planted(strength=3.0)
    train, test, candidates = parts(windows, features)
    hits = []
    for seed in range(12):
        ids = np.random.default_rng(seed).permutation(features.ids)
        mixed = Features(features.values, features.items.assign(stimulus_id=ids))
        hits.append(RidgeDecoder().fit(train, mixed).score(test, mixed[mixed.rows_of(candidates.ids)]))
    assert np.mean(hits) < 0.075  # chance 0.025, standard error 0.007


def test_sees_training_rows_only():
    windows, features = planted()
    train, test, _ = parts(windows, features)
    decoder = RidgeDecoder().fit(train, features, validation=test)
    assert {r.hash for r in decoder.fit_records_} == {r.hash for r in decoder.fit_records_[:1]}
    for record in decoder.fit_records_:
        assert set(record.ids) <= set(train.ids)
    changed = Windows.from_arrays(windows.load() + 1.0, windows.trials, sfreq=100.0)  # other numbers in the test rows
    both = Windows.concat([windows[: len(train)], changed[len(train) :]])
    again = RidgeDecoder().fit(both[: len(train)], features)
    np.testing.assert_array_equal(again.embed(test), decoder.embed(test))


def test_retrieve_names_the_best_candidates():
    windows, features = planted()
    train, test, candidates = parts(windows, features)
    decoder = RidgeDecoder().fit(train, features)
    table = decoder.retrieve(test, candidates, n=3)
    assert list(table.columns) == ["window_id", "place", "stimulus_id", "similarity", "correct"]
    assert len(table) == 3 * len(test) and (table.groupby("window_id")["similarity"].is_monotonic_decreasing).all()
    assert table.loc[table["place"] == 1, "correct"].mean() == pytest.approx(decoder.score(test, candidates))
    np.testing.assert_array_equal(decoder.predict(test), decoder.embed(test))


def test_candidates_that_tie_share_the_hit():
    windows, features = planted()
    train, test, candidates = parts(windows, features)
    decoder = RidgeDecoder().fit(train, features)
    flat = Features.from_array(np.ones((len(candidates.items), 8), np.float32), candidates.ids)
    assert decoder.score(test, flat) == pytest.approx(1 / len(candidates.items))


def test_saved_and_loaded(tmp_path):
    windows, features = planted(subjects=2)
    train, test, candidates = parts(windows, features)
    decoder = RidgeDecoder(noise_normalise=True, scale_by="subject").fit(train, features)
    other = RidgeDecoder.load(decoder.save(tmp_path / "ridge"))
    np.testing.assert_array_equal(other.embed(test), decoder.embed(test))
    assert other.score(test, candidates) == decoder.score(test, candidates)
    assert other.get_params() == decoder.get_params()
    assert [(r.step, r.purpose, r.hash) for r in other.fit_records_] == [
        (r.step, r.purpose, r.hash) for r in decoder.fit_records_
    ]
    assert not list((tmp_path / "ridge").rglob("*.pkl"))
    (tmp_path / "ridge" / "decoder.safetensors").write_bytes(b"")
    with pytest.raises(BraindecError, match="not the file"):
        RidgeDecoder.load(tmp_path / "ridge")


def test_clone_keeps_settings_and_nothing_fitted():
    windows, features = planted()
    decoder = RidgeDecoder(alpha=[1.0, 10.0], time_bins=5).fit(windows, features)
    other = clone(decoder)
    assert other.get_params() == decoder.get_params()
    with pytest.raises(BraindecError, match="is not fitted"):
        other.embed(windows)


def test_one_sample_windows_and_constant_channels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5, 1)).astype(np.float32)
    X[:, 2] = 4.0
    F = (X[:, :2, 0] @ rng.normal(size=(2, 6))).astype(np.float32)
    trials = {"stimulus_id": [f"s{i}" for i in range(60)]}
    windows, features = Windows.from_arrays(X, trials, sfreq=1.0), Features.from_array(F, trials["stimulus_id"])
    assert RidgeDecoder().fit(windows[:40], features).score(windows[40:], features[40:]) > 0.8


def test_automatic_time_bins_keep_the_problem_small():
    windows, features = planted(n_concepts=4, n_chans=300, n_times=40)
    assert RidgeDecoder().fit(windows, features).encoder_.n_bins == 10
    assert RidgeDecoder(time_bins=None, alpha=1.0).fit(windows, features).encoder_.n_bins == 40


def test_bad_input():
    windows, features = planted(n_concepts=4)
    with pytest.raises(BraindecError, match="time_bins"):
        RidgeDecoder(time_bins=41).fit(windows, features)
    with pytest.raises(BraindecError, match="no column 'stimulus_id'"):
        RidgeDecoder().fit(Windows.from_arrays(windows.load(), {"run": [1] * len(windows)}, sfreq=100.0), features)
    with pytest.raises(BraindecError, match="have no features"):
        RidgeDecoder().fit(windows, features[2:])
    with pytest.raises(BraindecError, match="robust_scaler"):
        RidgeDecoder(scaler="robst_scaler").fit(windows, features)
    decoder = RidgeDecoder().fit(windows, features)
    X = windows.load()
    with pytest.raises(BraindecError, match="other channels"):
        decoder.embed(Windows.from_arrays(X[:, ::-1], windows.trials, sfreq=100.0, channels=windows.ch_names[::-1]))
    with pytest.raises(BraindecError, match="another length"):
        decoder.embed(windows.crop(0.0, 0.2))
    with pytest.raises(BraindecError, match="stands twice"):
        decoder.retrieve(windows, features[np.r_[0, 0, 1]])
    with pytest.raises(BraindecError, match=r"allowed: \(n, 8\)"):
        decoder.project(np.zeros((3, 7)))
    X = X.copy()
    X[3, 1, 5] = np.nan
    with pytest.raises(BraindecError, match="ch001"):
        RidgeDecoder().fit(Windows.from_arrays(X, windows.trials, sfreq=100.0), features)
