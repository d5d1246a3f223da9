"""Pictures of a replay: what is drawn is what was given, and wrong shapes are refused."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.evidence_curve import evidence_curve
from braindec.viz.latency import latency
from braindec.viz.replay_course import replay_course


def test_course_has_a_line_for_each_way_and_shades_sessions():
    values = np.array([[0.8, 0.7, 0.6, 0.6], [0.8, 0.8, 0.75, 0.8]])
    figure = replay_course(values, low=values - 0.1, high=values + 0.1, labels=["once", "again"], sessions=["1", "1", "2", "2"],
                           runs=["1", "2", "1", "2"], chance=0.5)  # fmt: skip
    ax = figure.axes[0]
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 4]
    assert [list(line.get_ydata()) for line in drawn] == values.tolist()
    assert [t.get_text() for t in ax.texts] == ["session 1", "session 2"] and len(ax.patches) == 1
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "1", "2"]
    with pytest.raises(BraindecError, match="shape of values"):
        replay_course(values, low=values[0], high=values[1])


def test_latency_shows_the_sum_of_waiting_and_computing():
    wait, compute = np.linspace(0.8, 0.9, 50), np.full(50, 0.002)
    left, right = latency(wait, compute, window_end=0.8).axes
    assert "median 852" in left.get_xlabel() and "median 2" in right.get_xlabel()
    assert sum(p.get_height() for p in left.patches) == 50
    with pytest.raises(BraindecError, match="one time each"):
        latency(wait, compute[:3])


def test_evidence_is_drawn_with_where_it_stopped():
    left, right = evidence_curve([1, 2, 3], [0.4, 0.6, 0.8], [3.0, 5.0, 4.0], low=[0.3, 0.5, 0.7], high=[0.5, 0.7, 0.9], chance=0.25,
                                 early=(2.2, 0.7, 6.0), n=30).axes  # fmt: skip
    assert list(left.lines[0].get_ydata()) == [0.4, 0.6, 0.8] and list(right.lines[1].get_xydata()[0]) == [2.2, 6.0]
    with pytest.raises(BraindecError, match="one length"):
        evidence_curve([1, 2], [0.4], [3.0, 5.0])
