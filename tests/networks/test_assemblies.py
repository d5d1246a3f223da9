"""The assembly calculus does what was published: projection converges, association, merge, completion; any seed, one result."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.networks.assemblies import Assemblies, overlap

SIZE = {"k": 100, "p": 0.05, "beta": 0.1}


def brain(areas="A", stimuli=("s", "t"), n=10_000, **changes):
    return Assemblies(dict.fromkeys(areas, n), stimuli, **{**SIZE, **changes})


@pytest.mark.parametrize("plasticity", ["hebb", "oja", "stdp"])
@pytest.mark.parametrize("seed", [0, 1])
def test_projection_converges_and_the_stimulus_recalls_its_assembly(plasticity, seed):
    b = brain(plasticity=plasticity, seed=seed)
    got = b.project("s", "A", steps=25)
    assert got.converged and got.support[-1] < 4 * b.k, "the support stops growing after a few times k"
    assert got.new[0] == b.k and got.kept[-1] == 1.0
    assert overlap(b.project("s", "A", steps=4, plastic=False).assembly, got.assembly) > 0.9


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_stimuli_have_their_own_assemblies(seed):
    b = brain(seed=seed)
    one, two = (b.project(s, "A", steps=10).assembly for s in ("s", "t"))
    assert overlap(one, two) < 0.05
    again = [b.project(s, "A", steps=4, plastic=False).assembly for s in ("s", "t")]
    assert overlap(one, again[0]) > 0.9 and overlap(two, again[1]) > 0.9


def test_without_plasticity_the_support_goes_on_growing():
    still = brain(beta=0.0).project("s", "A", steps=25)
    assert not still.converged
    assert still.support[-1] > 1.5 * brain().project("s", "A", steps=25).support[-1]


def test_stronger_plasticity_converges_sooner():
    support = [brain(beta=beta, seed=2).project("s", "A", steps=30).support[-1] for beta in (0.05, 0.1, 0.3)]
    assert support[0] > support[1] > support[2]


@pytest.mark.parametrize("plasticity", ["hebb", "oja", "stdp"])
def test_association_raises_the_overlap(plasticity):
    b = brain(plasticity=plasticity, seed=3)
    for s in ("s", "t"):
        b.project(s, "A", steps=10)
    found = []
    for steps in (0, 20, 30):
        if steps:
            b.associate("s", "t", "A", steps=steps)
        found.append(overlap(*(b.project(s, "A", steps=5, plastic=False).assembly for s in ("s", "t"))))
    assert found[0] < 0.05 and found[-1] > 0.5 and found[1] <= found[2] + 0.02


@pytest.mark.parametrize("plasticity", ["hebb", "stdp"])
def test_merge_makes_an_assembly_that_either_parent_fires(plasticity):
    b = brain("ABC", plasticity=plasticity, seed=1)
    parents = {"A": b.project("s", "A").assembly, "B": b.project("t", "B").assembly}
    for area, assembly in parents.items():
        b.set_firing(area, assembly)
    merged = b.merge("A", "B", "C", steps=20)
    assert merged.converged
    assert all(overlap(b.firing[a], x) > 0.8 for a, x in parents.items()), "the parents stay what they were"
    for area, assembly in parents.items():
        b.set_firing(area, assembly)
        assert overlap(b.project(area, "C", steps=4, plastic=False).assembly, merged.assembly) > 0.9
    unmerged = brain("ABC", plasticity=plasticity, seed=1)
    alone = []
    for area, s in (("A", "s"), ("B", "t")):
        unmerged.project(s, area)
        alone.append(unmerged.project(area, "C", steps=10).assembly)
    assert overlap(*alone) < 0.2, "without the merge the two have different assemblies there"


def test_reciprocal_projection_fires_back():
    b = brain("AB", ("s",), seed=4)
    b.project("s", "A")
    back = b.reciprocal("A", "B", steps=20)
    parent = b.firing["A"]
    b.set_firing("A", [])
    b.set_firing("B", back.assembly)
    b.fire({"B": ["A"]}, 1, plastic=False)
    assert overlap(b.firing["A"], parent) > 0.8
    b.set_firing("B", np.arange(100))
    b.fire({"B": ["A"]}, 1, plastic=False)
    assert overlap(b.firing["A"], parent) < 0.2, "any other neurons of B do not"


def test_a_part_of_an_assembly_brings_back_the_whole():
    b = brain(seed=5)
    assembly = b.project("s", "A", steps=30).assembly
    found = [overlap(b.complete("A", assembly, fraction=f), assembly) for f in (0.05, 0.3, 0.5)]
    assert found[1] > 0.9 and found[2] > 0.9 and found[0] <= found[1]
    untrained = brain(seed=5)
    first = untrained.project("s", "A", steps=1).assembly
    assert overlap(untrained.complete("A", first, fraction=0.5), first) < 0.3, (
        "the first winners alone complete nothing"
    )


def test_hebbian_weights_within_an_assembly_are_the_closed_form():
    b = brain(seed=6)
    got = b.project("s", "A", steps=20)
    stable = int(np.argmax(got.kept == 1.0)) + 1
    always = b.weight("s", "A", range(b.k), got.assembly)
    assert 1.1 ** (20 - stable) <= always <= 1.1**20 * (1 + 1e-12)
    never = np.setdiff1d(np.arange(2000), got.assembly)
    assert b.weight("A", "A", never[:20], never) == 1.0


def test_oja_weights_stay_below_their_top_and_silent_ones_fade():
    b = brain(plasticity="oja", top=4.0, beta=0.5, seed=7)
    got = b.project("s", "A", steps=40)
    assert b.weight("s", "A", range(b.k), got.assembly) == pytest.approx(4.0, rel=1e-2)
    silent = b.weight("t", "A", range(b.k), got.assembly)
    assert silent == 1.0, "a fibre that is not in use does not change"
    rest = np.setdiff1d(np.arange(3000), got.assembly)[:100]
    faded = b.weight("A", "A", rest, got.assembly)
    assert faded < 0.1, "synapses of silent neurons in a fibre that is in use fade"


def test_oja_stays_finite_over_very_many_steps():
    b = brain(n=300, k=20, p=0.3, plasticity="oja", beta=0.9, top=2.0, seed=8)
    b.project("s", "A", steps=400)
    assert b.weight("s", "A", range(20), b.firing["A"]) == pytest.approx(2.0, rel=1e-6)


def test_same_seed_same_assemblies_and_the_connectome_does_not_depend_on_the_past():
    a, b, c = brain(seed=9), brain(seed=9), brain(seed=10)
    assert np.array_equal(a.project("s", "A").assembly, b.project("s", "A").assembly)
    assert overlap(a.firing["A"], c.project("s", "A").assembly) < 0.1
    d = brain(seed=9)
    d.project("t", "A", steps=2, plastic=False)
    fibre = [x._fibre("s", "A").row(3)[0] for x in (a, d)]
    assert np.array_equal(*fibre)


def test_synapses_have_the_asked_probability():
    fibre = brain(n=20_000, p=0.02)._fibre("A", "A")
    counts = np.array([len(fibre.row(i)[0]) for i in range(50)])
    assert abs(counts.mean() - 400) < 4 * np.sqrt(400 / 50)
    assert all(len(np.unique(fibre.row(i)[0])) == len(fibre.row(i)[0]) and i not in fibre.row(i)[0] for i in range(50))


def test_large_areas_are_quick():
    b = Assemblies({"A": 100_000}, ["s"], k=100, p=0.01, beta=0.1)
    assert b.project("s", "A", steps=20).converged


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Assemblies({"A": 50}, k=100), "more neurons"),
        (lambda: Assemblies({"A": 500}, ["A"]), "different names"),
        (lambda: Assemblies({"A": 500}, plasticity="heb"), "hebb"),
        (lambda: Assemblies({"A": 500}, p=1.5), "p lies outside"),
        (lambda: Assemblies({"A": 500}, beta=-0.1), "beta lies outside"),
        (lambda: brain().project("x", "A"), "no area or stimulus"),
        (lambda: brain().fire({"s": ["s"]}), "no area or stimulus"),
        (lambda: brain().fire({"s": ["A"]}, 0), "steps=0"),
        (lambda: brain().complete("A", [1, 2, 3], fraction=0.0), "share"),
        (lambda: brain().set_firing("A", [10_000]), "no such neurons"),
        (lambda: overlap([], [1]), "without neurons"),
    ],
)
def test_wrong_input_is_one_clear_error(call, words):
    with pytest.raises(BraindecError, match=words):
        call()
