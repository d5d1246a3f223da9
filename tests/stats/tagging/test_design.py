"""Bins, lengths that fit, harmonics, and what a design refuses or warns of."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.stats.tagging import Design, check_rates, fitting_lengths, harmonic_notes


def test_bins_of_rates_and_the_nyquist_frequency():
    bins = check_rates({"sentence": 1.0, "phrase": 2.0}, 4.0, 32)
    assert bins.index.tolist() == [8, 16] and bins.nyquist.tolist() == [False, True]
    assert any("Nyquist" in n and "1 degree" in n for n in bins.notes) and any("harmonic 2" in n for n in bins.notes)
    assert check_rates({"a": 4 / 9}, 4.0, 72).index.tolist() == [8]


@pytest.mark.parametrize("rate, sfreq, lengths", [(4 / 9, 4.0, 9), (20.0, 256.0, 64), (1.2, 250.0, 625), (1.0, 4.0, 4)])
def test_the_shortest_length_that_fits(rate, sfreq, lengths):
    step, _ = fitting_lengths({"r": rate}, sfreq)
    assert step == lengths
    brute = next(
        n for n in range(2, 2000) if abs(rate * n / sfreq - round(rate * n / sfreq)) < 1e-9 and rate * n / sfreq > 0.5
    )
    assert step == brute


def test_off_bin_says_which_lengths_fit():
    with pytest.raises(BraindecError) as error:
        check_rates({"sentence": 1.0}, 4.0, 30)
    assert "28 samples (7 s)" in str(error.value) and "32 samples (8 s)" in str(error.value)
    with pytest.raises(BraindecError, match="between Fourier bins"):
        check_rates({"a": 0.444}, 4.0, 64)
    both = fitting_lengths({"a": 4 / 9, "b": 4 / 5}, 4.0, near=100)
    assert both == (45, [90, 135])


def test_rates_that_cannot_be_seen():
    with pytest.raises(BraindecError, match="above the Nyquist frequency") as error:
        check_rates({"sentence": 1.0, "word": 4.0}, 4.0, 32)
    assert "up to 2 Hz" in str(error.value)
    for rates in ({"a": 0.0}, {"a": -1.0}, {"a": np.nan}, {}):
        with pytest.raises(BraindecError):
            check_rates(rates, 4.0, 32)


def test_harmonics_are_told_and_other_ratios_are_not():
    assert len(harmonic_notes({"sentence": 1.0, "phrase": 2.0})) == 1
    assert harmonic_notes({"two": 2.0, "three": 4 / 3}) == []
    assert harmonic_notes({"sentence": 1.0, "word": 4.0}) == []  # the unit is a multiple of all by design


def test_a_hierarchy_of_three_levels():
    design = Design({"word": 1, "pair": 2, "clause": 4, "sentence": 8}, n_sentences=6)
    assert design.rates == {"word": 4.0, "pair": 2.0, "clause": 1.0, "sentence": 0.5}
    assert design.observable() == {"pair": 2.0, "clause": 1.0, "sentence": 0.5}
    assert (design.n_units, design.kept_units, design.onset, design.duration) == (48, 40, 2.0, 12.0)
    assert len(design.notes) == 3  # pair and clause of sentence, pair of clause


def test_levels_that_do_not_tile_need_more_sentences():
    with pytest.raises(BraindecError) as error:
        Design({"word": 1, "three": 3, "sentence": 8}, n_sentences=5)
    assert "n_sentences = 4 or 7" in str(error.value) and "multiples of 3" in str(error.value)
    design = Design({"word": 1, "three": 3, "sentence": 8}, n_sentences=7)
    assert check_rates(design.observable(), 4.0, design.kept_units).index.tolist() == [16, 6]
    assert any("does not tile" in n for n in design.notes)
    nine = Design({"character": 1, **{f"k{k}": k for k in (3,)}, "sentence": 9}, n_sentences=4)
    assert check_rates(nine.observable(), 4.0, nine.kept_units).index.tolist() == [9, 3]


@pytest.mark.parametrize(
    "wrong",
    [{"levels": {}}, {"levels": {"a": 2, "b": 2}}, {"levels": {"a": 0}}, {"n_sentences": 1}, {"unit_rate": 0.0}],
)
def test_what_a_design_refuses(wrong):
    with pytest.raises(BraindecError):
        Design(**wrong)


def test_no_onset_drop_is_told():
    assert any("No sentence is dropped" in n for n in Design(n_sentences=8, drop=0).notes)
