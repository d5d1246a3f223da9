"""Every atlas card: it can be read, it says its licence and how to get it, and nothing in it is made up."""

from __future__ import annotations

import re

import pytest

from braindec import registry
from braindec.errors import BraindecError
from braindec.loaders.atlases import fetch_atlas, load_atlas_card, names, open_atlas

REQUIRED = {
    "schaefer2018", "hcp-mmp1", "harvard-oxford", "destrieux2009", "wang2015", "fedorenko-language", "lana2022", "aal",
}  # fmt: skip


def test_cards_that_must_be_there():
    assert set(names()) >= REQUIRED


@pytest.mark.parametrize("name", names())
def test_card_is_whole(name):
    card = load_atlas_card(name)
    text = registry.file("atlases", ".yaml", name).read_text(encoding="utf8")
    assert text.startswith("# ") and len(text.splitlines()[0]) > 20, (
        "the first line is what `braindec list atlases` shows"
    )
    assert card.title and card.licence and card.citation and card.how_to_obtain and card.url.startswith("https://")
    assert card.doi is None or re.fullmatch(r"10\.\d{4,}/\S+", card.doi)
    assert str(card).startswith(f"{card.name}: ")


@pytest.mark.parametrize("name", names())
def test_every_form_names_its_files_space_and_names(name):
    card = load_atlas_card(name)
    for form in card.every_form():
        for file in form.files:
            assert "{" not in file.path and (file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256))
            assert (file.url is not None) == (card.access == "open"), (
                "addresses only where the licence lets us download"
            )
        endings = {"volume": (".nii", ".nii.gz"), "cifti": (".dlabel.nii",), "surface": (".annot", ".gii", ".mgz")}[
            form.kind
        ]
        assert all(p.endswith(endings) for p in form.labels)
        own = form.kind in ("cifti",) or all(p.endswith((".annot", ".gii")) for p in form.labels)
        assert own or form.table or form.names, "label volumes hold no names: a table does"
        assert len(form.labels) == 1 or all(re.search(r"[./_](lh|rh)[._]", "/" + p) for p in form.labels)


@pytest.mark.parametrize("name", names())
def test_what_is_not_here_is_told_with_the_way_to_get_it(name, tmp_path):
    card = load_atlas_card(name)
    for form in card.forms:
        with pytest.raises(BraindecError) as error:
            open_atlas(name, form=form, home=tmp_path)
        assert str(tmp_path) in str(error.value) and card.how_to_obtain.strip() in str(error.value)
    if card.access != "open":
        with pytest.raises(BraindecError) as error:
            fetch_atlas(name, home=tmp_path, progress=False)
        assert card.how_to_obtain.strip() in str(error.value) and card.licence in str(error.value)
