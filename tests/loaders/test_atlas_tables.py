"""Tables of labels in every shape they are published in: read alike, told apart by content, odd ones refused."""

from __future__ import annotations

import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.atlases import read_label_table

SHAPES = {
    "tsv": ("dseg.tsv", "index\tname\tcolor\n1\tV1\t#ff0000\n2001\tPrecentral L\t#00ff00\n"),
    "csv": ("names.csv", "Label,Region\n1,V1\n2001,Precentral L\n"),
    "lut": ("LUT.txt", "#No. Label Name: R G B A\n0 Unknown 0 0 0 0\n1   V1   120 18 134 0\n\n2001 Precentral L 60 20 220 0\n"),
    "workbench": ("info.txt", "V1\n1 120 18 134 255\nPrecentral L\n2001 60 20 220 255\n"),
    "aal": ("AAL.xml", "<?xml version='1.0' encoding='ISO-8859-1'?><atlas><data><label><index>1</index><name>V1</name></label>"
            "<label><index>2001</index><name>Precentral L</name></label></data></atlas>"),
    "fsl": ("HO.xml", '<?xml version="1.0"?><atlas><data><label index="0" x="4" y="5" z="6">V1</label>'
            '<label index="2000" x="4" y="5" z="6">Precentral L</label></data></atlas>'),
    "json": ("names.json", '{"1": "V1", "2001": "Precentral L"}'),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("said", [True, False])
def test_every_shape_gives_the_same_names(tmp_path, shape, said):
    name, text = SHAPES[shape]
    (tmp_path / name).write_text(text, encoding="utf8")
    found = read_label_table(tmp_path / name, shape if said else None)
    found.pop(0, None)
    assert found == {1: "V1", 2001: "Precentral L"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "FAG\tPrecentral_L\t2001\nFAD\tPrecentral_R\t2002\n",
            {2001: "Precentral_L", 2002: "Precentral_R"},
        ),  # AAL .txt
        ("1 Precentral_L 1\n2 Precentral_R 2\n", {1: "Precentral_L", 2: "Precentral_R"}),  # AAL3 .nii.txt
        ("% ROI labels\n% 1 - V1v\n% 25 - FEF\n", {1: "V1v", 25: "FEF"}),  # Wang et al. 2015
        ("LH_IFGorb\nLH_IFG\nLH_MFG\n", {1: "LH_IFGorb", 2: "LH_IFG", 3: "LH_MFG"}),  # one name a line
        ("\ufeff1 a2-3\r\n4 b\r\n", {1: "a2-3", 4: "b"}),  # byte-order mark, line ends of Windows
    ],
)
def test_plain_lists(tmp_path, text, expected):
    path = tmp_path / "labels.txt"
    path.write_text(text, encoding="utf8")
    assert read_label_table(path) == expected


def test_other_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"V1": 1, "FFA": 7}')
    assert read_label_table(path) == {1: "V1", 7: "FFA"}
    path.write_text('[{"index": 1, "name": "V1"}, {"index": 7, "name": "FFA"}]')
    assert read_label_table(path) == {1: "V1", 7: "FFA"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "1 V1\n1 V2\n"),  # one label, two names
        ("a.json", '{"V1": "FFA"}'),
        ("a.json", "{"),
        ("a.xml", "<atlas><label><index>1</index>"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY x "y">]><atlas><label><index>1</index><name>&x;</name></label></atlas>'),
        ("a.tsv", "a\tb\n1\t2\n"),
        ("a.txt", ""),
    ],
)
def test_odd_tables_are_refused_by_name(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BraindecError, match=name):
        read_label_table(path)


def test_unknown_format_and_missing_file(tmp_path):
    with pytest.raises(UnreadableError, match="no table"):
        read_label_table(tmp_path / "none.txt")
    (tmp_path / "a.txt").write_text("1 V1\n")
    with pytest.raises(BraindecError, match="did you mean 'pairs'"):
        read_label_table(tmp_path / "a.txt", "pair")


@pytest.mark.parametrize(
    "text", ['<a><label index="x">y</label></a>', "<a><label><index>x</index><name>n</name></label></a>"]
)
def test_labels_without_a_number_are_refused(tmp_path, text):
    path = tmp_path / "names.xml"
    path.write_text(text, encoding="utf8")
    with pytest.raises(UnreadableError, match="a label needs a number"):
        read_label_table(path)
