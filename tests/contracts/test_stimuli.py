"""Every name of loaders.stimuli: the same bytes again, finite, as long as the stimulus, cut into segments, empty input refused."""

import inspect

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.errors import BraindecError
from braindec.loaders.synthetic_speech import made_up_story
from braindec.types import Recording, Segments

NAMES = registry.names("loaders.stimuli")
OF_EVENTS, OF_FILMS = (
    {"words": "words", "phonemes": "phonemes"},
    ("motion_energy", "luminance", "contrast", "film_frames"),
)
RATE = 20.0


@pytest.fixture(scope="module")
def story():
    return made_up_story(n_sentences=1)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "conv_dim": (8,) * 7,
    }
    Wav2Vec2Model(Wav2Vec2Config(**sizes, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)).save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def make(story, network):
    """The stimulus that a name takes, an empty one, its options, and how long it is in s."""

    def of(name):
        if name in OF_FILMS:
            film = np.random.default_rng(0).integers(0, 256, size=(50, 12, 16, 3), dtype=np.uint8)
            small = {"size": 8, "spatial": (0.0, 2.0)} if name == "motion_energy" else {}
            return film, film[:0], {"frame_rate": 10.0, **small}, 5.0
        if name in OF_EVENTS:
            table = getattr(story, OF_EVENTS[name])
            return table, table.iloc[:0], {"duration": story.duration}, story.duration
        options = {"model": network, "layers": (1,)} if name == "speech_model" else {}
        return (story.sound, story.sfreq), (story.sound[:0], story.sfreq), options, story.duration

    return of


def test_there_are_the_names_that_are_promised():
    assert {"log_mel", "envelope", "onsets", "phonemes", "words", "speech_model", "motion_energy"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_series_is_right_and_the_same_again(name, make):
    function = registry.get("loaders.stimuli", name)
    stimulus, _, options, duration = make(name)
    series = function(stimulus, sfreq=RATE, **options)
    assert isinstance(series, Recording) and series.sfreq == RATE
    assert series.n_times == int(np.ceil(duration * RATE - 1e-6))
    values = series.load()
    assert values.dtype == np.float32 and np.isfinite(values).all() and values.std() > 0
    assert set(series.channels["type"]) == {"misc"} and set(series.channels["unit"]) == {"a.u."}
    assert series.info["modality"] == "misc" and series.info["feature"] == name and series.info["content"]
    assert function(stimulus, sfreq=RATE, **options).info == series.info
    np.testing.assert_array_equal(function(stimulus, sfreq=RATE, **options).load(), values)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_keep_the_length_and_blocks_that_overlap_are_refused(name, make):
    function = registry.get("loaders.stimuli", name)
    stimulus, _, options, duration = make(name)
    blocks = pd.DataFrame({"start": [0.0, 1.03], "stop": [1.03, duration]})
    series = function(stimulus, sfreq=RATE, blocks=blocks, **options)
    assert series.n_times == int(np.ceil(duration * RATE - 1e-6)) and np.isfinite(series.load()).all()
    with pytest.raises(BraindecError, match="overlap"):
        function(stimulus, sfreq=RATE, blocks=[(0.0, 1.0), (0.5, 1.5)], **options)


@pytest.mark.parametrize("name", NAMES)
def test_segments_are_cut_from_it_and_it_is_saved(name, make, tmp_path):
    stimulus, _, options, _ = make(name)
    series = registry.get("loaders.stimuli", name)(stimulus, sfreq=RATE, **options)
    items = pd.DataFrame({"stimulus_id": ["a", "b"], "audio": "x", "start": [0.2, 1.0]})
    pieces = Segments.cut({"x": series}, items, duration=0.5)
    assert pieces.shape == (2, series.n_channels, 10)
    np.testing.assert_array_equal(pieces.of(["b"])[0], series.load()[:, 20:30])
    again = series.save(tmp_path / "series.h5")
    np.testing.assert_array_equal(again.load(), series.load())
    assert again.info["settings"] == series.info["settings"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_empty_or_makes_no_sense_is_refused(name, make):
    function = registry.get("loaders.stimuli", name)
    stimulus, empty, options, _ = make(name)
    for wrong in (empty, None, 3):
        with pytest.raises(BraindecError):
            function(wrong, sfreq=RATE, **options)
    with pytest.raises(BraindecError, match="sfreq"):
        function(stimulus, sfreq=0.0, **options)
    parameters = inspect.signature(function).parameters
    assert next(iter(parameters)) in ("sound", "events", "film") and "blocks" in parameters and "sfreq" in parameters
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[1:])
