"""Reader narratives: which audio file was heard from when on, runs by name; and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders.readers import fmri, narratives
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("narratives") / "a"
    return make_twin("narratives", folder, seed=2, n_subjects=1, n_stories=3, n_volumes=60)


def test_runs(twin):
    source = open_source("narratives", root=twin.root)
    assert source.subjects() == ["001"]
    runs = source.recordings("001")
    assert [r.info["run"] for r in runs] == ["lucy", "pieman-1", "pieman-2", "tunnel"]
    assert all(r.sfreq == pytest.approx(1 / 1.5) and r.channels["type"].eq("voxel").all() for r in runs)
    heard = runs[1].events
    assert heard["trial_type"].tolist() == ["audio", "music", "story"]
    assert heard["stimulus_id"].iloc[0] == "pieman" and heard["stimulus_id"].iloc[1:].isna().all()
    assert heard["onset"].tolist() == [0.0, 0.0, 15.0] and heard["duration"].iloc[0] == 60 * 1.5 - 12
    assert runs[3].events["onset"].tolist() == [3.0, 3.0]
    plain = fmri.load(twin.root, "001", derivatives="derivatives/fmriprep", task="tunnel")[0]
    np.testing.assert_array_equal(plain.load(), runs[3].load())
    assert any(p.name.endswith("events.tsv") for p in source.files("001"))


def test_options_go_to_the_images(twin):
    (run,) = narratives.load(twin.root, "001", task="tunnel", confounds="motion24")
    assert run.info["confounds"] == "motion24" and np.isfinite(run.load()).all()
    (late,) = narratives.load(twin.root, "001", task="tunnel", drop_volumes=4)
    assert late.n_times == run.n_times - 4 and late.events["onset"].iloc[0] == 3.0 - 6.0
    assert narratives.subjects(twin.root, task="lucy") == ["001"]
    with pytest.raises(BraindecError, match="no task 'tunel'.*did you mean 'tunnel'"):
        narratives.load(twin.root, "001", task="tunel")


def test_events_of_all_forms():
    rows = [(4.5, 22.0, "music"), (29.5, 903.0, "story"), (944.5, 22.0, "music"), (969.5, 825.0, "story")]
    table = pd.DataFrame(rows, columns=["onset", "duration", "trial_type"]).assign(stim_file="slumlordreach_audio.wav")
    found = narratives.stimulus_events(table)
    audio = found[found["trial_type"] == "audio"]
    assert len(audio) == 1 and audio["onset"].iloc[0] == 4.5 and audio["duration"].iloc[0] == 969.5 + 825 - 4.5
    schema = pd.DataFrame(
        {"onset": [0.0, 200.0, 400.0], "duration": [180.0] * 3, "trial_type": ["story", "movie", "story"],
         "stim_file": ["shame_audio.wav", None, "vinny_audio.wav"]}
    )  # fmt: skip
    found = narratives.stimulus_events(schema)
    assert found["stimulus_id"].dropna().tolist() == ["shame", "vinny"] and len(found) == 5
    done = schema.assign(stimulus_id="a")
    assert narratives.stimulus_events(done) is done
    with pytest.raises(BraindecError, match="do not say what was heard"):
        narratives.stimulus_events(schema.drop(columns="stim_file"))


def test_bad_input(twin, tmp_path):
    copy = shutil.copytree(twin.root, tmp_path / "copy")
    path = copy / "sub-001" / "func" / "sub-001_task-lucy_events.tsv"
    path.write_text("onset\tduration\ttrial_type\n2.0\t50\tstory\n")
    with pytest.raises(BraindecError, match="sub-001_task-lucy.*do not say what was heard"):
        narratives.load(copy, "001", task="lucy")
    path.unlink()
    (run,) = narratives.load(copy, "001", task="lucy")
    assert not len(run.events) and any("no events.tsv" in w for w in run.info["warnings"])
    with pytest.raises(BraindecError, match="derivatives"):
        narratives.load(copy, "001", derivatives="derivatives/fmriprp")
