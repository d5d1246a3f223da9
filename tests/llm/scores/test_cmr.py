"""CMR: curves against explicit context vectors, the fit against a published one and a plain loop, what counts as CMR-like."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.llm.scores._cmr_fit import cmr_like, fit_cmr
from braindec.llm.scores._cmr_model import BETA_ENC, BETA_REC, GAMMA_FT, CMRGrid, cmr_grid

LAGS = np.arange(-5, 6)


def explicit_curve(beta_enc, beta_rec, gamma, *, n=20, sharpness=4.0):
    """Follow the equations with vectors: items, drift, binding, retrieval, choice."""
    items = np.eye(n, n + 1)
    context, before = np.eye(n + 1)[n], []  # the list begins in a context of its own
    for item in items:
        before.append(context)
        rho = np.sqrt(1 + beta_enc**2 * ((context @ item) ** 2 - 1)) - beta_enc * (context @ item)
        context = rho * context + beta_enc * item
    bound = np.array(before)  # associations from context to items, and from items to context
    found = np.zeros(len(LAGS))
    for cue in range(5, n - 5):
        into = (1 - gamma) * items[cue] + gamma * bound[cue]
        into = into / np.linalg.norm(into)
        now = bound[cue]
        rho = np.sqrt(1 + beta_rec**2 * ((now @ into) ** 2 - 1)) - beta_rec * (now @ into)
        activation = np.maximum(bound @ (rho * now + beta_rec * into), 0) ** sharpness
        found += (activation / activation.sum())[cue + LAGS]
    return found / found.sum()


@pytest.fixture(scope="module")
def grid():
    return cmr_grid()


@pytest.fixture(scope="module")
def published(shared):
    with np.load(shared("cmr_fit_gpt2small.npz", kind="parity")) as file:
        return {k: file[k] for k in file}


def grid_of(curves):
    return CMRGrid(curves.astype(float), BETA_ENC, BETA_REC, GAMMA_FT, LAGS)


def naive_fit(attention, grid):
    """One head, one cell after the other."""
    shifted = attention - attention.min()
    best = (np.inf, None)
    for i, j, k in np.ndindex(grid.crp.shape[:3]):
        curve = grid.crp[i, j, k] - grid.crp[i, j, k].min()
        if curve.max() > 0:
            distance = np.mean((curve * (shifted.max() / curve.max()) - shifted) ** 2) / np.var(shifted)
            best = min(best, (distance, (grid.beta_enc[i], grid.beta_rec[j], grid.gamma_ft[k])), key=lambda b: b[0])
    return best


@pytest.mark.parametrize(
    "cell", [(0.6, 0.75, 0.3), (0.05, 0.0, 0.5), (1.0, 1.0, 0.0), (0.3, 1.0, 1.0), (0.85, 0.15, 0.9)]
)
def test_closed_form_is_what_the_vectors_give(cell):
    found = cmr_grid(*([v] for v in cell)).crp[0, 0, 0]
    np.testing.assert_allclose(found, explicit_curve(*cell), atol=1e-12)


def test_known_limits(grid):
    assert grid.crp.shape == (20, 21, 11, 11)
    np.testing.assert_allclose(grid.crp.sum(axis=-1), 1.0)
    forward = grid.crp[-1, -1, 0]  # full drift, the item's own context only: the next item, always
    np.testing.assert_allclose(forward, np.eye(11)[6], atol=1e-12)
    np.testing.assert_allclose(grid.crp[:, 0], grid.crp[:, 0, ..., ::-1], atol=1e-9)  # nothing retrieved: symmetric
    asymmetry = grid.crp[11, 15, :, 6] - grid.crp[11, 15, :, 4]
    assert (np.diff(asymmetry) < 0).all()  # new associations are symmetric, the item's own context only goes forward


def test_parameters_are_those_published(published):
    found = fit_cmr(published["attn_scores"].reshape(-1, 11), grid_of(published["crp_grid_norm"]))
    np.testing.assert_allclose(found.params, published["params"].reshape(-1, 3), atol=1e-12)


def test_distances_are_those_published_as_far_as_the_stored_grid_allows(published):
    """The published distances come from a grid in float64 that is stored in float32: where those curves are exact the
    distance is the same to 1e-10, elsewhere the difference is at most what half a unit in the last place makes."""
    grid, attention = grid_of(published["crp_grid_norm"]), published["attn_scores"].reshape(-1, 11)
    found, wanted = fit_cmr(attention, grid), published["cmr_distance"].ravel()
    cells = [
        tuple(int(np.argmin(np.abs(a - p))) for a, p in zip((BETA_ENC, BETA_REC, GAMMA_FT), row, strict=True))
        for row in found.params
    ]

    def distance(curve, shifted):
        curve = curve - curve.min()
        return np.mean((curve * (shifted.max() / curve.max()) - shifted) ** 2) / np.var(shifted)

    n_exact = 0
    for head, cell in enumerate(cells):
        curve, shifted = grid.crp[cell], attention[head] - attention[head].min()
        here = distance(curve, shifted)
        assert abs(found.distance[head] - here) < 1e-12
        rounding = sum(abs(distance(curve + np.eye(11)[k] * curve[k] * 2.0**-24, shifted) - here) for k in range(11))
        assert abs(found.distance[head] - wanted[head]) <= 1.01 * rounding + 1e-10
        n_exact += np.isin(curve, (0.0, 1.0)).all()
        if np.isin(curve, (0.0, 1.0)).all():
            assert abs(found.distance[head] - wanted[head]) < 1e-10
    assert n_exact


def test_a_plain_loop_finds_the_same(grid):
    rng = np.random.default_rng(0)
    attention = rng.standard_normal((2, 11)).cumsum(axis=1)
    small = CMRGrid(grid.crp[::4, ::4, ::2], BETA_ENC[::4], BETA_REC[::4], GAMMA_FT[::2], LAGS)
    found = fit_cmr(attention, small)
    for head, row in enumerate(attention):
        distance, params = naive_fit(row, small)
        assert abs(found.distance[head] - distance) < 1e-12
        np.testing.assert_allclose(found.params[head], params)


def test_own_curves_agree_with_simulated_ones(published, grid):
    """The published curves are means of simulated recalls; ours are exact transitions of the same equations."""
    attention = published["attn_scores"].reshape(-1, 11)
    ours, theirs = fit_cmr(attention, grid), published["cmr_distance"].ravel()
    assert np.corrcoef(ours.distance, theirs)[0, 1] > 0.98
    assert ((ours.distance < 0.5) == (theirs < 0.5)).mean() > 0.95
    a, b = grid.crp.reshape(-1, 11), published["crp_grid_norm"].reshape(-1, 11).astype(float)
    assert np.median([np.corrcoef(x, y)[0, 1] for x, y in zip(a[::7], b[::7], strict=True)]) > 0.95


def test_a_curve_of_the_grid_is_found_again_whatever_its_scale(grid):
    cells = [(3, 10, 4), (11, 15, 3), (16, 5, 8)]
    attention = np.stack([2.7 * grid.crp[c] - 40.0 for c in cells])
    found = fit_cmr(attention, grid)
    np.testing.assert_allclose(found.distance, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.params, [[BETA_ENC[i], BETA_REC[j], GAMMA_FT[k]] for i, j, k in cells])
    np.testing.assert_allclose(found.curve, attention - attention.min(axis=1, keepdims=True), atol=1e-10)


def test_distance_alone_does_not_make_a_head_human_like(published):
    found = fit_cmr(published["attn_scores"].reshape(-1, 11), grid_of(published["crp_grid_norm"]))
    induction = published["induction_score"].ravel().astype(float)
    like = cmr_like(found.distance, found.corner, induction)
    near = found.distance < 0.5
    assert near.sum() == 68 and like.sum() < 20
    assert near[12 + 11] and found.corner[12 + 11] and not like[12 + 11]  # the best distance: a corner, no induction
    assert like[5 * 12 + 1]
    assert not cmr_like(found.distance, found.corner, induction, copying=np.full(144, -1.0)).any()


def test_a_flat_curve_has_no_fit(grid):
    found = fit_cmr(np.zeros((1, 11)), grid)
    assert np.isnan(found.distance).all() and np.isnan(found.params).all()
    assert not cmr_like(found.distance, found.corner, np.ones(1)).any()


@pytest.mark.parametrize("call", [
    lambda: cmr_grid([0.0]), lambda: cmr_grid(beta_rec=[1.2]), lambda: cmr_grid(n_items=8),
    lambda: fit_cmr(np.zeros((3, 7)), cmr_grid([0.5], [0.5], [0.5])), lambda: fit_cmr(np.full((1, 11), np.nan), cmr_grid([0.5], [0.5], [0.5])),
])  # fmt: skip
def test_odd_input_is_refused(call):
    with pytest.raises(BraindecError):
        call()
