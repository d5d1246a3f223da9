"""The adapter: its error where the package is not installed, and which arguments it hands on."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from braindec.decoders.cebra_adapter import InstalledCebra
from braindec.errors import BraindecError, MissingExtraError


class Stand:
    """Keeps what it is called with; its embedding is the first columns."""

    def __init__(self, **options):
        self.options, self.draw = options, None

    def fit(self, *data):
        self.data, self.draw = data, np.random.random()  # the adapter seeds the global generator
        return self

    def transform(self, x, **more):
        self.more = more
        return x[:, : self.options["output_dimension"]]


def test_without_the_package_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "cebra", None)
    with pytest.raises(MissingExtraError, match="pip install cebra"):
        InstalledCebra().fit(np.ones((3, 50)))


def test_arguments_are_handed_on():
    rng = np.random.default_rng(0)
    x, package = rng.standard_normal((5, 60)), SimpleNamespace(CEBRA=Stand)
    state = np.random.get_state()[1].copy()
    model = InstalledCebra(method="label", dim=2, iterations=7, lag=3, options={"num_hidden_units": 9}, package=package)
    model.fit(x, rng.standard_normal((60, 2)), rows=np.arange(40))
    stand = model.model_
    assert stand.options == {"conditional": "time_delta", "hybrid": False, "output_dimension": 2, "batch_size": 512, "max_iterations": 7,
                             "learning_rate": 3e-4, "temperature": 1.0, "time_offsets": 3, "device": "cpu", "num_hidden_units": 9}  # fmt: skip
    assert stand.data[0].shape == (40, 5) and stand.data[1].shape == (40, 2)
    assert np.array_equal(np.random.get_state()[1], state)
    again = InstalledCebra(package=package).fit(x)
    assert again.model_.draw == stand.draw and len(again.model_.data) == 1
    z = model.transform(x)
    np.testing.assert_allclose(z[:40].mean(axis=0), 0, atol=1e-6)
    assert z.shape == (60, 2) and len(model.fit_records_[0].ids) == 40


def test_several_sessions_and_classes():
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((4, 50)), rng.standard_normal((6, 70))]
    labels = [np.arange(50) % 2, np.arange(70) % 2]
    model = InstalledCebra(method="label", dim=3, package=SimpleNamespace(CEBRA=Stand)).fit(x, labels)
    assert [v.shape for v in model.model_.data[0]] == [(50, 4), (70, 6)]
    assert model.model_.data[1][0].dtype == np.int64
    assert model.transform(x[1], session=1).shape == (70, 3) and model.model_.more == {"session_id": 1}
    with pytest.raises(BraindecError, match="labels are needed"):
        InstalledCebra(package=SimpleNamespace(CEBRA=Stand)).fit(x)
