"""Where recordings are found, and what is said when they are not."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.cards import load_card
from braindec.loaders.source import Source, open_source
from braindec.types import Recording, Windows


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Arrays of two subjects, and a card for them."""
    monkeypatch.delenv("BRAINDEC_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "home" / "study"
    folder.mkdir(parents=True)
    for s in ("01", "02"):
        np.save(folder / f"sub-{s}_X.npy", np.random.default_rng(0).normal(size=(6, 3, 20)).astype(np.float32))
        np.save(folder / f"sub-{s}_y.npy", np.arange(6) % 2)
    (tmp_path / "study.yaml").write_text(
        "{name: study, title: t, modality: eeg, licence: CC0, citation: c, folder: study, "
        "how_to_obtain: Write to the owners., reader: {name: arrays, options: "
        "{X: 'sub-{subject}_X.npy', y: 'sub-{subject}_y.npy', sfreq: 20}}, facts: {n_windows: 12, n_channels: 3}}"
    )
    return tmp_path


def test_a_card_by_data_home(study):
    source = open_source(study / "study.yaml", data_home=study / "home")
    assert (
        isinstance(source, Source)
        and source.subjects() == ["01", "02"]
        and source.modality == "eeg"
        and source.name == "study"
    )
    windows = source.windows("02")
    assert isinstance(windows, Windows) and windows.shape == (6, 3, 20)
    assert [p.name for p in source.files("02")] == ["sub-02_X.npy", "sub-02_y.npy"]
    with pytest.raises(BraindecError, match="already cut"):
        source.recordings("02")
    about = source.describe()
    assert about["licence"] == "CC0" and about["subjects"] == ["01", "02"]


def test_all_ways_to_say_where(study, monkeypatch):
    card = study / "study.yaml"
    for options in (
        {"root": study / "home" / "study"},
        {"root": study / "home"},
        {"root": "home/study"},
        {"root": "home"},
    ):
        assert open_source(card, **options).root.resolve() == study / "home" / "study"
    monkeypatch.setenv("BRAINDEC_DATA", str(study / "home"))
    assert open_source(card).root == study / "home" / "study"
    assert open_source(root="study", reader="arrays", options={"X": "sub-{subject}_X.npy", "sfreq": 20}).subjects() == [
        "01",
        "02",
    ]
    monkeypatch.delenv("BRAINDEC_DATA")
    (study / "home").rename(study / "data")
    assert (
        open_source(card).root == study / "data" / "study"
        or open_source(card).root.resolve() == study / "data" / "study"
    )


def test_data_that_are_not_there(study, monkeypatch):
    with pytest.raises(BraindecError) as caught:
        open_source(study / "study.yaml")
    said = str(caught.value)
    assert (
        str(study / "data" / "study") in said and "Write to the owners." in said and "BRAINDEC_DATA is not set" in said
    )
    monkeypatch.setenv("BRAINDEC_DATA", str(study / "nowhere"))
    with pytest.raises(BraindecError, match="nowhere/study"):
        open_source(study / "study.yaml")
    with pytest.raises(BraindecError, match="did you mean 'home'"):
        open_source(root="hom", reader="arrays")
    with pytest.raises(BraindecError, match="which recordings"):
        open_source()


def test_subjects_that_are_not_there(study):
    source = open_source(study / "study.yaml", root="home")
    with pytest.raises(BraindecError, match="no subject '3'.*\n.*allowed: 01, 02"):
        source.load("3")
    assert source.windows("sub-01") is not None


def test_options_are_checked_against_the_reader(study):
    with pytest.raises(BraindecError, match="did you mean 'sfreq'"):
        open_source(study / "study.yaml", root="home", options={"sfrq": 20})
    with pytest.raises(BraindecError, match="needs sfreq"):
        open_source(root="home/study", reader="arrays", options={"X": "a.npy"})
    with pytest.raises(BraindecError, match="did you mean 'arrays'"):
        open_source(root="home/study", reader="array")
    assert open_source(study / "study.yaml", root="home", options={"sfreq": 40}).windows("01").sfreq == 40


def test_a_card_object_and_a_reader_found_by_content(study, shared):
    assert open_source(load_card(study / "study.yaml"), root="home").card.title == "t"
    source = open_source(root=shared("muse-p300"))
    assert (
        source.reader == "bids"
        and source.subjects() == ["01", "02", "03", "05"]
        and source.card is None
        and source.modality == "eeg"
    )
    recordings = source.recordings("02")
    assert len(recordings) == 8 and all(isinstance(r, Recording) for r in recordings) and source.windows("02") is None
    assert source.recordings("02") is not recordings or recordings == source.recordings("02")


def test_spikes_are_no_recordings(tmp_path):
    np.savez(tmp_path / "s.npz", times=np.arange(5.0), unit=np.zeros(5, int), time_unit="s")
    source = open_source(root=tmp_path / "s.npz")
    assert source.reader == "spikes"
    with pytest.raises(BraindecError, match="bin_width"):
        source.recordings("s")
    assert open_source(root=tmp_path / "s.npz", options={"bin_width": 1.0}).recordings("s")[0].n_channels == 1
