"""Running text: documents of a file or folder, as text or as bytes in chunks that a network of tokens reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braindec.errors import BraindecError, UnreadableError

__all__ = ["BEGIN", "byte_chunks", "read_documents", "split_documents"]

BEGIN = 256  # the token that stands before the first byte of a chunk; bytes are 0 to 255
_SUFFIXES = (".txt", ".md", ".text")


def read_documents(path: str | Path) -> list[str]:
    """Read documents: paragraphs (parted by an empty line) of a text file, or of all text files in a folder.

    Parameters
    ----------
    path : str or Path
        A UTF-8 file, or a folder of .txt, .md or .text files.

    Raises
    ------
    UnreadableError
        If nothing is there, a file is not UTF-8 text, or there is no text in it.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UnreadableError(f"{path} is not there", fix="name a text file or a folder of them")
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix.lower() in _SUFFIXES)
    documents = []
    for file in files:
        try:
            text = file.read_text(encoding="utf8")
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableError(
                f"{file} cannot be read as text", found=str(error)[:100], fix="save it as UTF-8"
            ) from error
        if "\0" in text:
            raise UnreadableError(f"{file} is not text", found="a byte of zero", fix="save it as UTF-8 text")
        documents += [part.strip() for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]
    if not documents:
        raise UnreadableError(f"{path} holds no text", found=f"{len(files)} files", allowed=", ".join(_SUFFIXES))
    return documents


def split_documents(
    documents: Sequence[str], *, test: float = 0.2, validation: float = 0.1, seed: int = 0
) -> tuple[list[str], list[str], list[str]]:
    """Part documents into training, validation and test; documents with the same text go the same way, once each.

    Raises
    ------
    BraindecError
        If a part would hold fewer than two documents.
    """
    own = list(dict.fromkeys(documents))
    order = np.random.default_rng(seed).permutation(len(own))
    n_test, n_validation = round(test * len(own)), round(validation * len(own))
    if min(n_test, n_validation, len(own) - n_test - n_validation) < 2:
        raise BraindecError(
            "there are too few different documents to train, stop and test on", found=f"{len(own)}",
            fix="give more text; documents are paragraphs, parted by an empty line",
        )  # fmt: skip
    edges = np.split(order, [len(own) - n_test - n_validation, len(own) - n_test])
    train, valid, held_out = ([own[i] for i in part] for part in edges)
    return train, valid, held_out


def byte_chunks(documents: Sequence[str], n_times: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut documents into chunks of ``n_times`` bytes, each after :data:`BEGIN`.

    Parameters
    ----------
    documents : sequence of str
    n_times : int
        Bytes a chunk; the last one of a document may hold fewer.

    Returns
    -------
    tokens : array of int64, shape (n_chunks, n_times + 1)
        :data:`BEGIN`, then bytes; -1 behind the end of a document.
    document : array of int64, shape (n_chunks,)
        Which document each chunk is from.
    """
    rows, which = [], []
    for i, text in enumerate(documents):
        values = np.frombuffer(text.encode("utf8"), dtype=np.uint8).astype(np.int64)
        for first in range(0, len(values), n_times):
            part = values[first : first + n_times]
            rows.append(np.concatenate([[BEGIN], part, np.full(n_times - len(part), -1)]))
            which.append(i)
    return np.array(rows, dtype=np.int64).reshape(-1, n_times + 1), np.array(which, dtype=np.int64)
