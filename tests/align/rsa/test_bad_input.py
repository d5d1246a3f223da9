"""What users of dissimilarity matrices do wrong: one clear error each."""

import numpy as np
import pytest

from braindec.align.cka import cka, cka_test
from braindec.align.rsa.by_units import rdms_by_units
from braindec.align.rsa.ceilings import noise_ceiling
from braindec.align.rsa.compare import compare
from braindec.align.rsa.rdm import RDMs, compute_rdm
from braindec.align.rsa.read_rdms import read_rdms
from braindec.errors import BraindecError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((8, 5)), RNG.standard_normal((8, 6))
NAMES = [f"c{i}" for i in range(8)]
CELLS = RNG.random((3, 28))
SQUARE = RDMs(CELLS, NAMES).square()


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: RDMs.from_square(1 - SQUARE, NAMES), "differs from itself"), (lambda: RDMs.from_square(np.full((8, 8), np.inf), NAMES), "finite"),
     (lambda: RDMs(CELLS * np.inf, NAMES), "finite"), (lambda: RDMs(CELLS, None), "differ in number"), (lambda: RDMs(CELLS, [np.nan, *NAMES[1:]]), "no name"),
     (lambda: RDMs(np.full((3, 28), "a"), NAMES), "real numbers"), (lambda: RDMs(CELLS + 1j, NAMES), "real numbers"),
     (lambda: compute_rdm(X + 1j), "real numbers"), (lambda: compute_rdm(np.full((3, 3), "a")), "real numbers"), (lambda: compute_rdm(X, measure=None), "has no 'None'"),
     (lambda: compute_rdm(X, conditions=[np.nan, *NAMES[1:]]), "no condition"), (lambda: compute_rdm(X, noise="x", measure="mahalanobis"), "is numbers"),
     (lambda: compute_rdm(X, measure="crossnobis", conditions=NAMES[:4] * 2, runs=[np.nan] * 4 + [1] * 4), "no run"), (lambda: compute_rdm(X, table=[1]), "table says"),
     (lambda: compare(CELLS, CELLS), "as RDMs"), (lambda: noise_ceiling(CELLS), "of RDMs"), (lambda: compare(RDMs(CELLS, NAMES), RDMs(CELLS, NAMES), comparator=None), "has no 'None'"),
     (lambda: rdms_by_units(X, "layer"), "need Features"), (lambda: cka(X, Y, equal_units=True, n_draws=0), "at least once"), (lambda: cka(X, Y, equal_units="a"), "at least once"),
     (lambda: cka(X, Y, batch=4.5), "batch=4.5"), (lambda: cka(X, Y, bandwidth="a"), "positive"), (lambda: cka(X + 1j, Y), "real numbers"),
     (lambda: cka_test(X, Y, groups=NAMES), "group of its own"), (lambda: cka_test(X, Y, n_permutations=-1), "makes no null"), (lambda: cka(np.eye(8)[:, :1], Y), "only one of them"),
     (lambda: read_rdms(None), "no file"), (lambda: read_rdms("x.npy", fields=()), "x.npy cannot be found")],
)  # fmt: skip
def test_one_clear_error(make, says):
    with pytest.raises(BraindecError, match=says):
        make()


def test_a_diagonal_that_is_missing_is_fine():
    square = SQUARE.copy()
    square[:, range(8), range(8)] = np.nan
    np.testing.assert_array_equal(RDMs.from_square(square, NAMES).values, CELLS)


def test_files(tmp_path):
    six = SQUARE[0, :6, :6]  # 6 x 6 could be read as 6 matrices of 4 conditions
    np.save(tmp_path / "one.npy", six)
    np.testing.assert_array_equal(read_rdms(tmp_path / "one.npy").square()[0], six)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    (tmp_path / "text.npy").write_text("x")
    np.save(tmp_path / "four.npy", np.zeros((2, 2, 2, 2)))
    for name in ("objects", "text", "four"):
        with pytest.raises(BraindecError, match=f"{name}.npy"):
            read_rdms(tmp_path / f"{name}.npy")
    with pytest.raises(BraindecError, match="fields name"):
        read_rdms(tmp_path / "one.npy", fields=())
