from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.glm.hrf_library import TIMES_TO_PEAK, hrf_library, responses_of
from braindec.signal.hrf import canonical_hrf


def test_twenty_responses_with_the_canonical_one_among_them():
    library = hrf_library()
    assert len(library) == 20 and np.allclose(library.values.max(axis=1), 1)
    times = np.arange(library.values.shape[1]) * library.step
    canonical = canonical_hrf(times)
    assert np.allclose(library.values[library.default], canonical / canonical.max())
    assert np.allclose(library.times_to_peak.reshape(5, 4), np.array(TIMES_TO_PEAK)[:, None], atol=0.16)


def test_members_differ_and_the_parameters_do_what_they_say():
    values = hrf_library().values
    alike = np.corrcoef(values) - np.eye(20)
    assert alike.max() < 0.995
    widths = (values > 0.5).sum(axis=1).reshape(5, 2, 2)
    assert (widths[:, 1] > widths[:, 0]).all()  # dispersion
    depths = values.min(axis=1).reshape(5, 2, 2)
    assert (depths[..., 1] < depths[..., 0]).all()  # ratio


def test_any_array_is_taken():
    mine = np.abs(np.random.default_rng(0).standard_normal((3, 50)))
    found = responses_of(mine, step=0.5)
    assert len(found) == 3 and found.default == 0 and found.step == 0.5 and np.allclose(found.values.max(axis=1), 1)
    assert len(responses_of(mine[0])) == 1


@pytest.mark.parametrize("wrong", ["cannonical", np.full((2, 9), np.nan), -np.ones((1, 9)), np.ones((2, 2, 2))])
def test_what_is_no_response(wrong):
    with pytest.raises(BraindecError):
        responses_of(wrong)
    with pytest.raises(BraindecError, match="step"):
        responses_of(np.ones((1, 9)), step=0.0)
    with pytest.raises(BraindecError, match="did you mean"):
        responses_of("libary")
