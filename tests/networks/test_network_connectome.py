"""The wiring of a worm, as a network: synapses are those of the matrix, and silencing the inhibitory neurons shows."""

from __future__ import annotations

import numpy as np

from braindec.loaders.connectome import GABA_C_ELEGANS, read_connectome
from braindec.networks.description import Network, PoissonDrive, Population, Projection
from braindec.networks.rules.from_matrix import FromMatrix
from braindec.networks.simulate import run


def test_a_connectome_runs_as_a_network(shared):
    found = read_connectome(
        shared("connectome_celegans") / "aconnectome_white_1986_whole.csv", inhibitory=GABA_C_ELEGANS
    )
    n, counts = len(found.names), np.asarray(found.chemical, dtype=float)
    signed = counts * np.where(np.asarray(found.sign) < 0, -4.0, 1.0)[:, None]

    def network(matrix):
        parts = [
            ("excitation", np.maximum(matrix, 0), "excitatory"),
            ("inhibition", np.minimum(matrix, 0), "inhibitory"),
        ]
        worm = Population("worm", n, model="lif", params={"v_rest": -0.060, "v_threshold": -0.050})
        wires = [
            Projection("worm", "worm", FromMatrix(m, rows="sources"), weight=4e-4, delay=2e-3, receptor=r, name=k)
            for k, m, r in parts
        ]
        return Network([worm], wires, [PoissonDrive("worm", rate=1300.0, weight=1.6e-3)])

    whole = run(network(signed), 1.0, seed=1, dtype="float64")
    off = ~np.eye(n, dtype=bool)
    made = sum(s.n for s in whole.final.synapses)
    assert n > 250 and made == np.count_nonzero(counts[off.nonzero()])
    dense = np.zeros((n, n))
    for s in whole.final.synapses:
        np.add.at(dense, (s.sources, s.targets), s.weights)
    np.testing.assert_allclose(dense, np.where(off, signed, 0.0) * 4e-4, atol=1e-15)
    released = run(network(np.maximum(signed, 0)), 1.0, seed=1, dtype="float64")
    alone = run(network(np.zeros((n, n))), 1.0, seed=1, dtype="float64")
    assert 1.0 < alone.rate("worm") < released.rate("worm") < 200
    inhibited = np.flatnonzero((signed < 0).sum(axis=0) > 3)
    rate = [np.isin(r.neurons["worm"], inhibited).sum() for r in (whole, released)]
    assert rate[0] < rate[1]
