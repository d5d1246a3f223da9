"""The recipe: planted sites on the page, subjects put together, recordings and features from files."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.loaders._brainvision import save_brainvision
from braindec.loaders._twin_files import save_json, save_tsv
from braindec.loaders.synthetic_movie import made_up_movie, movie_models, movie_recordings
from braindec.report import write_report
from braindec.types import Result

QUICK = ("bins.tmin=0", "bins.tmax=0.75", "bins.step=0.25", "folds.inner=3", "statistics.n_bootstrap=100")


@pytest.fixture
def go(tmp_path):
    def run_it(*settings: str):
        run(load_recipe("seeg_integration_sites"), cohort=None, overrides=[*QUICK, *settings], only=None, jobs=1, scheduler=None,
            out=tmp_path / "out", cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
        return tmp_path / "out"

    return run_it


def row(scores, metric, name="decoded"):
    return scores[(scores["metric"] == metric) & (scores["row"] == name)].iloc[0]


def test_planted_sites_stand_on_the_page(go):
    out = go("simulated.n_subjects=2", "simulated.duration=450", "simulated.snr=1.5")
    for folder in sorted((out / "units").iterdir()):
        found = Result.open(folder)
        share = row(found.scores, "integration_sites")
        assert share["p"] < 0.05 and 3 / 24 <= share["value"] <= 5 / 24 and share["low"] > share["chance"] == 0
        assert row(found.scores, "integration_sites", "untrained")["value"] == 0
        assert row(found.scores, "auc_planted")["value"] > 0.95
        assert row(found.scores, "pearson_lead", "over_concatenation")["low"] > 0
        assert {p["draw"] for p in found.made_by["panels"]} == {"site_map", "site_curves", "region_shares"}
        said = " ".join(found.made_by["answers"])
        assert (
            "sites of integration (Left Superior Temporal Sulcus" in said
            and "0 of 4 that follow vision and language side by side" in said
        )
        assert found.made_by["audit"]["level"] != "fail"
    together = Result.open(out / "summary")
    assert row(together.scores, "integration_sites")["n"] == 2 and len(together.arrays["table/p"]) == 48
    page = write_report(out).read_text(encoding="utf8")
    assert "Where vision meets language" in page and "intersection-union" in page and "cannot be drawn" not in page


def test_without_effect_no_site_is_called(go):
    out = go("simulated.n_subjects=1", "simulated.duration=300", "simulated.snr=0")
    found = Result.open(next((out / "units").iterdir()))
    share = row(found.scores, "integration_sites")
    assert share["value"] == 0 and share["p"] > 0.05 and not (found.scores["metric"] == "pearson_lead").any()
    assert any("no site of integration" in a for a in found.made_by["answers"])
    assert "no site" in write_report(out).read_text(encoding="utf8")


@pytest.fixture
def files(tmp_path):
    """A subject in BIDS (BrainVision, electrodes in MNI space) and features of every model as files."""
    film = made_up_movie(duration=400.0, seed=7)
    models = movie_models(film, seed=7)
    recording = movie_recordings(
        film, n_subjects=1, snr=1.5, seed=7, plan={"multimodal": 3, "linear": 3, "none": 3}, sfreq=20.0
    )[0][0]
    folder, base = tmp_path / "bids" / "sub-01" / "ieeg", "sub-01_task-film"
    data = recording.signal.read(np.arange(recording.n_channels), 0, recording.n_times)
    save_brainvision(folder / f"{base}_ieeg.vhdr", data, recording.ch_names, recording.sfreq, [])
    save_json(tmp_path / "bids" / "dataset_description.json", {"Name": "film", "BIDSVersion": "1.10.0"})
    save_json(folder / f"{base}_ieeg.json", {"SamplingFrequency": recording.sfreq, "TaskName": "film"})
    channels = recording.channels
    save_tsv(
        folder / f"{base}_channels.tsv", channels[["name", "region"]].assign(type="SEEG", units="µV", status="good")
    )
    save_tsv(folder / f"{base}_events.tsv", recording.events)
    save_tsv(
        folder / "sub-01_space-MNI152NLin2009cAsym_electrodes.tsv", channels[["name", "x", "y", "z"]].assign(size="n/a")
    )
    save_json(folder / "sub-01_space-MNI152NLin2009cAsym_coordsystem.json",
              {"iEEGCoordinateSystem": "MNI152NLin2009cAsym", "iEEGCoordinateUnits": "m"})  # fmt: skip
    paths = {}
    for name in ("vision_a", "language_a", "multimodal", "multimodal_random", "low_level"):
        paths[name] = tmp_path / f"{name}.h5"
        models.features[name].save(paths[name])
    words = [f"models.{k}.path={v}" for k, v in paths.items()]
    words += [f"models.{k}.role={models.roles[k]}" for k in paths if k in models.roles]
    return tmp_path / "bids", [*words, "models.multimodal.twin=multimodal_random"]


def test_recordings_and_features_from_files(go, files):
    root, words = files
    found = Result.open(next((go(f"data.root={root}", "data.reader=bids", *words) / "units").iterdir()))
    assert row(found.scores, "integration_sites")["value"] == pytest.approx(3 / 9)
    assert found.arrays["table/mapped"].all() and "site_map" in {p["draw"] for p in found.made_by["panels"]}
    assert "planted" not in " ".join(found.made_by["answers"])


def test_what_is_missing_is_named(go, files):
    root, words = files
    with pytest.raises(BraindecError, match="which models"):
        go(f"data.root={root}", "data.reader=bids")
    with pytest.raises(BraindecError, match="no column 'picture'"):
        go(f"data.root={root}", "data.reader=bids", *words, "models.vision_a.column=picture")
