"""Twins of speech sets: leaks that are planted are caught, what is planted can be read out, sentences have one name everywhere."""

from __future__ import annotations

import importlib
import time

import numpy as np
import pytest

from braindec.evaluate.audit import audit
from braindec.evaluate.splits import content_split, split_by
from braindec.loaders.source import open_source
from braindec.loaders.synthetic_speech import made_up_story
from braindec.loaders.twin import make_twin
from braindec.signal.speech_windows import shared_content, speech_windows
from braindec.signal.windows import make_windows

NAMES = ("armeni", "brennan", "broderick", "meg_masc", "mous")
SIZES = {"armeni": {"n_sentences": 8}, "brennan": {"n_segments": 3, "n_sentences": 9}, "broderick": {"n_runs": 2, "n_sentences": 6},
         "meg_masc": {"n_sentences": 8, "n_stories": 1}, "mous": {"n_sentences": 8, "n_lists": 0}}  # fmt: skip
CLEAN = {"seed": 2, "n_subjects": 2, "snr": 5.0, "leak": False}
LEAKY_BY = {"armeni": "session", "brennan": "audio", "broderick": "run", "meg_masc": "session", "mous": "audio"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("twins")


def source_of(twin):
    return open_source(twin.dataset, root=twin.root, options=twin.options)


def words_of(twin, subject=None):
    source = source_of(twin)
    recordings = [r for s in ([subject] if subject else source.subjects()) for r in source.recordings(s)]
    windows = make_windows(recordings, tmin=0.0, tmax=0.3, select=["word"])
    trials = windows.trials.assign(stimulus_id=windows.trials["sentence_id"], concept_id=windows.trials["sentence_id"])
    return type(windows)(windows.recordings, windows.index, windows.n_times, trials, windows.tmin)


@pytest.mark.parametrize("name", NAMES)
def test_a_split_that_leaks_fails_on_content(name, folder):
    """Sentences stand on both sides when parts are made of sessions, runs or sounds, in the twin with the leak."""
    twin = make_twin(name, folder / f"{name}-leak", seed=1, n_subjects=1, leak=True, **SIZES[name])
    windows = words_of(twin)
    found = audit(windows, split_by(windows, LEAKY_BY[name]), claim="stimulus_id", checks=["content_overlap"])
    assert found.level == "fail" and any("claimed to be new" in f.message for f in found.of("content_overlap"))
    folds = split_by(windows, "sentence_id", n_folds=2)
    clean = audit(windows, folds, claim="stimulus_id", checks=["content_overlap"])
    assert clean.level == "pass"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_split_passes_without_the_leak(name, folder):
    twin = make_twin(name, folder / f"{name}-clean", **CLEAN, **SIZES[name])
    windows = words_of(twin, source_of(twin).subjects()[0])
    found = audit(windows, split_by(windows, LEAKY_BY[name]), claim="stimulus_id", checks=["content_overlap"])
    assert found.level == "pass", found.table().to_string()


@pytest.mark.parametrize("name", NAMES)
def test_windows_and_names_agree_between_subjects(name, folder):
    twin = make_twin(name, folder / f"{name}-clean", **CLEAN, **SIZES[name])
    source = source_of(twin)
    blocks = "sentence" if name == "mous" else "merged"
    parts = [speech_windows(source.recordings(s), tmin=-0.3, tmax=1.2, blocks=blocks) for s in source.subjects()]
    parts = shared_content(parts)
    one, two = (set(p.trials["stimulus_id"]) for p in parts)
    assert len(one) >= 20 and len(one & two) >= 0.95 * len(one), "a window at the end of a run may be missing"
    splits = [content_split(p, "content_id", test=0.4, validation=0.0) for p in parts]
    tested = [set(p.trials["sentence_id"].iloc[s.test]) for p, s in zip(parts, splits, strict=True)]
    trained = [set(p.trials["sentence_id"].iloc[s.train]) for p, s in zip(parts, splits, strict=True)]
    assert not tested[0] & trained[1] and not tested[1] & trained[0]
    assert set(source.audio()) >= {a for p in parts for a in p.trials["audio"]}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_planted_is_in_the_signal(name, folder):
    """The response that truth predicts correlates with the recording at the planted time, and not with one a second later."""
    twin = make_twin(name, folder / f"{name}-clean", **CLEAN, **SIZES[name])
    source, truth = source_of(twin), twin.truth()
    who = source.subjects()[0]
    recording = source.recordings(who)[0]
    played = recording.events[recording.events["trial_type"] == "sound"].iloc[0]
    key = {"mous": str(int("".join(c for c in str(played["audio"]) if c.isdigit())[-3:]))}.get(
        name, str(played["audio"]).removesuffix(".wav")
    )
    features = truth[f"stories/{key}/latents"].astype(float)
    trfs, seen = truth[f"sub-{who}/trfs"], truth[f"sub-{who}/topographies"] @ truth[f"sub-{who}/mixing"]
    courses = np.stack([np.convolve(f, t) for f, t in zip(features, trfs, strict=True)])
    planted = seen @ (courses / courses.std(axis=1, keepdims=True))
    at = (np.arange(recording.n_times) / recording.sfreq - played["onset"]) * 100
    inside = (at >= 0) & (at < features.shape[1])
    signal = recording.load()[:, inside]

    def match(shift):
        guess = np.stack([np.interp(at[inside] + 100 * shift, np.arange(planted.shape[1]), p) for p in planted])
        return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(signal, guess, strict=True)])

    assert match(0.0) > 0.8 and abs(match(1.0)) < 0.4


def test_subjects_may_have_other_sensors(folder):
    twin = make_twin("meg_masc", folder / "sensors", seed=4, n_sentences=4, n_stories=1, sensors_differ=True)
    source = source_of(twin)
    one, two = (source.recordings(s)[0] for s in source.subjects())
    assert one.n_channels == two.n_channels == 36 and one.ch_names != two.ch_names
    both = [n for n in one.ch_names if n in two.ch_names]
    places = [r.select(both).positions for r in (one, two)]
    assert 1e-4 < np.abs(places[0] - places[1]).max() < 0.03


@pytest.mark.slow
def test_the_twin_of_the_recipe_is_made_in_time(folder):
    """8 subjects and 60 sentences, twice: generous, since the machine may be busy."""
    begin = time.perf_counter()
    twin = make_twin("meg_masc", folder / "recipe", n_subjects=8, n_sentences=60)
    assert time.perf_counter() - begin < 60
    assert len(source_of(twin).subjects()) == 8
    assert made_up_story("lw1_0", n_sentences=15).words["sentence_id"].nunique() == 15


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_says_what_it_assumes(name):
    module = importlib.import_module(f"braindec.loaders.readers.{name}")
    assert module.__all__[0] == "load" and "From memory" in module.__doc__
