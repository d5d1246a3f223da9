"""The decoders of oscillations share one contract: exact refits, planted truth, nothing from noise, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from braindec import registry
from braindec.config import options_of
from braindec.decoders.connectivity import Connectivity
from braindec.decoders.csp import CSP
from braindec.decoders.filter_bank_csp import FilterBankCSP
from braindec.decoders.r2_selected import R2Selected
from braindec.decoders.tangent_space import TangentSpace
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.types import Windows

BANDS = ((8.0, 12.0), (16.0, 24.0))
DECODERS = [
    CSP(2),
    CSP(2, normalise=True, cov_shrinkage=0.1, model="ridge"),
    TangentSpace(),
    TangentSpace("oas", model="ridge", recentre="run"),
    FilterBankCSP(BANDS, n_filters=1, n_features=2),
    R2Selected(n_features=3, order=8),
    R2Selected(n_features=3, order=8, runs="best"),
    Connectivity(bands=BANDS),
    Connectivity("wpli", features="edges", bands=BANDS, model="ridge"),
]
SFREQ = 100.0


def rhythms(n=72, n_classes=2, depth=0.8, seed=0, n_channels=6, n_times=200):
    """A 10 Hz rhythm for each class, mixed into all channels; a class damps its own. Three runs."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([rng.permutation(np.arange(n // 3) % n_classes) for _ in range(3)])
    time = np.arange(n_times) / SFREQ
    sources = rng.normal(size=(n, n_channels, n_times))
    for k in range(n_classes):
        size = np.where(codes == k, 1 - depth, 1.0)
        phase = rng.uniform(0, 2 * np.pi, n)
        sources[:, k] += 3 * size[:, None] * np.sin(2 * np.pi * 10 * time + phase[:, None])
    mixing = np.random.default_rng(99).normal(size=(n_channels, n_channels)) + 2 * np.eye(n_channels)
    X = np.einsum("cs,nst->nct", mixing, sources).astype("float32") * 1e-6
    y = np.array(["feet", "left", "right", "tongue"])[codes]
    trials = {"trial_type": y, "run": np.repeat(["1", "2", "3"], n // 3), "onset": np.tile(np.arange(n // 3) * 4.0, 3)}
    return Windows.from_arrays(X, trials, sfreq=SFREQ, modality="eeg", unit="V"), y


def name_of(decoder):
    return repr(decoder)[:60]


@pytest.mark.parametrize("decoder", DECODERS, ids=name_of)
def test_refits_on_permuted_labels_equal_plain_fits(decoder):
    windows, y = rhythms(n_classes=3)
    rng = np.random.default_rng(1)
    train, test = windows[:48], windows[48:]
    Y = np.stack([y[:48], rng.permutation(y[:48]), rng.permutation(y[:48])])
    found = clone(decoder).null_decisions(train, Y, test)
    assert found.shape == (3, 24, 3)
    for labels, scores in zip(Y, found, strict=True):
        np.testing.assert_allclose(scores, clone(decoder).fit(train, labels).decision(test), atol=1e-6)


@pytest.mark.parametrize("decoder", DECODERS, ids=name_of)
def test_planted_classes_are_found_and_nothing_is_found_in_noise(decoder):
    windows, y = rhythms(depth=0.9)
    fitted = clone(decoder).fit(windows[:48], y[:48])
    if not isinstance(decoder, Connectivity):  # damping of one source is no connection
        assert fitted.score(windows[48:], y[48:]) > 0.75
    noise, labels = rhythms(depth=0.0, seed=7)
    assert abs(clone(decoder).fit(noise[:48], labels[:48]).score(noise[48:], labels[48:]) - 0.5) < 0.35
    np.testing.assert_allclose(fitted.predict_proba(windows[48:]).sum(axis=1), 1.0)
    assert fitted.decision_function(windows[48:]).shape == (24,)


@pytest.mark.parametrize("decoder", DECODERS, ids=name_of)
def test_nothing_but_training_rows_is_seen(decoder):
    windows, y = rhythms()
    splits = split_by(windows, "run")
    found = cross_validate(decoder, windows, y, splits, controls=["label_shuffle"], n_permutations=3, n_bootstrap=100)
    assert len(found.records) == 3 and all(len(records) for _, records in found.records)
    for split, records in found.records:
        held = set(windows.ids[split.test].astype(str))
        assert all(not held & set(r.ids) for r in records)
    finding = audit(windows, splits, y=y, records=found.records)
    assert not [f for f in finding.findings if f.level == "fail"]
    assert np.isfinite(found.scores.loc[found.scores["row"] == "decoded", "p"]).all()


@pytest.mark.parametrize("decoder", DECODERS, ids=name_of)
def test_scale_and_order_do_not_matter(decoder):
    """Volts or microvolts; test windows together or one by one."""
    windows, y = rhythms(n=48)
    micro = Windows.from_arrays(windows.load() * 1e6, windows.trials, sfreq=SFREQ)
    a = clone(decoder).fit(windows[:32], y[:32]).decision(windows[32:])
    np.testing.assert_allclose(clone(decoder).fit(micro[:32], y[:32]).decision(micro[32:]), a, atol=2e-3, rtol=1e-3)
    if getattr(decoder, "recentre", None) is None:  # that one says that it looks at test windows together
        fitted = clone(decoder).fit(windows[:32], y[:32])
        np.testing.assert_allclose(fitted.decision(windows[33:34]), a[1:2], atol=1e-9)


@pytest.mark.parametrize("decoder", DECODERS, ids=name_of)
def test_bad_input_is_refused(decoder):
    windows, y = rhythms(n=24)
    with pytest.raises(BraindecError, match="at least two classes"):
        clone(decoder).fit(windows, np.repeat("left", 24))
    with pytest.raises(BraindecError, match="reads Windows"):
        clone(decoder).fit(windows.load(), y)
    flat = windows.load()
    flat[:, 2] = 1.0
    with pytest.raises(BraindecError, match=r"constant in all training windows[\s\S]*c2"):
        clone(decoder).fit(
            Windows.from_arrays(flat, windows.trials, sfreq=SFREQ, channels=list(map("c{}".format, range(6)))), y
        )
    broken = windows.load()
    broken[3, 1, 5] = np.nan
    with pytest.raises(BraindecError, match="not finite"):
        clone(decoder).fit(Windows.from_arrays(broken, windows.trials, sfreq=SFREQ), y)
    fitted = clone(decoder).fit(windows, y)
    with pytest.raises(BraindecError, match="do not fit the decoder"):
        fitted.decision(windows.crop(0.0, 1.9))


@pytest.mark.parametrize("decoder", DECODERS, ids=name_of)
def test_a_doubled_channel_and_fewer_trials_than_channels(decoder):
    windows, y = rhythms(n=24, n_channels=30, depth=0.9)
    X = windows.load()
    doubled = Windows.from_arrays(np.concatenate([X, X[:, :1]], axis=1), windows.trials, sfreq=SFREQ)
    scores = clone(decoder).fit(doubled[:16], y[:16]).decision(doubled[16:])
    assert np.isfinite(scores).all()


def test_a_band_beyond_half_the_sampling_frequency_is_refused():
    windows, y = rhythms(n=24)
    slow = Windows.from_arrays(windows.load(), windows.trials, sfreq=50.0)
    with pytest.raises(BraindecError, match="sampling frequency is too low for the band 24 to 28 Hz"):
        FilterBankCSP().fit(slow, y)
    with pytest.raises(BraindecError, match="sampling frequency is too low"):
        Connectivity().fit(slow, y)
    with pytest.raises(BraindecError, match="half the sampling frequency"):
        R2Selected().fit(slow, y)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "csp", "n_filters": 0}, "n_filters"),
        ({"name": "csp", "cov_shrinkage": 2}, "share"),
        ({"name": "csp", "class_weight": "equal"}, "class_weight"),
        ({"name": "tangent_space", "metric": "rieman"}, "did you mean 'riemann'"),
        ({"name": "filter_bank_csp", "bands": [[12, 8]]}, "rising pair"),
        ({"name": "r2_selected", "runs": "some"}, "all, best"),
        ({"name": "r2_selected", "band": [30, 8]}, "rising pair"),
        ({"name": "connectivity", "measure": "plv"}, "imaginary_coherence"),
        ({"name": "adaptive_q", "preset": "huge"}, "tiny, base"),
        ({"name": "adaptive_q", "epsilon": 3}, "epsilon"),
    ],
)  # fmt: skip
def test_settings_are_refused_before_anything_runs(settings, words):
    validate = options_of("decoders", needs="decision").func
    with pytest.raises(ValueError, match=words):
        validate(settings)
    validate({"name": settings["name"]})
    assert settings["name"] in registry.names("decoders")


@pytest.mark.slow
@pytest.mark.parametrize(
    "decoder", [CSP(1), R2Selected(n_features=2, order=6), FilterBankCSP(BANDS, n_filters=1, n_features=1)], ids=name_of
)
def test_p_values_hold_their_level(decoder):
    """Noise in runs of unlike loudness: p <= 0.05 in 3 to 7 % (1 to 9 % of 150 to be safe from chance)."""
    hits, n = 0, 150
    for seed in range(n):
        rng = np.random.default_rng([seed, 3])
        X = rng.normal(size=(24, 4, 60)) * np.repeat([1.0, 2.0, 0.5], 8)[:, None, None]
        y = np.concatenate([rng.permutation(np.repeat(["a", "b"], 4)) for _ in range(3)])
        windows = Windows.from_arrays(
            X.astype("float32"), {"trial_type": y, "run": np.repeat(list("123"), 8)}, sfreq=100.0
        )
        found = cross_validate(decoder, windows, y, split_by(windows, "run"), metrics=["balanced_accuracy"], controls=[],
                               n_permutations=19, n_bootstrap=100, seed=seed)  # fmt: skip
        hits += float(found.scores["p"].iloc[0]) <= 0.05
    assert 0.01 <= hits / n <= 0.09, hits
