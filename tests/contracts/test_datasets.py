"""Every card: it can be read, its reader takes its options, and its facts are those of the data, where these are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from braindec import registry
from braindec.loaders import _options
from braindec.loaders.cards import difference, load_card, names
from braindec.loaders.fetch import checksum
from braindec.loaders.source import measure, open_source

ROOT = Path(__file__).resolve().parents[2]
HOMES = [
    Path(h)
    for h in (os.environ.get("BRAINDEC_DATA"), os.environ.get("BRAINDEC_SHARED", str(ROOT.parent / "shared")) + "/data")
    if h
]
REQUIRED = {
    "muse-p300",
    "eeg_p300_bi2012_s01",
    "eeglab-sample",
    "n400-words",
    "meg_hand_movement_direction",
    "haxby-slice",
    "ecog-grip",
    "muse-ssvep",
    "ieeg_ecog_stn_force_features",
    "fedorenko2016",
    "blank2014",
    "tuckute2024",
    "little-prince",
    "natural-stories",
    "mous",
    "broderick2018",
    "brennan2019",
    "armeni2022",
    "du-in",
    "braintreebank",
    "bci-iv-2a-moabb",
    "eegcvpr40",
    "eeg_mi_eegmmi_s001_imagery",
    "langloc",
    "pereira2018",
    "lebel-ds003020",
    "narratives",
    "things-eeg2",
    "things-meg",
    "gwilliams-meg-masc",
    "bci-iv-2a",
    "haxby2001",
    "nsd",
    "fmri_digits69_images",
    "god",
    "bold5000",
    "things-fmri",
    "algonauts2023",
    "algonauts2025",
    "hcp7t-movie",
}


def home_of(card):
    return next((h for h in HOMES if (h / card.folder).exists()), None)


def test_cards_that_must_be_there():
    assert set(names()) >= REQUIRED


@pytest.mark.parametrize("name", names())
def test_card_is_whole(name):
    card = load_card(name)
    assert card.licence and card.citation and card.how_to_obtain and (card.url or "").startswith("http")
    text = registry.file("datasets", ".yaml", name).read_text(encoding="utf8")
    assert text.startswith("# ") and len(text.splitlines()[0]) > 10, (
        "the first line is what `braindec list datasets` shows"
    )
    if card.reader is not None:
        module = registry.load_module("loaders.readers", card.reader.name)
        _options.bind(module.load, card.reader.options)
    for file in card.files:
        assert file.url is None or file.sha256 is not None, "a file that is downloaded has a checksum"


@pytest.mark.parametrize("name", names())
def test_facts_are_those_of_the_data(name):
    card = load_card(name)
    home = home_of(card)
    if home is None:
        pytest.skip(f"{name} is not here")
    for file in card.files:
        path = home / card.folder / file.path
        assert path.stat().st_size == file.bytes and checksum(path) == file.sha256
    if card.reader is None:  # no recordings: a connectome, a list of sentences
        return
    source = open_source(name, data_home=home)
    assert difference(card.facts, measure(source, card.facts)) == []
    for subject in source.subjects():
        paths = source.files(subject)
        assert paths and all(p.exists() for p in paths)


def test_the_computed_column_of_bi2012_is_left_out(shared):
    shared("eeg_p300_bi2012_s01")
    import numpy as np

    card = load_card("eeg_p300_bi2012_s01")
    home = home_of(card)
    kept = open_source(card, data_home=home).recordings("01")[0].load().astype(float)
    everything = open_source(card, data_home=home, options={"drop": []}).recordings("01")[0].load().astype(float)
    assert np.linalg.matrix_rank(np.corrcoef(kept)) == 16
    assert len(everything) == 17 and everything.sum(axis=0).std() < 1e-2 * everything.std(axis=1).min()
