"""What twins of recordings are made of: noise with a known spectrum, responses that add up, rhythms over known places, and published steps."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.evaluate.audit import audit
from braindec.evaluate.published import published_records, published_step
from braindec.evaluate.splits import split_by
from braindec.loaders._twin_evoked import background, make_sensors, place
from braindec.loaders._twin_imagery import CLASSES, EEG, imagery_run, places
from braindec.loaders.twins.eegcvpr40 import _blocks
from braindec.types import Windows


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_background_has_the_spectrum_that_is_asked_for(exponent):
    noise = background(np.random.default_rng(0), 60, 4000, sfreq=100.0, exponent=exponent, shared=0.0)
    assert np.allclose(noise.std(axis=1), 1)
    power = (np.abs(np.fft.rfft(noise)) ** 2).mean(axis=0)
    frequency = np.fft.rfftfreq(4000, 0.01)
    used = (frequency > 0.5) & (frequency < 45)
    slope = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


def test_shared_noise_correlates_channels():
    own, shared = (
        background(np.random.default_rng(1), 20, 5000, sfreq=100.0, exponent=0.0, shared=s) for s in (0.0, 0.8)
    )
    off = ~np.eye(20, dtype=bool)
    assert np.abs(np.corrcoef(own)[off]).mean() < 0.02 < 0.3 < np.abs(np.corrcoef(shared)[off]).mean()


def test_responses_add_up_where_they_overlap():
    sensors = make_sensors(np.random.default_rng(2), 6, 4, sfreq=100.0)
    latents = np.random.default_rng(3).normal(size=(2, 6))
    responses = sensors.respond(latents)
    by_hand = sum(latents[1, k] * np.outer(sensors.topographies[k], sensors.courses[k]) for k in range(6))
    assert np.allclose(responses[1], by_hand)
    signal = np.zeros((4, 90))
    place(signal, responses, np.array([10, 50]))
    assert np.allclose(signal[:, 10:50], responses[0, :, :40]) and np.allclose(
        signal[:, 50:60], responses[0, :, 40:] + responses[1, :, :10]
    )
    assert np.allclose(signal[:, 60:], responses[1, :, 10:40])  # cut at the end of the signal


def test_a_rhythm_is_weaker_over_its_place_while_its_limb_is_imagined():
    rng, n, sfreq = np.random.default_rng(4), 24, 250
    onset = (2 + 6 * np.arange(n)) * sfreq
    for number, name in enumerate(("C4", "C3", "Cz", "FCz")):
        data = imagery_run(rng, np.full(n, number), onset, (2 + 6 * n) * sfreq, sfreq=sfreq, depth=0.7, rhythm=3.0)
        spectrum = np.fft.rfft(data)
        spectrum[
            :, (np.fft.rfftfreq(data.shape[1], 1 / sfreq) < 8) | (np.fft.rfftfreq(data.shape[1], 1 / sfreq) > 14)
        ] = 0
        band = np.fft.irfft(spectrum, n=data.shape[1]) ** 2
        during = np.mean([band[:, s + 200 : s + 900].mean(axis=1) for s in onset], axis=0)
        before = np.mean([band[:, s - 400 : s + 50].mean(axis=1) for s in onset], axis=0)
        least, there = int(np.argmin(during / before)), EEG.index(name)
        assert (
            np.linalg.norm(places()[least] - places()[there]) <= 1
            and (during / before)[there] < 0.6
            and CLASSES[number]
        )


def test_places_of_the_cap():
    where = dict(zip(EEG, places().tolist(), strict=True))
    assert (
        where["Cz"] == [0, 0]
        and where["C3"] == [-2, 0]
        and where["C4"] == [2, 0]
        and where["FC1"] == [-1, 1]
        and where["POz"] == [0, -3]
    )


def test_blocks_of_a_class_never_touch():
    for seed in range(20):
        classes = _blocks(np.random.default_rng(seed), 5, 4)
        assert (np.diff(classes) != 0).all() and (np.bincount(classes) == 4).all()


def test_published_steps_are_records_of_the_rows_they_saw():
    rng = np.random.default_rng(5)

    def part(subject, **info):
        return Windows.from_arrays(
            rng.normal(size=(8, 2, 5)),
            {"run": list("11112222"), "trial_type": list("abababab")},
            sfreq=10.0,
            subject=subject,
            **info,
        )

    first, second = part("1", **published_step("whitening", "it saw all trials")), part("2")
    windows = Windows.concat([first, second])
    (record,) = published_records(windows)
    assert record.step == "whitening" and record.purpose == "fit" and record.ids.tolist() == windows.ids[:8].tolist()
    assert published_records(second) == [] and first.recordings[0].info["warnings"] == ["it saw all trials"]
    both = Windows.concat(
        [
            part("1", **published_step("choice", "x", purpose="selection")),
            part("2", **published_step("choice", "x", purpose="selection")),
        ]
    )
    (one,) = published_records(both)
    assert len(one.ids) == 16 and one.purpose == "selection"
    assert audit(both, split_by(both, "run"), checks=["test_selection"]).level == "fail"
