"""HighGamma: power in bins, permutations, channels, causality."""

import numpy as np
import pytest
from sklearn.base import clone

from braindec.decoders._channel_selection import select_channels
from braindec.decoders.high_gamma import HighGamma, power_windows
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.signal.steps.band_power import log_power
from braindec.types import Windows

SFREQ = 400.0


def windows(n=60, gain=1.5, seed=0, band=100.0):
    """Class "b" has more power at ``band`` Hz from 0.2 to 0.4 s in the third channel; phases are random."""
    rng = np.random.default_rng(seed)
    y = np.tile(["a", "b"], n // 2)
    t = np.arange(200) / SFREQ
    X = 0.5 * rng.normal(size=(n, 4, 200)).astype("float32")
    burst = np.sin(2 * np.pi * band * t + rng.uniform(0, 6, (n, 1))) * ((t >= 0.2) & (t < 0.4))
    X[:, 2] += np.where(y == "b", gain, 0.3)[:, None] * burst
    return Windows.from_arrays(X, {"run": np.repeat(["1", "2", "3"], n // 3)}, sfreq=SFREQ, tmin=-0.05), y


def test_power_is_decoded_and_evoked_averages_are_blind_to_it():
    data, y = windows()
    assert HighGamma().fit(data[:40], y[:40]).score(data[40:], y[40:]) > 0.9
    low, y = windows(band=30.0)
    assert HighGamma().fit(low[:40], y[:40]).score(low[40:], y[40:]) < 0.8


def test_bins_hold_the_mean_power_of_their_samples():
    data, _ = windows(n=6)
    found = power_windows(data, low=90, high=110, width=20, bin_width=0.05)
    assert found.shape == (6, 4, 10) and found.sfreq == pytest.approx(20.0) and found.tmin == data.tmin
    assert np.array_equal(found.ids, data.ids)
    power = np.exp(log_power(data.load(), SFREQ, low=90, high=110, width=20, smooth=1 / SFREQ))
    np.testing.assert_allclose(found.load(), np.log(power.reshape(6, 4, 10, 20).mean(axis=3)), atol=1e-4)
    part = power_windows(data, low=90, high=110, width=20, bin_width=0.05, tmin=0.15, tmax=0.35)
    np.testing.assert_allclose(part.load(), found.load()[:, :, 4:8], atol=1e-6), "filters see the whole window"


def test_patterns_are_where_the_power_is():
    data, y = windows(n=120)
    patterns = np.abs(HighGamma().fit(data, y).patterns()[1])
    channel, place = np.unravel_index(patterns.argmax(), patterns.shape)
    assert channel == 2 and 5 <= place < 9, "0.2 to 0.4 s after onset, windows begin at -0.05 s"


def test_causal_power_of_a_bin_uses_nothing_later():
    data, _ = windows(n=6)
    changed = data.load().copy()
    changed[:, :, 100:] += 3
    other = Windows.from_arrays(changed, {"run": ["1"] * 6}, sfreq=SFREQ)
    a, b = (power_windows(w, causal=True).load() for w in (data, other))
    np.testing.assert_allclose(a[:, :, :5], b[:, :, :5], atol=1e-5)
    assert np.abs(a[:, :, 5] - b[:, :, 5]).max() > 0.1
    data, y = windows()
    assert HighGamma(causal=True).fit(data[:40], y[:40]).score(data[40:], y[40:]) > 0.8


def test_permuted_labels_are_refitted_as_a_plain_fit_would():
    data, y = windows()
    rng = np.random.default_rng(0)
    train, test = data[:40], data[40:]
    Y = np.stack([rng.permutation(y[:40]) for _ in range(3)])
    for options in ({}, {"n_channels": 2}):
        decoder = HighGamma(**options)
        found = decoder.null_decisions(train, Y, test)
        for labels, scores in zip(Y, found, strict=True):
            np.testing.assert_allclose(scores, clone(decoder).fit(train, labels).decision(test), atol=1e-6)


def test_in_cross_validation_with_channels_chosen_inside():
    data, y = windows(n=36)
    splits = split_by(data, "run")[1:]
    found = cross_validate(
        HighGamma(n_channels=2),
        data,
        y,
        splits,
        metrics=["balanced_accuracy"],
        controls=["noise_input"],
        n_permutations=19,
        n_bootstrap=100,
    )
    table = found.scores.set_index("row")
    assert (
        table.loc["decoded", "value"] > 0.9
        and table.loc["decoded", "p"] <= 0.05
        and table.loc["noise_input", "low"] < 0.5
    )
    card = audit(data, splits, y=y, records=found.records, checks=["test_selection", "fit_scope"])
    assert card.level == "pass"


def test_channels_chosen_on_test_windows_are_refused():
    data, y = windows()
    chosen = select_channels(data, y, n_channels=2)
    decoder = HighGamma(channels=chosen).fit(data[:40], y[:40])
    decoder.predict(data[:40])
    with pytest.raises(BraindecError, match="chosen with 20 of 20"):
        decoder.predict(data[40:])
    split = split_by(data, "run")[-1]
    assert audit(data, [split], y=y, records=[(split, decoder.fit_records_)], checks=["test_selection"]).level == "fail"
    by_hand = HighGamma(channels=["ch002"]).fit(data[:40], y[:40])
    assert by_hand.score(data[40:], y[40:]) > 0.8
    assert audit(data, [split], y=y, records=[(split, by_hand.fit_records_)], checks=["test_selection"]).level == "warn"


def test_refusals():
    data, y = windows(n=12)
    slow = Windows.from_arrays(data.load()[:, :, ::2], {"run": ["1"] * 12}, sfreq=SFREQ / 2)
    with pytest.raises(BraindecError, match="below|half the sampling"):
        HighGamma().fit(slow, y)
    with pytest.raises(BraindecError, match="edges of the band"):
        HighGamma(low=150, high=70).check()
    with pytest.raises(BraindecError, match="reads Windows"):
        HighGamma().fit(data.load(), y)
