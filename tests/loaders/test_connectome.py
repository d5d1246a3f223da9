"""Connectomes from lists and matrices; the worm's as a network: activity spreads along its synapses and not without them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.connectome import GABA_C_ELEGANS, read_connectome

LIST = "pre\tpost\ttype\tsynapses\nA\tB\tchemical\t3\nB\tC\tchemical\t2\nA\tC\telectrical\t1\nC\tmuscle1\tchemical\t9\n"


@pytest.fixture
def edges(tmp_path):
    (tmp_path / "edges.csv").write_text(LIST)
    return tmp_path / "edges.csv"


def test_an_edge_list(edges):
    found = read_connectome(edges, drop=["muscle*"], inhibitory=["B"])
    assert found.names == ["A", "B", "C"] and found.chemical.tolist() == [[0, 3, 0], [0, 0, 2], [0, 0, 0]]
    assert found.electrical.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]] and any("one side" in n for n in found.notes)
    assert found.signed.tolist() == [[0, 3, 0], [0, 0, -2], [0, 0, 0]] and "1 inhibitory" in repr(found)
    more = read_connectome(edges, names=["C", "B", "A", "D"], drop=["muscle1"])
    assert (
        more.chemical[2, 1] == 3
        and any("1 of 4 neurons have no synapse" in n for n in more.notes)
        and more.sign is None
    )
    with pytest.raises(BraindecError, match="signs of these neurons"):
        _ = more.signed
    with pytest.raises(BraindecError, match="there is no neuron"):
        more.index("X")


def test_connections_that_stand_twice_are_added(edges):
    edges.write_text(LIST + "A\tB\tchemical\t4\n")
    found = read_connectome(edges)
    assert found.chemical[0, 1] == 7 and any("more than once" in n for n in found.notes)


def test_commas_work_as_tabs_do(edges):
    edges.write_text(LIST.replace("\t", ","))
    assert read_connectome(edges).chemical.sum() == 14


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (("A\tB\tchemical\t3", "A\tB\tchemical\t-3"), {}, "negative or no numbers"),
        (("A\tB\tchemical\t3", "A\tB\tchemical\tthree"), {}, "'three' in line 2"),
        (("A\tB\tchemical\t3", "A\tB\tchemical\t"), {}, "negative or no numbers"),
        (("A\tB\tchemical", "A\tB\tchemcal"), {}, "did you mean 'chemical'"),
        (("B\tC\tchemical", "\tC\tchemical"), {}, "name no pre neuron"),
        (("synapses", "n"), {}, "no column 'synapses'"),
        (("A", "A"), {"names": ["A", "B", "C"]}, "not among the names"),
        (("A", "A"), {"names": ["A", "A", "B", "C", "muscle1"]}, "stand twice"),
        (("A", "A"), {"drop": ["glia*"]}, "no neuron 'glia"),
        (("A", "A"), {"inhibitory": ["D*"]}, "no neuron is called"),
        ((LIST, ""), {}, "empty"),
        ((LIST, "pre,post,type,synapses\n"), {}, "no connection"),
    ],
)
def test_bad_lists_are_one_clear_error(edges, change, options, said):
    edges.write_text(LIST.replace(*change))
    with pytest.raises((BraindecError, UnreadableError), match=said):
        read_connectome(edges, **options)


def test_matrices(tmp_path):
    path = tmp_path / "c.json"
    good = {"chemical": [[0, 2], [1, 0]], "electrical": [[0, 1], [1, 0]], "chemical_sign": [1, -1]}
    path.write_text(json.dumps(good))
    found = read_connectome(path)
    assert (
        found.names == ["neuron000", "neuron001"]
        and found.signed.tolist() == [[0, 2], [-1, 0]]
        and "does not name" in found.notes[0]
    )
    assert read_connectome(path, names=["A", "B"], drop=["B"]).names == ["A"]
    for change, said in (
        ({"chemical": [[0, 1]]}, "not square"), ({"chemical": [[0, -1], [0, 0]]}, "negative"), ({"chemical": [[0, "x"], [0, 0]]}, "no matrix of numbers"),
        ({"electrical": [[0]]}, "differ in size"), ({"chemical_sign": [1, 0]}, "1 or -1"), ({"chemical": [[0, float("nan")], [0, 0]]}, "not finite"),
    ):  # fmt: skip
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(BraindecError, match=said):
            read_connectome(path)
    path.write_text(json.dumps({"electrical": []}))
    with pytest.raises(UnreadableError, match="no matrix 'chemical'"):
        read_connectome(path)
    path.write_text("{")
    with pytest.raises(UnreadableError, match="not JSON"):
        read_connectome(path)
    path.write_text(json.dumps(good))
    with pytest.raises(BraindecError, match="3 names for 2 neurons"):
        read_connectome(path, names=["A", "B", "C"])


def test_files_of_the_worm(shared):
    folder = shared("connectome_celegans")
    white = read_connectome(
        folder / "aconnectome_white_1986_whole.csv",
        drop=["LegacyBodyWallMuscles", "GLR*", "pm*"],
        inhibitory=GABA_C_ELEGANS,
    )
    assert (
        len(white.names) == 300 and (white.sign < 0).sum() == 26
    )  # 302 without CANL and CANR, which make no synapse there
    matrix = read_connectome(folder / "aconnectome.json")
    assert len(matrix.names) == 300 and (matrix.sign < 0).sum() == 26 and (matrix.chemical > 0).sum() == 2276
    with pytest.raises(UnreadableError, match="no column 'pre'"):
        read_connectome(folder / "esconnectome_monoamines_Bentley_2016.csv")


def worm(connectome, start, *, synapses=True):
    """Leaky neurons at rest, chemical synapses by count and sign, one neuron driven."""
    from braindec.networks.description import CurrentDrive, Network, Population, Projection
    from braindec.networks.rules.from_matrix import FromMatrix

    n = len(connectome.names)
    drive = np.zeros(n)
    drive[[connectome.index(s) for s in start]] = 0.05  # V, far above the 15 mV to threshold
    cells = Population(
        "neurons", n, params={"v_rest": -0.065, "v_reset": -0.065, "v_threshold": -0.050}, initial={"v": -0.065}
    )
    signed = connectome.signed
    parts = [
        Projection("neurons", "neurons", FromMatrix(np.maximum(sign * signed, 0), rows="sources"), weight=sign * 6e-3, delay=1e-3,
                   receptor=receptor, name=receptor)
        for sign, receptor in ((1, "excitatory"), (-1, "inhibitory"))
    ]  # fmt: skip
    return Network([cells], parts if synapses else (), [CurrentDrive("neurons", drive)], dt=1e-4)


def test_the_worm_runs_as_a_network(shared):
    from braindec.networks.simulate import run

    connectome = read_connectome(shared("connectome_celegans") / "aconnectome_white_1986_whole.csv",
                                 drop=["LegacyBodyWallMuscles", "GLR*", "pm*"], inhibitory=GABA_C_ELEGANS)  # fmt: skip
    touch = ["ALML", "ALMR", "AVM"]  # touch of the head
    with_synapses = run(worm(connectome, touch), 0.3, seed=1).spikes
    without = run(worm(connectome, touch, synapses=False), 0.3, seed=1).spikes
    fired = {connectome.names[u] for u in np.unique(with_synapses.unit)}
    assert {connectome.names[u] for u in np.unique(without.unit)} == set(touch)
    assert len(fired) > 20 and set(touch) <= fired
    first = {connectome.names[u]: with_synapses.train(int(u))[0] for u in np.unique(with_synapses.unit)}
    reached = set(touch)  # activity spreads along excitatory synapses only: each neuron fires after one that reaches it
    for name in sorted(first, key=first.get):
        if name not in touch:
            inputs = np.flatnonzero(connectome.signed[:, connectome.index(name)] > 0)
            earlier = [connectome.names[i] for i in inputs if first.get(connectome.names[i], np.inf) < first[name]]
            assert earlier and set(earlier) <= fired
        reached.add(name)
    again = run(worm(connectome, touch), 0.3, seed=1).spikes
    assert np.array_equal(again.times, with_synapses.times)
    cut = connectome.chemical.copy()
    cut[[connectome.index(n) for n in touch]] = 0  # synapses of the driven neurons cut: nothing spreads
    alone = type(connectome)(connectome.names, cut, connectome.electrical, connectome.sign)
    assert {connectome.names[u] for u in np.unique(run(worm(alone, touch), 0.3, seed=1).spikes.unit)} == set(touch)


def test_inhibition_holds_the_worm_back(shared):
    from braindec.networks.simulate import run

    path = shared("connectome_celegans") / "aconnectome.json"
    signed = read_connectome(path)
    excited = type(signed)(signed.names, signed.chemical, signed.electrical, np.ones(len(signed.names)))
    start = [signed.names[i] for i in np.argsort(-signed.chemical.sum(axis=1))[:3]]
    n = [len(run(worm(c, start), 0.3, seed=1).spikes.times) for c in (signed, excited)]
    assert n[0] < n[1]
