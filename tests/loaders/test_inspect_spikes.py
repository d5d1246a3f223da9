"""A first look at files of spikes: what is in them, and a cohort file for the recipe that decodes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.config import parse_yaml
from braindec.engine import load_recipe
from braindec.errors import BraindecError
from braindec.loaders.inspect import first_guess, inspect
from braindec.loaders.readers.spikes import save_spikes
from braindec.types import Spikes


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    return Spikes.from_trains([np.sort(rng.uniform(0, 20, 100)), np.sort(rng.uniform(0, 20, 50)), []], start=0, stop=20)


def test_a_file_of_spikes(made, tmp_path):
    save_spikes(made, tmp_path / "a.npz")
    found = inspect(tmp_path / "a.npz")
    assert found.reader == "spikes" and found.table["n_channels"].tolist() == [3] and "150 spikes" in str(found)
    assert any("no spike" in f.message for f in found.findings)
    guess = first_guess(found)
    settings = parse_yaml(guess, "guess")
    assert settings["recipe"] == "spike_statistics" and "no events" in guess.lower()  # nothing could be decoded
    (tmp_path / "cohort.yaml").write_text(guess)
    assert load_recipe("spike_statistics").config(str(tmp_path / "cohort.yaml"), []).trials is None


def test_a_folder_of_kilosort(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "spike_times.npy", np.sort(rng.integers(0, 600_000, 200)))
    np.save(tmp_path / "spike_clusters.npy", rng.integers(0, 3, 200))
    (tmp_path / "params.py").write_text("sample_rate = 30000.\n")
    (tmp_path / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tgood\n2\tnoise\n")
    found = inspect(tmp_path)
    assert found.reader == "phy" and found.table["n_channels"].tolist() == [2]


def test_events_become_classes(made, tmp_path):
    save_spikes(made, tmp_path / "a.npz")
    events = pd.DataFrame({"onset": np.arange(1.0, 19.0), "duration": 0.4, "trial_type": ["left", "right"] * 9})
    events.to_csv(tmp_path / "events.tsv", sep="\t", index=False)
    from braindec.loaders import inspect as module

    seen = module._Look(tmp_path / "a.npz", "spikes")
    seen.add("a", [tmp_path / "a.npz"], lambda: made.with_events(events))
    guess = first_guess(module._finish(seen))
    settings = parse_yaml(guess, "guess")
    assert settings["events"] == {"column": "trial_type", "classes": ["left", "right"]}
    config = load_recipe("spike_decoding")
    (tmp_path / "cohort.yaml").write_text(guess)
    assert config.config(str(tmp_path / "cohort.yaml"), []).counts.width == pytest.approx(0.08)


def test_a_folder_of_text_is_told_which_reader(tmp_path):
    (tmp_path / "u1.txt").write_text("1.0\n")
    with pytest.raises(BraindecError, match="spike_text"):
        inspect(tmp_path)
