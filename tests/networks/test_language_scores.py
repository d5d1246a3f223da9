"""N-gram models by hand, bits that are saved and their p, events while a network reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks.language.bdh import BDH
from braindec.networks.language_scores import NextToken, saved_bits, spikes_of, surprisals, to_tensors
from braindec.networks.ngram import NGram


def test_ngrams_by_hand():
    model = NGram(2, vocab_size=4).fit(np.array([[3, 0, 1, 0, 1], [3, 0, 2, -1, -1]]))
    one = {0: (3 + 3 / 4) / 9, 1: (2 + 3 / 4) / 9, 2: (1 + 3 / 4) / 9, 3: (3 / 4) / 9}  # 6 tokens of 3 kinds
    expected = [(2 + one[0]) / 3, (2 + 2 * one[1]) / 5, one[3] / 2]
    bits = model.bits(np.array([[3, 0, 1, 3]]))[0]  # after 3: {0: 2}; after 0: {1: 2, 2: 1}; after 1: {0: 1}
    np.testing.assert_allclose(2.0**-bits, expected)
    # a token of one row ends it
    assert np.isnan(model.bits(np.array([[3, 0, -1, -1]]))[0, 1:]).all()


def test_ngrams_are_probabilities_and_find_an_order():
    rng = np.random.default_rng(0)
    text = rng.integers(0, 3, (40, 30))
    text[:, 2:] = (text[:, :1] + np.arange(28)) % 3  # from the third token on each follows from the one before
    model = NGram(3, 3).fit(text[:30])
    rows = np.array([[0, 1, 2, w] for w in range(3)])
    assert (2.0 ** -model.bits(rows)[:, 2]).sum() == pytest.approx(1)
    assert (
        NGram(2, 3).fit(text[:30]).bits(text[30:])[:, 5:].mean()
        < 0.1
        < 1.5
        < NGram(1, 3).fit(text[:30]).bits(text[30:]).mean()
    )
    with pytest.raises(BraindecError, match="not fitted"):
        NGram(2, 3).bits(text)
    for wrong in ((0, 3), (2.5, 3), ("x", 3), (2, 1), (2, None)):
        with pytest.raises(BraindecError, match="order|vocab_size"):
            NGram(*wrong)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(np.zeros(3, int), "rows of whole numbers"), (np.zeros((2, 3)), "rows of whole numbers"),
     (np.full((2, 3), 3), "vocabulary"), (np.full((2, 3), -2), "vocabulary"), (np.array([[0, -1, 1]]), "-1 ends a row")],
)  # fmt: skip
def test_tokens_that_an_ngram_cannot_count(tokens, said):
    model = NGram(2, 3).fit(np.array([[0, 1, 2]]))
    for read in (model.bits, NGram(2, 3).fit):
        with pytest.raises(BraindecError, match=said):
            read(tokens)


def test_surprisals_are_those_of_the_loss():
    torch.manual_seed(0)
    model = BDH(vocab_size=6, dim=8, n_layers=1, n_heads=2, multiplier=4, dropout=0.0).eval()
    tokens = np.array([[5, 1, 2, 3], [5, 4, -1, -1], [5, 0, 0, -1]])
    bits = surprisals(model, tokens, batch_size=2)
    assert np.isnan(bits).sum() == 3
    x, y = to_tensors(tokens)
    with torch.no_grad():
        assert np.nanmean(bits) * np.log(2) == pytest.approx(NextToken()(model(x), y).item(), rel=1e-5)


def test_saved_bits_hold_their_level_and_find_a_gain():
    rng = np.random.default_rng(1)
    document = np.repeat(np.arange(25), 3)
    base = rng.normal(4, 0.3, (75, 10))
    base[::4, 7:] = np.nan
    false = []
    for seed in range(200):
        other = base + rng.normal(0, 0.1, (75, 1)) + rng.normal(0, 0.1, base.shape)
        table = saved_bits({"decoded": other}, base, document, n_permutations=99, seed=seed)
        false.append(table["p"][0] <= 0.05)
    assert 0.01 <= np.mean(false) <= 0.10  # 200 runs at 5 %
    row = saved_bits({"decoded": base - 0.5}, base, document, n_permutations=99, seed=0).iloc[0]
    assert (
        row["value"] == pytest.approx(0.5) and row["low"] == pytest.approx(0.5) and row["p"] == 0.01 and row["n"] == 25
    )


def test_a_model_that_gives_nan_is_not_scored_as_no_gain():
    base, document = np.array([[4.0, 4.0, np.nan], [4.0, 4.0, 4.0]]), np.array([0, 1])
    good = base - 1
    assert saved_bits({"decoded": good}, base, document, n_permutations=9, seed=0)["value"][0] == pytest.approx(1.0)
    for wrong in (np.where(base > 0, np.nan, base), good[:, :2]):
        with pytest.raises(BraindecError, match="'decoded' do not cover"):
            saved_bits({"decoded": wrong}, base, document, n_permutations=9, seed=0)


def test_events_of_a_reading():
    torch.manual_seed(0)
    model = BDH(vocab_size=6, dim=8, n_layers=2, n_heads=2, multiplier=4, dropout=0.0).eval()
    tokens = torch.tensor([0, 1, 2, 3, 4])
    position, unit, layers = spikes_of(model, tokens, n_units=10)
    assert len(layers) == 40 and set(layers) == {"x 0", "y 0", "x 1", "y 1"}
    _, events = model.logits_and_activity(tokens[None])
    first = (events["x 0"][0, :, 0] != 0).numpy()
    np.testing.assert_array_equal(np.sort(position[unit == 0]), np.flatnonzero(first))
