"""A made-up film: what is planted can be found again, interactions are not linear, events pair what is shown and said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders.movie_events import movie_events, nearest_rows
from braindec.loaders.synthetic_movie import SITE_TYPES, made_up_movie, movie_models, movie_recordings
from braindec.signal.electrodes import check_electrodes


@pytest.fixture(scope="module")
def film():
    return made_up_movie(duration=300.0, seed=1)


def explained(X, y):
    """Share of the variance of y that columns explain, adjusted for their number."""
    X = np.column_stack([np.ones(len(X)), X])
    left = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    n, p = X.shape
    return 1 - (left @ left / (n - p)) / y.var(ddof=1)


def test_the_interaction_is_no_linear_function_of_vision_and_language(film):
    long = made_up_movie(duration=2400.0, seed=2)
    both = np.concatenate([long.vision, long.language], axis=1)[::40]  # every 2 s
    for k in range(long.interaction.shape[1]):
        assert explained(both, long.interaction[::40, k]) < 0.05
    product = long.vision[:, :4] * long.language[:, :4]
    assert all(explained(product[::40], long.interaction[::40, k]) > 0.99 for k in range(4))


def test_scenes_last_and_what_is_said_goes_with_what_is_shown(film):
    lag = round(1.0 / 0.05)
    slow = [np.corrcoef(film.vision[:-lag, k], film.vision[lag:, k])[0, 1] for k in range(6)]
    assert 0.5 < np.mean(slow) < 0.95

    def together(strength):
        made = made_up_movie(duration=2400.0, together=strength, seed=3)
        rows = made.at(made.sentences["onset"].to_numpy())
        said = np.stack([made.text[t] for t in made.sentences["text_id"]])
        return np.mean([explained(made.vision[rows], said[:, k]) for k in range(6)])

    assert together(0.0) < 0.02 < 0.3 < together(0.8)


def test_every_type_of_electrode_follows_what_it_should(film):
    long = made_up_movie(duration=900.0, seed=1)
    recordings, truth = movie_recordings(long, n_subjects=2, snr=3.0, seed=4)
    assert set(truth.sites["type"]) == set(SITE_TYPES) and len(recordings) == 2
    parts = {
        "vision": long.vision,
        "language": long.language,
        "multimodal": long.interaction,
        "low_level": long.low_level,
    }
    recording = recordings[0]
    at = np.arange(5.0, 880.0, 0.5)
    signal = recording.signal.read(np.arange(recording.n_channels), 0, recording.n_times)
    own = truth.sites[truth.sites["subject"] == "01"].reset_index(drop=True)
    shares = {kind: [] for kind in SITE_TYPES}
    for i, site in own.iterrows():
        y = signal[i, np.round((at + 5.0 + site["lag"]) * recording.sfreq).astype(int)]
        shares[site["type"]].append([explained(x[long.at(at)], y) for x in parts.values()])
    mean = pd.DataFrame({k: np.mean(v, axis=0) for k, v in shares.items()}, index=list(parts))
    assert mean.loc["vision", "vision"] > 0.4 and mean.loc["language", "language"] > 0.4
    assert mean.loc["low_level", "low_level"] > 0.4 and (mean["none"] < 0.05).all()
    assert mean.loc["multimodal", "multimodal"] > 0.2 and mean.loc["multimodal", "linear"] < 0.05
    assert mean.loc["vision", "linear"] > 0.2 and mean.loc["language", "linear"] > 0.2
    assert list(truth.planted("01")) == list(own["type"] == "multimodal")
    assert check_electrodes(recording, template=True, all_of_them=True).is_template


def test_models_read_what_they_are_named_after(film):
    models = movie_models(film, noise=0.3, interaction_noise=0.3, seed=0)
    events = film.events()
    rows = film.at(events["movie_time"].to_numpy())
    column = {"vision": "frame_id", "language": "text_id", "multimodal": "stimulus_id"}

    def reads(name, role, target):
        return explained(models.features[name].of(events[column[role]]), target)

    said = np.stack([film.text[t] for t in events["text_id"]])
    product = film.vision[rows, 0] * said[:, 0]
    assert reads("vision_a", "vision", film.vision[rows, 0]) > 0.75 > 0.1 > reads("vision_a", "vision", product)
    assert reads("language_a", "language", said[:, 0]) > 0.75 > 0.1 > reads("language_a", "language", product)
    assert reads("multimodal", "multimodal", product) > 0.6
    assert reads("multimodal_random", "multimodal", product) < 0.1
    assert reads("vision_b", "vision", film.vision[rows, 0]) < reads("vision_a", "vision", film.vision[rows, 0])
    assert set(models.random) <= set(models.roles) and set(models.random.values()) <= set(models.features)


def test_the_same_seed_gives_the_same_bytes(film):
    again = made_up_movie(duration=300.0, seed=1)
    assert again.vision.tobytes() == film.vision.tobytes() and again.words.equals(film.words)
    one, two = (movie_recordings(film, n_subjects=1, seed=5)[0][0] for _ in range(2))
    rows = np.arange(one.n_channels)
    assert one.signal.read(rows, 0, 500).tobytes() == two.signal.read(rows, 0, 500).tobytes()
    other = made_up_movie("other", duration=300.0, seed=1)
    assert not np.array_equal(other.vision, film.vision)


def test_words_get_the_nearest_frame_and_cuts_the_nearest_sentence(film):
    table = film.events(start=7.0)
    assert (table["onset"] - table["movie_time"]).round(9).eq(7.0).all() and table["onset"].is_monotonic_increasing
    at = film.frames["onset"].to_numpy()
    words = table[table["trial_type"] == "word"].head(50)
    for word in words.itertuples():
        best = np.abs(at - word.movie_time).min()
        mine = at[film.frames["frame_id"].tolist().index(word.frame_id)]
        assert abs(mine - word.movie_time) <= best + 1e-9
    begin = film.sentences["onset"].to_numpy()
    end = begin + film.sentences["duration"].to_numpy()
    for cut in table[table["trial_type"] == "cut"].itertuples():
        away = np.maximum(np.maximum(begin - cut.movie_time, cut.movie_time - end), 0)
        mine = film.sentences["text_id"].tolist().index(cut.text_id)
        assert away[mine] <= away.min() + 1e-9
    assert table["stimulus_id"].is_unique


def test_a_cut_in_silence_has_no_sentence(film):
    cuts = pd.DataFrame({"onset": [12.0, 90.0], "duration": 0.0})
    sentences = pd.DataFrame({"onset": [10.0], "duration": [1.0], "text_id": ["s"]})
    table = movie_events(film.words.head(3), cuts, frames=film.frames, sentences=sentences)
    assert table.loc[table["trial_type"] == "cut", "movie_time"].tolist() == [12.0]


def test_nearest_rows_equals_a_search():
    rng = np.random.default_rng(0)
    begins, times = rng.uniform(0, 100, 40), rng.uniform(-10, 110, 300)
    found = nearest_rows(begins, times)
    assert np.allclose(np.abs(begins[found] - times), np.abs(begins[:, None] - times).min(axis=0))


def test_wrong_numbers_and_tables_are_refused(film):
    for call in (
        lambda: made_up_movie(duration=10.0),
        lambda: made_up_movie(together=1.0),
        lambda: movie_models(film, noise=-1.0),
        lambda: movie_models(film, n_units=3),
        lambda: movie_recordings(film, n_subjects=0),
        lambda: movie_recordings(film, n_shafts=9),
        lambda: movie_recordings(film, plan={"vision": 0}),
    ):
        with pytest.raises(BraindecError):
            call()
    with pytest.raises(BraindecError, match="multimodal"):
        movie_recordings(film, plan={"multimodel": 3})
    with pytest.raises(BraindecError, match="table of frames"):
        movie_events(film.words, film.cuts, frames=film.words, sentences=film.sentences)
