"""A decoder that was not fitted says so, whatever is asked of it."""

from __future__ import annotations

import pytest
from sklearn.exceptions import NotFittedError

from braindec import registry
from braindec.loaders.synthetic_imagery import synthetic_imagery
from braindec.signal.windows import make_windows


@pytest.mark.parametrize(
    "name",
    [
        "csp",
        "tangent_space",
        "filter_bank_csp",
        "r2_selected",
        "connectivity",
        "adaptive_q",
        "high_gamma",
        "du_in",
        "classifier",
    ],
)
@pytest.mark.parametrize("what", ["predict", "decision"])
def test_not_fitted(name, what):
    made = synthetic_imagery(
        "01", classes=["left_hand", "right_hand"], n_sessions=1, n_runs=1, n_trials=4, depth=0.5, drift=0.0, seed=0
    )
    windows = make_windows(made.recordings, tmin=0.0, tmax=1.0)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(registry.get("decoders", name)(), what)(windows)
