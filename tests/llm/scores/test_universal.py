"""Universal units: a permuted, noisy copy is found; rotations are orthogonal; blocks give what one big matrix gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores.universal import as_block, best_partners, rotate_columns
from braindec.llm.tiny import tiny_model

TEXTS = [
    "the small lamp moves slowly behind the green river again",
    "every clever pilot finds the old stone near a window",
] * 30


def other_seed(lm, seed=5):
    return replace(tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2, seed=seed), name=f"other-{seed}")


@pytest.mark.parametrize("n", [7, 64, 1500])
def test_rotations_are_orthogonal(n):
    q = rotate_columns(np.eye(n), [3, 1])
    np.testing.assert_allclose(q @ q.T, np.eye(n), atol=1e-10)
    np.testing.assert_array_equal(q, rotate_columns(np.eye(n), [3, 1]))
    assert np.abs(q).max() < 0.95 and not np.allclose(q, rotate_columns(np.eye(n), [3, 2]))


def test_partners_are_those_of_one_big_matrix():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((9000, 12)).astype(np.float32) * 1e-3 + 7.0
    others = {layer: rng.standard_normal((9000, n)).astype(np.float32) for layer, n in ((2, 9), (5, 14))}
    others[2][:, 4] = 0.25  # a constant unit is nobody's partner
    others[5][:, 3] += 2e3 * (a[:, 7] - 7.0)
    found = best_partners(a, {k: as_block(v, seed=(1, k)) for k, v in others.items()})
    with np.errstate(invalid="ignore"):
        each = {k: np.corrcoef(a.T.astype(float), v.T.astype(float))[:12, 12:] for k, v in others.items()}
    np.testing.assert_allclose(found.best, np.nanmax(np.concatenate([each[2], each[5]], axis=1), axis=1), atol=1e-9)
    assert (found.layer[7], found.index[7]) == (5, 3)
    rotated = {k: rotate_columns(v.astype(float) - v.mean(axis=0, dtype=float), (1, k, 0)) for k, v in others.items()}
    with np.errstate(invalid="ignore", divide="ignore"):
        turned = np.concatenate([np.corrcoef(a.T.astype(float), v.T)[:12, 12:] for v in rotated.values()], axis=1)
    np.testing.assert_allclose(found.baseline, np.nanmax(turned, axis=1), atol=1e-8)


def test_a_constant_unit_has_no_partner():
    rng = np.random.default_rng(1)
    a = rng.standard_normal((100, 3))
    a[:, 1] = 4.0
    found = best_partners(a, {0: as_block(rng.standard_normal((100, 5)))})
    assert np.isnan(found.best).tolist() == [False, True, False] == np.isnan(found.baseline).tolist()
    with pytest.raises(BraindecError, match="same tokens"):
        best_partners(a, {0: as_block(rng.standard_normal((90, 5)))})


def test_a_permuted_noisy_copy_is_found_and_another_seed_is_not():
    lm = tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2)
    copy, rng = other_seed(lm, 0), np.random.default_rng(2)
    orders = []
    with torch.no_grad():
        for block in copy.architecture.blocks:  # neurons of each MLP in another order, with noise in what they read
            order = torch.as_tensor(rng.permutation(64))
            up, down = block.mlp_up, block.mlp_down
            up.weight.copy_(up.weight[:, order] + 0.05 * up.weight.std() * torch.randn_like(up.weight))
            up.bias.copy_(up.bias[order])
            down.weight.copy_(down.weight[order])
            orders.append(np.argsort(order.numpy()))
    score = registry.get("llm.scores", "universal")
    table = score(Probe(lm, {"texts": TEXTS, "seeds": [copy]}))
    right = np.array(
        [
            row.universal_layer == row.layer and row.universal_index == orders[row.layer][row.index]
            for row in table.itertuples()
        ]
    )
    assert right.mean() > 0.95 and table["universal"].mean() > 0.95
    assert (table["universal_excess"] > 0.1).mean() > 0.9
    stranger = score(Probe(lm, {"texts": TEXTS, "seeds": [other_seed(lm)]}))
    assert abs(stranger["universal_excess"].mean()) < 0.1 and stranger["universal_selected"].mean() < 0.02


def test_models_of_other_tokenizers_and_no_models_are_refused():
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2)
    other = tiny_model(
        "gpt2", n_layers=1, n_units=16, n_heads=2, texts=["quite another text, with other pieces of words in it"]
    )
    score = registry.get("llm.scores", "universal")
    with pytest.raises(BraindecError, match="another tokenizer"):
        score(Probe(lm, {"texts": TEXTS, "seeds": [other]}))
    with pytest.raises(BraindecError, match="at least one model"):
        score(Probe(lm, {"texts": TEXTS, "seeds": []}))
