"""Frequency tagging on arrays: designs, Fourier coefficients, calibrated tests, harmonics. Units and channels alike."""

from braindec.stats.tagging.bins import Bins, check_rates, fitting_lengths, harmonic_notes
from braindec.stats.tagging.compare import label_permutation, two_sample
from braindec.stats.tagging.design import Design
from braindec.stats.tagging.engine import TESTS, TagArrays, tag_arrays
from braindec.stats.tagging.phase import hotelling, itpc, rayleigh, sign_flip, t2circ
from braindec.stats.tagging.spectrum import coefficients, neighbour_test, neighbours, power, snr, spectrum, white_test

__all__ = [
    "TESTS",
    "Bins",
    "Design",
    "TagArrays",
    "check_rates",
    "coefficients",
    "fitting_lengths",
    "harmonic_notes",
    "hotelling",
    "itpc",
    "label_permutation",
    "neighbour_test",
    "neighbours",
    "power",
    "rayleigh",
    "sign_flip",
    "snr",
    "spectrum",
    "t2circ",
    "tag_arrays",
    "two_sample",
    "white_test",
]
