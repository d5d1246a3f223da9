"""Every registered metric and control keeps its contract."""

from __future__ import annotations

import numpy as np
import pytest

from braindec import registry
from braindec.evaluate.metric import Metric

METRICS = registry.names("evaluate.metrics")
CONTROLS = registry.names("evaluate.controls")


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_names_itself_and_scores_perfection_best(name):
    metric = registry.get("evaluate.metrics", name)
    assert isinstance(metric, Metric)
    assert metric.name == name
    assert metric.version
    assert metric.describe
    assert metric.needs in ("labels", "scores", "values")
    rng = np.random.default_rng(0)
    if metric.needs == "values":
        y = rng.normal(size=(50, 2))
        perfect, poor = metric(y, y), metric(y, rng.normal(size=(50, 2)))
        chance = metric.chance(y, np.array([]))
    else:
        y = np.array(["a", "b", "c"])[np.arange(60) % 3]
        codes = np.arange(60) % 3
        best, worse = 9.0 * np.eye(3)[codes], rng.normal(size=(60, 3))
        if metric.needs == "labels":
            best, worse = y, np.array(["a", "b", "c"])[worse.argmax(axis=1)]
        perfect, poor = metric(y, best, classes=["a", "b", "c"]), metric(y, worse, classes=["a", "b", "c"])
        chance = metric.chance(y, np.array(["a", "b", "c"]))
    sign = 1 if metric.higher_is_better else -1
    assert sign * perfect > sign * chance
    assert sign * perfect > sign * poor
    assert metric.bounds[0] <= perfect <= metric.bounds[1]
    assert np.isfinite(chance)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_is_a_function_with_a_reason(name):
    control = registry.get("evaluate.controls", name)
    assert callable(control)
    assert control.__name__ == name
    assert len(registry.load_module("evaluate.controls", name).__doc__) > 40
