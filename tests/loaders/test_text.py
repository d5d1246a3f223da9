"""Documents of files and folders, parts of them, bytes in chunks."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.text import BEGIN, byte_chunks, read_documents, split_documents


def test_paragraphs_of_files(tmp_path):
    (tmp_path / "a.txt").write_text("One.\nStill one.\n\n\nTwo – ü.\n", encoding="utf8")
    (tmp_path / "b.md").write_bytes(b"Three.\r\n\r\nFour.")
    (tmp_path / "c.csv").write_text("no text")
    assert read_documents(tmp_path) == ["One.\nStill one.", "Two – ü.", "Three.", "Four."]
    assert read_documents(tmp_path / "b.md") == ["Three.", "Four."]


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff\xfe\x00a", "cannot be read"), (b"a\0b", "not text"), (b" \n\n ", "holds no text")]
)
def test_what_is_no_text(tmp_path, content, said):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(BraindecError, match=said):
        read_documents(tmp_path / "a.txt")
    with pytest.raises(BraindecError, match="is not there"):
        read_documents(tmp_path / "nothing")


def test_parts_share_no_text():
    documents = [f"text {i % 20}" for i in range(60)]  # each stands there three times
    parts = split_documents(documents, test=0.25, validation=0.2, seed=3)
    assert [len(p) for p in parts] == [11, 4, 5] and len(set().union(*parts)) == 20
    assert parts == split_documents(documents, test=0.25, validation=0.2, seed=3)
    with pytest.raises(BraindecError, match="too few different"):
        split_documents(["same"] * 100)


def test_chunks_hold_every_byte_once():
    documents = ["abcdefg", "é", "xyz"]
    tokens, document = byte_chunks(documents, 3)
    assert document.tolist() == [0, 0, 0, 1, 2] and (tokens[:, 0] == BEGIN).all()
    for i, text in enumerate(documents):
        values = tokens[document == i, 1:].ravel()
        assert bytes(values[values >= 0].tolist()).decode() == text
    assert tokens[2].tolist() == [BEGIN, ord("g"), -1, -1]
    assert byte_chunks([], 4)[0].shape == (0, 5)
    assert tokens.dtype == np.int64
