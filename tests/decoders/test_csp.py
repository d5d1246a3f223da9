"""CSP as a decoder: components over time, patterns of planted sources, real motor imagery."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders.csp import CSP
from braindec.decoders.filter_bank_csp import FilterBankCSP
from braindec.decoders.tangent_space import TangentSpace
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.loaders.source import open_source
from braindec.loaders.synthetic_imagery import CHANNELS, synthetic_imagery
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows


def imagery_windows(subject="01", *, band=(7.0, 30.0), tmin=0.5, tmax=3.5, **settings):
    recordings = synthetic_imagery(subject, **settings).recordings
    steps = [{"filter": {"low": band[0], "high": band[1]}}] if band else []
    windows = make_windows(prepare(recordings, steps), tmin=tmin, tmax=tmax)
    return windows, windows.trials["trial_type"].to_numpy()


def test_components_over_time_have_the_power_that_is_decoded():
    windows, y = imagery_windows(classes=("left_hand", "right_hand"), n_sessions=1)
    decoder = CSP(2).fit(windows[:48], y[:48])
    held = windows[48:]
    components = decoder.transform(held)
    assert components.shape == (24, 4, windows.n_times)
    np.testing.assert_allclose(
        components, np.einsum("fc,nct->nft", decoder.csp_.filters, held.load()), rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(np.log(components.var(axis=2)), decoder.rows_(decoder._data(held)), atol=1e-4)


def test_patterns_show_the_planted_rhythms():
    """The hand that is imagined damps the rhythm of the other side: right-hand imagery leaves the right rhythm."""
    windows, y = imagery_windows(classes=("left_hand", "right_hand"), n_sessions=1, n_runs=4, depth=0.9)
    decoder = CSP(1).fit(windows, y)
    strongest = [CHANNELS[int(np.abs(p).argmax())] for p in decoder.patterns().T]
    assert decoder.csp_.target.tolist() == [1, 1] and decoder.csp_.share[0] > 0.6 > 0.4 > decoder.csp_.share[1]
    assert strongest[0] in ("C4", "C2", "CP4", "FC4", "C6") and strongest[1] in ("C3", "C1", "CP3", "FC3", "C5")


def test_four_classes_across_runs():
    windows, y = imagery_windows(n_sessions=1)
    found = cross_validate(
        CSP(2), windows, y, split_by(windows, "run"), metrics=["accuracy"], controls=[], n_permutations=39
    )
    row = found.scores.iloc[0]
    assert row["value"] > 0.6 and row["p"] <= 0.05 and row["chance"] == 0.25


@pytest.mark.parametrize(("decoder", "least"), [(CSP(), 0.93), (TangentSpace(), 0.93), pytest.param(FilterBankCSP(tmin=1.0, tmax=3.0), 0.93, marks=pytest.mark.slow)],
                         ids=["csp", "tangent_space", "filter_bank_csp"])  # fmt: skip
def test_real_hands_against_feet(shared, decoder, least):
    """PhysioNet EEGMMI, first subject: plain CSP and LDA are known to reach 0.978, the tangent space 0.933."""
    root = shared("eeg_mi_eegmmi_s001_imagery")
    source = open_source("eeg_mi_eegmmi_s001_imagery", root=str(root), options={"run": ["06", "10", "14"]})
    own = getattr(decoder, "own_bands", False)
    recordings = prepare(source.recordings("001"), [] if own else [{"filter": {"low": 7.0, "high": 30.0}}])
    span = (0.5, 3.5) if own else (1.0, 3.0)
    windows = make_windows(recordings, tmin=span[0], tmax=span[1], select=["T1", "T2"])
    y = windows.trials["trial_type"].to_numpy()
    assert (
        len(windows) == 45
        and windows.ch_names[0] == "FC5"
        and np.isfinite(windows.channels[["x", "y", "z"]]).all(axis=None)
    )
    found = cross_validate(
        decoder, windows, y, split_by(windows, "run"), metrics=["accuracy"], controls=[], n_permutations=19
    )
    assert found.scores["value"].iloc[0] >= least and found.scores["p"].iloc[0] <= 0.05
