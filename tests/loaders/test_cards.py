"""Cards: everything that is wrong is told at once, with the nearest name."""

from __future__ import annotations

import pytest

from braindec.errors import BraindecError
from braindec.loaders.cards import Card, Facts, difference, load_card, names

GOOD = """
name: mine
title: A study
modality: eeg
licence: CC0
citation: me
how_to_obtain: Ask.
folder: mine
reader: {name: bids, options: {task: rest}}
files: [{path: a/b.vhdr, url: https://example.org/b, bytes: 3}]
facts: {n_channels: 4, sfreq: 256}
"""


def write(tmp_path, text, name="mine"):
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return path


def test_a_card_of_ones_own(tmp_path):
    card = load_card(write(tmp_path, GOOD))
    assert isinstance(card, Card) and card.reader.name == "bids" and card.facts.sfreq == 256.0 and card.n_bytes == 3
    assert card.files[0].sha256 is None and "licence: CC0" in str(card)


def test_all_errors_at_once_with_the_nearest_name(tmp_path):
    text = (
        GOOD.replace("licence", "license")
        .replace("modality: eeg", "modality: egg")
        .replace("name: bids", "name: bidz")
        .replace("sfreq: 256", "sfreqs: x")
        .replace("a/b.vhdr", "../b.vhdr")
        .replace("https:", "ftp:")
    )
    with pytest.raises(BraindecError) as caught:
        load_card(write(tmp_path, text))
    said = str(caught.value)
    for part in (
        "license: unknown; did you mean 'licence'?",
        "licence: is missing",
        "modality:",
        "did you mean 'bids'",
        "sfreqs: unknown; did you mean 'sfreq'?",
        "inside the data folder",
        "must start with https",
    ):
        assert part in said, part


def test_names(tmp_path):
    assert "muse-p300" in names()
    with pytest.raises(BraindecError, match="did you mean 'muse-p300'"):
        load_card("muse-p30")
    with pytest.raises(BraindecError, match="names itself 'mine'"):
        load_card(write(tmp_path, GOOD, name="other"))
    with pytest.raises(BraindecError, match="no file"):
        load_card(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "change, said",
    [("sha256: 12", "64 hexadecimal"), ("bytes: -1", "bytes"), ("path: /etc/passwd", "inside the data folder")],
)
def test_files_that_cannot_be(tmp_path, change, said):
    text = GOOD.replace(
        "files: [{path: a/b.vhdr, url: https://example.org/b, bytes: 3}]",
        f"files: [{{path: x, {change}}}]" if "path" not in change else f"files: [{{{change}}}]",
    )
    with pytest.raises(BraindecError, match=said):
        load_card(write(tmp_path, text))


def test_a_file_that_stands_twice(tmp_path):
    with pytest.raises(BraindecError, match="stand twice: a"):
        load_card(write(tmp_path, GOOD.split("files:")[0] + "files: [{path: a}, {path: a}]\n"))


def test_differences_between_facts_and_data():
    facts = Facts(n_channels=4, sfreq=256.0, events={"a": 3}, space="MNI")
    assert difference(facts, {"n_channels": 4, "sfreq": 256.0001, "events": {"a": 3}, "space": "MNI"}) == []
    said = difference(facts, {"n_channels": 5, "sfreq": 250.0, "events": {"a": 2}})
    assert len(said) == 4 and "the card says 4, the data have 5" in said[0] and "cannot be measured" in said[3]
