"""Tables with one row a volume: what a file must hold, and which rows belong to a run."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.volume_tables import confounds_of, table_of
from braindec.types import Recording

NUMBERS = "1 2\n3 4\n5 6\n7 8\n9 10\n"


def run(n=5):
    channels = pd.DataFrame({"name": ["v0"], "type": "voxel"})
    return Recording(np.zeros((1, n)), 0.5, channels, info={"subject": "01", "run": "1"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", NUMBERS.encode()),
        ("a.txt", NUMBERS.replace("\n", "\r\n").encode()),
        ("a.txt", b"\xef\xbb\xbf" + NUMBERS.encode()),
        ("é {run}.par", b"# x y\n" + NUMBERS.encode()),
        ("a.tsv", ("x\ty\n" + NUMBERS.replace(" ", "\t")).encode()),
    ],
)
def test_the_numbers_of_every_form(tmp_path, name, content):
    (tmp_path / name.replace("{run}", "1")).write_bytes(content)
    values, names = table_of(run(), name, tmp_path)
    assert values.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]] and len(names) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "not a table of numbers"),
        ("a.txt", b"1 2\n3\n", "not a table of numbers"),
        ("a.txt", bytes(range(256)), "not a table of numbers"),
        ("a.tsv", b"x\ty\n1\tq\n", "not a table of numbers"),
        ("a.tsv", b"", "not a table of numbers"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError, match=message):
        table_of(run(), name, tmp_path)


def test_rows_must_cover_the_volumes(tmp_path):
    (tmp_path / "1.txt").write_text(NUMBERS * 2, encoding="utf8")
    assert len(table_of(run(), "1.txt", tmp_path)[0]) == 5  # the whole image, of which this is a run
    with pytest.raises(BraindecError, match="does not cover the volumes"):
        table_of(run(), "{run}.txt", tmp_path)
    with pytest.raises(BraindecError, match="does not cover the volumes"):
        table_of(run(11), "1.txt", tmp_path)
    for path in (None, ""):
        with pytest.raises(BraindecError, match="needs the path of a text file"):
            table_of(run(), path, tmp_path)
    with pytest.raises(BraindecError, match="there is no table"):
        table_of(run(), "2.txt", tmp_path)
    with pytest.raises(BraindecError, match="comes from no image"):
        confounds_of(run())
