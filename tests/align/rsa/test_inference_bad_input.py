"""What users of inference, partitions, searchlights and models of geometries do wrong: one clear error each."""

import numpy as np
import pandas as pd
import pytest

from braindec.align.rsa.bootstrap import bootstrap_rsa
from braindec.align.rsa.compare import compare
from braindec.align.rsa.inference import infer
from braindec.align.rsa.language import model_rdms, nuisance_rdms, region_rdms
from braindec.align.rsa.models import Fixed, Select, Weighted
from braindec.align.rsa.noise import noise_from_repeats, noise_from_residuals
from braindec.align.rsa.partial import partial_rsa
from braindec.align.rsa.partition import variance_partition
from braindec.align.rsa.permutation import condition_orders, permutation_test
from braindec.align.rsa.rdm import RDMs
from braindec.align.rsa.read_rdms import read_rdms
from braindec.align.rsa.searchlight import Neighbours, coordinates_of, searchlight, spheres
from braindec.align.rsa.time_resolved import cells_by_time, time_resolved_rdms, time_resolved_rsa
from braindec.errors import BraindecError

RNG = np.random.default_rng(0)
NAMES = [f"c{i}" for i in range(10)]


def rdms(n, column, n_conditions=10):
    cells = RNG.random((n, n_conditions * (n_conditions - 1) // 2))
    return RDMs(cells, NAMES[:n_conditions], pd.DataFrame({column: [f"{column}{i}" for i in range(n)]}))


M, D, C = rdms(3, "model"), rdms(4, "subject"), rdms(2, "model")
C.table["model"] = ["length", "place"]
GAP = RDMs(np.where(np.arange(45) == 3, np.nan, D.values), NAMES, D.table)
FLAT = RDMs(np.ones((4, 45)), NAMES, D.table)
ORDERS = condition_orders(10, n=20)
X, PLACES = RNG.standard_normal((10, 20)), RNG.random((20, 3))
ITEMS = pd.DataFrame({"stimulus_id": NAMES, "text": ["a b", "c"] * 5})


def with_table(**columns):
    return RDMs(D.values, NAMES, pd.DataFrame(columns))


def about(models=M, data=D, **options):
    return infer(models, data, **{"permutations": 20, "n": 20, **options})


def part(models=M, data=D, confounds=C, **options):
    return partial_rsa(models, data, confounds, **{"permutations": 20, **options})


def split(models=M, data=D, **options):
    return variance_partition(models, data, **{"permutations": 20, **options})


def look(models=M, neighbours=None, **options):
    return searchlight(X, models, neighbours=neighbours or spheres(PLACES, radius=1.0), conditions=NAMES, **options)


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: about(M.values), "RDMs, or a list of models"), (lambda: about(data=D.values), "given as RDMs"), (lambda: about(None), "RDMs, or a list"),
     (lambda: about(Fixed("a", M.values[0])), "RDMs, or a list"), (lambda: about(["a"]), "found:   str"), (lambda: about([Fixed("a", np.arange(36.0))]), "36 and 45"),
     (lambda: about(data=GAP), "4 missing, in 4 of 4"), (lambda: about(rdms(3, "model", 8)), "same conditions"), (lambda: about(M[M.table["model"] == "x"]), "no matrices among"),
     (lambda: about(n=0), "n=0"), (lambda: about(n="a"), "n='a'"), (lambda: about(permutations=-1), "permutations=-1"), (lambda: about(permutations=2.5), "permutations=2.5"),
     (lambda: about(level=95), "level=95"), (lambda: about(level=np.nan), "level=nan"), (lambda: about(seed=None), "seed=None"), (lambda: about(method="bootstraps"), "method='bootstraps'"),
     (lambda: about(subject="subjct"), "did you mean 'subject'"), (lambda: about(by="regoin"), "no column 'regoin'"), (lambda: about(by=3), "by=3"), (lambda: about(condition_groups="a"), "condition_groups"),
     (lambda: about(strata=[1, 2]), "strata says"), (lambda: about(condition_groups=[np.nan] * 10), "none missing"), (lambda: about(data=with_table(subject=["a", None, "b", "c"])), "1 of 4 matrices have no subject"),
     (lambda: about(data=with_table(subject=list("abcd"), region=["x", "x", "y", None])), "have no region"), (lambda: about(rdms(2, "model", 4), rdms(3, "subject", 4)), "at least 5"),
     (lambda: Select("a", ["x"]), "cells of matrices"), (lambda: Select("a", np.ones((1, 3, 3))), "cells of matrices"), (lambda: Select("a", M.values, "xyz"), "list of names"), (lambda: Weighted.of("a", M.values), "given as RDMs"),
     (lambda: part(confounds=M.values), "confounds are given as RDMs"), (lambda: part(confounds=None), "confounds are given"), (lambda: part(level=2), "level=2"), (lambda: part(confounds=GAP), "cell of the confounds"),
     (lambda: part(seed=-1), "seed=-1"), (lambda: part(condition_groups=[1]), "each of 10"), (lambda: split(M.values), "given as RDMs"), (lambda: split(sets=["a"]), "named lists"), (lambda: split(bootstrap="condition"), "did you mean"),
     (lambda: split(data=FLAT), "same everywhere"), (lambda: split(permutations="a"), "permutations='a'"), (lambda: bootstrap_rsa(M, D), "rdms.values"), (lambda: bootstrap_rsa(M.values, D.values[:0]), "1 or more"),
     (lambda: bootstrap_rsa(M.values, D.values, method="x"), "method='x'"), (lambda: condition_orders(10, n=-1), "n=-1"), (lambda: condition_orders("a", n=5), "n_conditions='a'"),
     (lambda: permutation_test(M.values, [], orders=ORDERS), "0 cells"), (lambda: permutation_test(M.values, [D.values], orders=ORDERS + 1), "every condition once"),
     (lambda: permutation_test(M.values, [D.values], orders=ORDERS, shares=[np.ones(2)]), "a weight a matrix"), (lambda: permutation_test(M.values, D.values, orders=ORDERS), "one array"),
     (lambda: look(models=None), "given as RDMs"), (lambda: look(neighbours=[[0, 1]]), "which units belong"), (lambda: look(min_units="a"), "min_units='a'"), (lambda: Neighbours.from_lists([[-1, 0]]), "each once"),
     (lambda: Neighbours.from_lists([[0, 0]]), "each once"), (lambda: Neighbours.from_lists(None), "one list"), (lambda: spheres("a", radius=1), "finite array"), (lambda: spheres(PLACES, radius="a"), "radius='a'"),
     (lambda: spheres(PLACES[:0], radius=1), "finite array"), (lambda: coordinates_of(pd.DataFrame({"i": ["a"], "j": ["b"], "k": ["c"]})), "place of every voxel"),
     (lambda: searchlight(np.ones((10, 20)), M, neighbours=spheres(PLACES, radius=1.0), conditions=NAMES), "do not vary"), (lambda: look().on_units(3), "beyond these units"),
     (lambda: time_resolved_rdms([1]), "one call a subject"), (lambda: time_resolved_rsa(None, M), "found:   NoneType"), (lambda: time_resolved_rsa([D.values], M), "found:   ndarray"),
     (lambda: cells_by_time([D, D[:2]], M), "different times"), (lambda: noise_from_residuals("a"), "real numbers"), (lambda: noise_from_residuals(X, dof="a"), "dof='a'"), (lambda: noise_from_residuals(X, dof=99), "99 of 10"),
     (lambda: noise_from_repeats(X, None), "one label"), (lambda: noise_from_repeats(X, [np.nan] * 10), "none missing"), (lambda: model_rdms(None), "need Features"), (lambda: nuisance_rdms(None), "a table"),
     (lambda: nuisance_rdms(ITEMS, "txet"), "did you mean 'text'"), (lambda: nuisance_rdms(ITEMS, group="stimulus"), "no column 'stimulus'"), (lambda: nuisance_rdms(ITEMS.assign(text=[None] + ["a"] * 9)), "1 of 10 items have no text"),
     (lambda: region_rdms(None, NAMES), "list of Windows"), (lambda: region_rdms([], NAMES), "none"), (lambda: compare(RDMs(M.values - 0.5, NAMES), D, comparator="bures"), "cells below 0")],
)  # fmt: skip
def test_one_clear_error(make, says):
    with pytest.raises(BraindecError, match=says):
        make()


def test_a_list_of_names_holds_only_names_that_are_there():
    with pytest.raises(BraindecError, match="model='modle1'; did you mean 'model1'"):
        M.where(model=["model0", "modle1"])


def test_files(tmp_path):
    with pytest.raises(BraindecError, match="no folder"):
        M.save(tmp_path / "a" / "x.h5")
    for call in (lambda: M.save(None), lambda: RDMs.open(None), lambda: read_rdms(tmp_path / "x.npy", fields=None)):
        with pytest.raises(BraindecError):
            call()
    M.save(tmp_path / "m.h5")
    with pytest.raises(BraindecError, match="names its own"):
        read_rdms(tmp_path / "m.h5", conditions=["a"])


def test_one_subject_has_fitted_models_with_intervals():
    """Resamples that hold too few conditions, and ceilings that one subject never has, leave the others."""
    found = infer([Select("a", M.values)], D[[0]], n=20, permutations=0).decoded
    assert np.isfinite(found[["value", "low", "high", "p"]].to_numpy(dtype=float)).all()
