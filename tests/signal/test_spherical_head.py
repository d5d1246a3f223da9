"""Potentials of dipoles in a sphere of four shells: against the series of Legendre polynomials; references; wrong input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import eval_legendre, lpmv

from braindec.errors import BraindecError
from braindec.signal.spherical_head import ORIGIN, RADIUS, eeg_gains, montage_info

SHELLS, CONDUCTIVITY = np.array([0.90, 0.92, 0.97, 1.0]) * RADIUS, [0.33, 1.0, 0.004, 0.33]  # those of MNE
CHANNELS = ["Fz", "Cz", "Pz", "Oz", "T7", "C4"]


def surface_coefficients(n_most: int) -> np.ndarray:
    """Potential on the scalp of a unit source term ``r^-(n+1)`` in the brain, by degree: V and sigma V' are continuous."""
    found = np.zeros(n_most + 1)
    for n in range(1, n_most + 1):
        # unknown a_j, b_j of a_j (r / R)^n + b_j (R / r)^(n+1) in each shell; b_0 is the source
        rows, right = [], []
        for j, radius in enumerate(SHELLS):
            x = radius / RADIUS
            up, down = x**n, x ** -(n + 1)
            value, slope = np.zeros(8), np.zeros(8)
            for k, sign in ((j, 1), (j + 1, -1)):
                if k < 4:
                    value[2 * k : 2 * k + 2] = sign * up, sign * down
                    slope[2 * k : 2 * k + 2] = CONDUCTIVITY[k] * sign * np.array([n * up, -(n + 1) * down])
            if j < 3:
                rows.append(value), right.append(0.0)
            rows.append(slope), right.append(0.0)
        rows.append(np.eye(8)[1]), right.append(1.0)
        a, b = np.linalg.solve(np.array(rows), np.array(right))[6:]
        found[n] = a + b
    return found


def series(places: np.ndarray, normals: np.ndarray, at: np.ndarray, n_most: int = 60) -> np.ndarray:
    """Potentials at directions ``at`` on the scalp, V for 1 A m, shape (n_channels, n_dipoles)."""
    shape, degree = surface_coefficients(n_most), np.arange(1, n_most + 1)
    found = np.zeros((len(at), len(places)))
    for d, (place, normal) in enumerate(zip(places, normals)):
        depth = np.linalg.norm(place)
        axis = place / depth
        radial, sideways = normal @ axis, normal - (normal @ axis) * axis
        for c, where in enumerate(at):
            cosine = where @ axis
            # P_n^1 without the sign (-1)^m of Condon and Shortley, times the cosine of the angle to the tangent
            tangent = where - cosine * axis
            turned = sideways @ tangent / max(np.linalg.norm(tangent), 1e-12)
            power = depth ** (degree - 1) / RADIUS ** (degree + 1) * shape[1:]
            own = radial * (degree * power * eval_legendre(degree, cosine)).sum()
            own += turned * (power * -lpmv(1, degree, cosine)).sum()
            found[c, d] = own / (4 * np.pi * CONDUCTIVITY[0])
    return found


def test_potentials_are_those_of_the_series():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(6, 3))
    places *= np.linspace(0.02, 0.065, 6)[:, None] / np.linalg.norm(places, axis=1, keepdims=True)
    normals = rng.normal(size=(6, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    names = [*CHANNELS, "TP9", "TP10"]
    at = np.array([c["loc"][:3] for c in montage_info(names, 100.0)["chs"]]) - ORIGIN
    at /= np.linalg.norm(at, axis=1, keepdims=True)
    expected = series(places, normals, at)
    expected = expected[:-2] - expected[-2:].mean(axis=0)
    found = eeg_gains(CHANNELS, places, normals, on_sphere=True)
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()  # equivalent dipoles are an approximation
    np.testing.assert_allclose(eeg_gains(CHANNELS, places, -normals, on_sphere=True), -found)
    as_it_is = eeg_gains(CHANNELS, places, normals)  # electrodes off the sphere: another head, of about that size
    assert 0.1 < np.abs(as_it_is - found).max() / np.abs(found).max() < 0.5


def test_a_reference_may_be_one_of_the_channels():
    places, normals = np.array([[0.0, -0.02, 0.05]]), np.array([[0.0, 0.0, 1.0]])
    usual = eeg_gains(["Fz", "Cz"], places, normals)
    both = eeg_gains(["Fz", "TP9", "Cz", "TP10"], places, normals)
    np.testing.assert_allclose(both[[0, 2]], usual)
    np.testing.assert_allclose(both[1] + both[3], 0, atol=1e-12 * np.abs(usual).max())
    at_cz = eeg_gains(["Fz", "Cz"], places, normals, reference=["Cz"])
    np.testing.assert_allclose(at_cz, usual - usual[1])


@pytest.mark.parametrize(
    ("change", "said"),
    [({"channels": ["Fz", "PO77"]}, "did you mean 'PO7'"), ({"channels": ["Fz", "Fz"]}, "each once"),
     ({"channels": []}, "each once"), ({"places": np.zeros(3)}, "a place and a direction"),
     ({"places": np.full((1, 3), np.nan)}, "finite"), ({"normals": np.array([[0.0, 0.0, 3.0]])}, "length 1"),
     ({"places": np.array([[0.0, 0.0, 0.085]])}, "outside the brain"), ({"normals": np.zeros((1, 3))}, "length 1")],
)  # fmt: skip
def test_wrong_input(change, said):
    asked = {
        "channels": ["Fz"],
        "places": np.array([[0.0, 0.0, 0.05]]),
        "normals": np.array([[0.0, 0.0, 1.0]]),
    } | change
    with pytest.raises(BraindecError, match=said):
        eeg_gains(asked["channels"], asked["places"], asked["normals"])
