"""Simulated word reading: what was planted is there, and nothing else."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.synthetic_word_reading import synthetic_word_reading
from braindec.signal.regions import region_groups
from braindec.signal.windows import make_windows

TINY = {"n_subjects": 2, "n_words": 6, "n_runs": 2, "n_repetitions": 4, "n_speech_runs": 1, "speech_duration": 20.0}


@pytest.fixture(scope="module")
def made():
    return synthetic_word_reading(**TINY)


def test_design(made):
    assert list(made.reading) == ["01", "02"] and [len(made.reading[s]) for s in made.reading] == [2, 2]
    run = made.reading["01"][0]
    assert run.events["text"].value_counts().tolist() == [4] * 6 and set(run.events["text"]) == set(made.truth.words)
    assert (run.events["stimulus_id"] == run.events["concept_id"]).all() and np.diff(run.events["onset"]).min() > 1.4
    speech = made.speech["01"][0]
    assert not len(speech.events) and speech.duration == pytest.approx(20.0) and speech.info["task"] == "speech"
    assert run.ch_names == speech.ch_names and run.info["line_freq"] == 50.0
    assert all("".join(parts) == word and len(set(parts)) == 3 for word, parts in made.truth.words.items())
    assert np.allclose(made.truth.preferences.sum(axis=1), 1)


def test_regions_and_shafts(made):
    run = made.reading["01"][0]
    groups = region_groups(run)
    assert {"vSMC", "STG", "IFG", "insula", "visual"} == set(groups) and not groups.unknown
    table = made.truth.contacts[made.truth.contacts["subject"] == "01"]
    for name, rows in groups.items():
        assert set(table["group"].to_numpy()[rows]) == {name}
    assert set(table.loc[table["informative"], "group"]) == {"vSMC", "STG"}
    assert (
        made.truth.informative("01") == table.loc[table["informative"], "name"].tolist() != made.truth.informative("02")
    )
    apart = np.linalg.norm(np.diff(run.positions[:6], axis=0), axis=1)
    assert np.allclose(apart, apart[0]) and 0.003 < apart[0] < 0.008


def test_same_seed_same_bytes_and_one_subject_as_among_all(made):
    again = synthetic_word_reading(**TINY, only=["02"])
    assert list(again.reading) == ["02"]
    assert np.array_equal(again.reading["02"][1].load(), made.reading["02"][1].load())
    assert np.array_equal(again.speech["02"][0].load(), made.speech["02"][0].load())
    other = synthetic_word_reading(**TINY, only=["02"], seed=1)
    assert not np.array_equal(other.reading["02"][1].load(), made.reading["02"][1].load())


def test_means_of_words_differ_where_it_was_planted(made):
    windows = make_windows(made.reading["01"], tmin=0.0, tmax=1.2, column="text")
    data, y = windows.load(), windows.trials["text"].to_numpy()
    means = np.stack([data[y == w].mean(axis=0) for w in np.unique(y)])
    noise = np.stack([data[y == w].var(axis=0, ddof=1) for w in np.unique(y)]).mean(axis=0) / 8
    f = (means.var(axis=0, ddof=1) / noise)[:, 90:350].mean(axis=1)
    informative = np.isin(windows.ch_names, made.truth.informative("01"))
    order = (f[informative][:, None] > f[~informative]).mean()
    assert order > 0.97 and np.median(f[informative]) > 1.8 and f[~informative].mean() == pytest.approx(1.1, abs=0.15)


def test_silence():
    quiet = synthetic_word_reading(**{**TINY, "slow": 0.0, "high_gamma": 0.0, "n_subjects": 1})
    assert not quiet.truth.informative("01")
    half = synthetic_word_reading(**{**TINY, "n_subjects": 1, "n_speech_runs": 0}, silent_groups=("STG",))
    assert (
        set(half.truth.contacts.loc[half.truth.contacts["informative"], "group"]) == {"vSMC"}
        and half.speech["01"] == []
    )


def test_mains_and_the_falling_spectrum(made):
    x = made.reading["01"][0].load()
    frequency = np.fft.rfftfreq(x.shape[1], 1 / 350)
    power = (np.abs(np.fft.rfft(x, axis=1)) ** 2).mean(axis=0)

    def at(low, high):
        return power[(frequency >= low) & (frequency < high)].mean()

    assert at(49.9, 50.1) > 20 * at(46, 49) and at(2, 4) > 5 * at(20, 40) and 5e-6 < x.std() < 2e-4


def test_free_speech_can_be_of_other_syllables():
    own = synthetic_word_reading(**{**TINY, "n_subjects": 1})
    other = synthetic_word_reading(**{**TINY, "n_subjects": 1}, shared_syllables=False)
    assert np.array_equal(own.reading["01"][0].load(), other.reading["01"][0].load())
    assert not np.array_equal(own.speech["01"][0].load(), other.speech["01"][0].load())


@pytest.mark.parametrize(
    "wrong",
    [
        {"sfreq": 200.0},
        {"slow": -1.0},
        {"n_words": 1},
        {"jitter": 0.5},
        {"silent_groups": ("IFG",)},
        {"only": ["09"]},
        {"n_runs": 0},
    ],
)
def test_refusals(wrong):
    with pytest.raises(BraindecError):
        synthetic_word_reading(**{**TINY, **wrong})
