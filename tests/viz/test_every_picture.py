"""What holds for each picture: a figure without pyplot, the same bytes twice, drawn where asked, odd input refused."""

from __future__ import annotations

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from braindec import registry
from braindec.errors import BraindecError
from braindec.viz._style import style

RNG = np.random.default_rng(0)
TIMES = np.arange(-0.1, 0.5, 0.02)
ANGLES = RNG.uniform(0, 2 * np.pi, 20), RNG.uniform(0.1, 1.4, 20)
HEAD = 0.09 * np.stack(
    [np.sin(ANGLES[1]) * np.cos(ANGLES[0]), np.sin(ANGLES[1]) * np.sin(ANGLES[0]), np.cos(ANGLES[1])], axis=1
)
GRID = np.stack(np.meshgrid(*[np.arange(n) * 0.003 for n in (6, 7, 4)], indexing="ij"), -1).reshape(-1, 3)

GOOD = {
    "calibration_curve": {"amount": [50, 100, 200], "value": [[0.1, 0.2, 0.3], [0.05, 0.1, 0.2]], "chance": 0.01, "conditions": ["adapted", "scratch"]},
    "confusion": {"matrix": [[30, 10], [4, 16]], "labels": ["a", "b"]},
    "event_raster": {"onset": np.arange(12.0), "label": list("abcabcabcabc"), "run": ["1"] * 6 + ["2"] * 6},
    "image_rows": {"rows": [np.full((4, 6, 6), 0.3), np.full((4, 6, 6, 3), 0.7)], "names": ["shown", "read"], "notes": [0.9, 0.8, 0.4, -0.1]},
    "text_table": {"cells": [["a red star", "a blue ring that is so long a sentence that it must be wrapped " * 3], ["a star", "nothing"]], "columns": ["shown", "said"],
                   "rows": ["best", "worst"]},
    "picture_grid": {"pictures": RNG.random((3, 4, 6, 6, 3)), "names": ["stimulus", "decoded", "ridge"], "labels": ["best", "median", "next", "worst"],
                     "scores": [0.9, 0.5, 0.4, -0.1], "metric": "pixcorr"},
    "control_bars": {"rows": ["decoded", "prior_only", "ridge"], "metrics": ["two_way", "mse"], "values": [[0.9, 0.1], [0.5, 0.4], [0.95, 0.05]],
                     "low": [[0.85, 0.08], [0.45, 0.3], [0.9, 0.04]], "high": [[0.95, 0.12], [0.55, 0.5], [1.0, 0.06]], "chance": np.full((3, 2), 0.5),
                     "better": [True, False]},
    "guidance_curve": {"scales": [0.0, 1.0, 4.0], "judged": [[0.0, 0.2, 0.8], [0.1, 0.1, 0.3]], "names": ["V4", "LOC"], "low": np.full((2, 3), -0.1),
                       "high": np.full((2, 3), 0.9), "guide": [[0.0, 0.5, 1.2], [0.1, 0.4, 0.9]], "wrong": np.zeros((2, 3)), "baseline": [0.6, 0.5]},
    "csp_patterns": {"patterns": RNG.standard_normal((20, 3)), "positions": HEAD, "names": ["left hand", "feet", "tongue"]},
    "r2_map": {"r2": RNG.uniform(-0.4, 0.4, (4, 6)), "freqs": np.arange(8.0, 32.0, 4.0), "ch_names": ["C3", "Cz", "C4", "Pz"], "selected": np.eye(4, 6)},
    "evidence_curve": {"repeats": [1, 2, 3], "accuracy": [0.4, 0.6, 0.8], "bits": [10.0, 12.0, 11.0], "low": [0.3, 0.5, 0.7], "high": [0.5, 0.7, 0.9], "chance": 0.1,
                       "early": (1.7, 0.7, 13.0), "n": 40},
    "latency": {"wait": RNG.uniform(0.8, 0.9, 50), "compute": RNG.uniform(1e-4, 1e-3, 50), "window_end": 0.8},
    "replay_course": {"values": [[0.6, 0.7, 0.65], [0.6, 0.5, 0.4]], "low": np.full((2, 3), 0.3), "high": np.full((2, 3), 0.8), "labels": ["adaptive", "static"],
                      "sessions": ["1", "1", "2"], "runs": ["1", "2", "1"], "chance": 0.5},
    "adaptation_course": {"trials": [12, 24, 36], "values": [[0.6, 0.7, 0.7], [0.5, 0.5, 0.4]], "chance": 0.25, "low": np.full((2, 3), 0.3),
                          "high": np.full((2, 3), 0.8), "labels": ["adapting", "static twin"]},
    "site_map": {"positions": [[-0.05, -0.03, 0.0], [-0.06, 0.02, 0.01], [np.nan] * 3], "groups": ["", "site at word events", ""]},
    "site_curves": {"times": np.linspace(-1, 1, 9), "values": RNG.random((2, 3, 9)), "models": ["a", "b", "twin"], "names": ["E1", "E2"], "reference": "twin",
                    "marked": RNG.random((2, 9)) > 0.5},
    "region_shares": {"counts": [4, 0], "totals": [8, 8], "names": ["A", "B"]},
    "codebook_usage": {"counts": [40, 20, 3, 0]},
    "null_histogram": {"observed": 0.7, "null": RNG.normal(0.5, 0.05, 99), "chance": 0.5},
    "position_map": {"positions": HEAD, "names": [f"c{i}" for i in range(20)], "status": ["bad"] + ["good"] * 19, "space": "head"},
    "retrieval_curve": {"k": [1, 2, 4], "top1": [0.1, 0.2, 0.3], "low": [0.05, 0.1, 0.2], "high": [0.2, 0.3, 0.4], "chance": 0.01, "n": 50},
    "retrieval_examples": {"shown": np.full((2, 8, 8, 3), 0.7), "retrieved": np.full((2, 3, 8, 8, 3), 0.7), "hit": [[1, 0, 0], [0, 0, 0]], "rank": [1, 7]},
    "roc": {"scores": RNG.standard_normal(40), "is_target": np.arange(40) % 2},
    "score_bars": {"rows": ["decoded", "noise_input"], "values": [0.7, 0.5], "chance": 0.5, "low": [0.6, 0.4], "high": [0.8, 0.6], "p": [0.01, np.nan]},
    "subject_scores": {"units": ["sub-01", "sub-02"], "values": [0.7, 0.5], "chance": 0.5, "low": [0.6, 0.4], "high": [0.8, 0.6],
                       "above": [True, False], "controls": {"noise_input": [0.5, np.nan]}, "n": [100, 90]},
    "timecourse": {"times": TIMES, "values": np.stack([TIMES, -TIMES]), "chance": 0.0, "significant": TIMES > 0.2, "labels": ["a", "b"]},
    "topomap_times": {"values": RNG.standard_normal((20, 30)), "positions": HEAD, "times": TIMES, "n_maps": 2},
    "training_curves": {"train": [3.0, 2.0, 1.5], "validation": [3.1, np.nan, 2.0], "chosen": 2, "chance": 4.0},
    "voxel_map": {"values": RNG.standard_normal(len(GRID)), "positions": GRID},
    "glass_brain": {"values": RNG.standard_normal(len(GRID)), "positions": GRID},
    "surface_map": {"left": RNG.standard_normal(10242), "threshold": 0.5},
    "roi_bars": {"values": [[0.1, 0.2, np.nan], [0.3, -0.1, 0.2]], "names": ["V1", "V2", "a region"], "series": ["one", "two"],
                 "low": np.zeros((2, 3)), "high": np.full((2, 3), 0.4), "points": np.full((2, 4, 3), 0.1), "ceiling": [0.5, 0.6, np.nan]},
    "score_ceiling": {"score": RNG.uniform(0, 0.6, 200), "ceiling": RNG.uniform(0.1, 0.8, 200), "chosen": np.arange(200) > 99},
    "band_shares": {"shares": [[0.1, 0.2], [0.05, -0.01]], "names": ["V1", "V2"], "bands": ["visual", "motion"]},
    "ladder": {"values": RNG.uniform(0, 0.5, (3, 50)), "names": ["A", "B", "C"], "low": [0.2] * 3, "high": [0.3] * 3},
    "rdm_matrix": {"rdms": RNG.uniform(0, 2, (2, 15)), "conditions": list("abcdef"), "groups": list("xxxyyy"), "names": ["model", "IFG"]},
    "tag_spectrum": {"frequencies": np.arange(1, 17) / 8, "spectra": [8 / np.arange(1, 17), 9 / np.arange(1, 17)], "rates": {"sentence": 1.0}, "labels": ["a", "b"]},
    "head_matrix": {"values": [[0.1, 0.2, np.nan], [0.3, 0.0, 0.5]], "marked": [[0, 1, 0], [0, 0, 1]], "chance": 0.05},
    "layer_curves": {"values": [[0.1, 0.2, 0.3], [0.2, 0.1, np.nan]], "names": ["a", "b"], "controls": np.zeros((2, 3)), "chance": 0.05},
    "layer_units": {"values": RNG.standard_normal(40), "layers": np.arange(40) // 10, "selected": np.arange(40) % 7 == 0, "halves": RNG.standard_normal((2, 40))},
    "alignment_matrix": {"values": [[0.1, 0.2, np.nan]], "models": ["gpt2"], "regions": ["IFG", "A1", "V1"], "stars": [[2, 1, 0]], "ceiling": [0.5, 0.4, 0.3]},
    "layer_alignment": {"values": RNG.uniform(0, 0.5, (2, 3)), "layers": ["0", "1", "2"], "regions": ["IFG", "A1"], "untrained_low": np.zeros((2, 3)),
                        "untrained_high": np.full((2, 3), 0.1), "nuisance": [0.1, 0.2], "ceiling": [0.6, 0.7]},
    "model_bars": {"values": [0.1, 0.3], "names": ["pixels", "categories"], "low": [0.0, 0.2], "high": [0.2, 0.4], "ceiling": [0.35, 0.5], "p": [0.2, 0.001]},
    "raster": {"times": [0.1, 0.2, 0.5, 0.9], "unit": [0, 1, 1, 2], "groups": ["E", "I", "I"], "events": {"on": [0.3]}},
    "rate_curve": {"times": TIMES, "values": np.stack([TIMES + 1, TIMES + 2]), "labels": ["a", "b"]},
    "correlogram": {"lags": np.arange(-5, 6) * 1e-3, "values": np.arange(11), "expected": np.full(11, 5), "low": np.full(11, 2), "high": np.full(11, 8)},
    "correlogram_matrix": {"values": [[0, 1, -2], [1, 0, 3], [-2, 3, 0]], "marked": [[0, 0, 0], [0, 0, 1], [0, 1, 0]]},
    "interval_histogram": {"intervals": RNG.exponential(0.03, 200), "refractory": 0.002},
    "psth": {"spikes": [0.1, 0.2, 0.3], "trial": [0, 1, 1], "times": TIMES, "rates": np.abs(TIMES) + 1},
    "tuning_curve": {"conditions": ["left", "right"], "values": [[10, 20]], "low": [[8, 17]], "high": [[12, 23]], "p": [0.001]},
    "coherence_spectrum": {"frequencies": np.arange(1, 51), "values": RNG.random((2, 50)), "level": np.full(50, 0.3), "labels": ["a", "b"]},
    "decoded_trace": {"times": np.arange(50) / 2, "true": np.sin(np.arange(50)), "decoded": np.cos(np.arange(50)), "edges": [10.0], "label": "velocity"},
    "weight_histogram": {"weights": {"before": RNG.normal(1, 0.1, 200), "after": RNG.normal(1.2, 0.3, 200)}},
    "state_posterior": {"posterior": np.repeat([[0.9, 0.1], [0.2, 0.8]], 30, axis=0), "true": np.repeat([0, 1], 30)},
    "coupling_matrix": {"couplings": RNG.standard_normal((2, 5, 5)), "labels": ["rest", "run"]},
    "latent_space": {"points": RNG.standard_normal((2, 40, 3)), "colour": np.stack([np.linspace(-3, 3, 40)] * 2), "names": ["a", "b"], "cyclic": True},
    "community_matrix": {"affinity": np.kron(np.eye(3), np.ones((4, 4))), "labels": np.repeat([0, 1, 2], 4), "true": np.repeat([0, 1, 2], 4)},
    "factor_courses": {"times": [5.0, 15.0, 25.0], "courses": [[0, 1], [1, 0.5], [0.5, 0]], "true": [[0, 1], [1, 0.4], [0.6, 0]]},
}  # fmt: skip
WRONG = {
    "calibration_curve": [{"amount": [50]}, {"conditions": ["adapted"]}, {"value": [["a", "b", "c"]]}],
    "confusion": [{"matrix": [[1, 2, 3], [4, 5, 6]]}, {"matrix": [[1, -2], [4, 5]]}, {"labels": ["a"]}, {"matrix": [["x", "y"], ["z", "w"]]}],
    "event_raster": [{"label": ["a"]}, {"onset": [np.nan] * 12}, {"run": ["1"]}],
    "image_rows": [{"rows": []}, {"rows": [np.zeros((4, 6, 6)), np.zeros((3, 6, 6))]}, {"rows": [np.full((4, 6, 6), 7.0)]}, {"notes": [0.5]}],
    "text_table": [{"cells": [["a"], ["b", "c"]]}, {"columns": ["one"]}, {"rows": ["x"]}, {"cells": []}],
    "picture_grid": [{"pictures": np.full((2, 3, 4, 4, 1), 2.0)}, {"names": ["one"]}, {"scores": [0.5]}],
    "control_bars": [{"rows": ["ridge", "prior_only", "x"]}, {"better": [True]}, {"low": [[0.1]]}],
    "guidance_curve": [{"scales": [0.0, 4.0, 1.0]}, {"judged": [[0.0, 1.0]]}, {"low": [[0.0]]}, {"baseline": [0.1]}],
    "csp_patterns": [{"patterns": RNG.standard_normal((19, 3))}, {"positions": np.full((20, 3), np.nan)}, {"names": ["one"]}],
    "r2_map": [{"freqs": [8.0, 12.0]}, {"ch_names": ["C3"]}, {"selected": np.eye(3)}],
    "evidence_curve": [{"accuracy": [0.4]}, {"repeats": [3, 2, 1]}, {"low": [0.3]}],
    "latency": [{"wait": []}, {"compute": [np.nan] * 50}],
    "replay_course": [{"values": []}, {"low": [0.1]}, {"labels": ["one"]}, {"sessions": ["1"]}],
    "adaptation_course": [{"trials": [24, 12, 36]}, {"labels": ["one"]}, {"low": [[0.3]]}],
    "site_map": [{"positions": [[-50.0, -30.0, 0.0], [-60.0, 20.0, 10.0], [np.nan] * 3]}, {"groups": [""]}, {"positions": np.full((3, 3), np.nan)}],
    "site_curves": [{"models": ["a", "b"]}, {"names": ["E1"]}, {"reference": "nobody"}],
    "region_shares": [{"counts": [9, 0]}, {"names": ["A"]}],
    "codebook_usage": [{"counts": []}, {"counts": [-1, 3]}],
    "null_histogram": [{"null": []}, {"observed": np.nan}],
    "position_map": [{"positions": np.full((20, 3), np.nan)}, {"positions": HEAD[:, :2]}, {"names": ["a"]}],
    "retrieval_curve": [{"top1": [0.1]}, {"low": [0.1]}, {"top1": [np.nan] * 3}],
    "retrieval_examples": [{"shown": np.zeros((3, 8, 8, 3))}, {"retrieved": np.full((2, 3, 8, 8, 3), 7.0)}, {"hit": [[1, 0]]}, {"rank": [1]}],
    "roc": [{"is_target": np.ones(40)}, {"scores": np.ones(3)}],
    "score_bars": [{"values": [0.7]}, {"low": [0.6]}, {"values": [0.7, np.inf]}],
    "subject_scores": [{"values": [0.7]}, {"chance": "half"}, {"controls": {"a": [0.5]}}, {"values": [0.7, np.nan]}],
    "timecourse": [{"values": TIMES[:5]}, {"significant": [True]}, {"low": np.zeros(3), "high": np.zeros(3)}],
    "topomap_times": [{"positions": HEAD[:3]}, {"times": TIMES[:3]}, {"values": np.zeros(20)}],
    "training_curves": [{"train": None, "history": {"accuracy": [1, 2]}}, {"validation": [np.nan] * 3}, {"train": []}],
    "voxel_map": [{"axis": "w"}, {"axes": "mm"}, {"values": np.full(len(GRID), np.nan)}, {"positions": GRID[:5]}],
    "glass_brain": [{"values": np.full(len(GRID), np.nan)}, {"positions": GRID[:5]}, {"positions": 1000 * GRID},
                    {"positions": np.full_like(GRID, np.nan)}, {"threshold": -1.0}],
    "surface_map": [{"left": None}, {"left": np.zeros(10)}, {"left": np.full(10242, np.nan)}, {"mesh": "fsaverage9"}, {"mesh": {"right": ()}},
                    {"mesh": {"left": (np.zeros((3, 3)), [[0, 1, 3]])}, "left": np.zeros(3)}],
    "roi_bars": [{"names": ["V1"]}, {"values": np.full((2, 3), np.nan)}, {"low": [0.0, 0.0, 0.0]}, {"points": np.zeros((4, 3))}, {"ceiling": [0.5]}],
    "score_ceiling": [{"ceiling": [0.5]}, {"ceiling": np.full(200, 50.0)}, {"score": np.full(200, np.nan)}, {"chosen": [True]}],
    "band_shares": [{"bands": ["visual"]}, {"shares": [0.1, 0.2]}, {"shares": np.full((2, 2), np.nan)}],
    "ladder": [{"names": ["A"]}, {"values": np.full((3, 5), np.nan)}, {"low": [0.1]}, {"values": np.zeros(5)}],
    "rdm_matrix": [{"rdms": np.ones(14)}, {"rdms": np.full(15, np.nan)}, {"conditions": ["a"]}, {"groups": ["a"]}, {"names": ["a"]}],
    "tag_spectrum": [{"spectra": [1.0, 2.0]}, {"rates": {"word": 9.0}}, {"labels": ["a"]}],
    "head_matrix": [{"values": np.full((2, 3), np.nan)}, {"marked": [[1]]}, {"layers": ["0"]}],
    "layer_curves": [{"values": np.full((2, 3), np.nan)}, {"names": ["a"]}, {"controls": np.zeros((2, 2))}, {"log": True, "values": [[-1.0, 0.2]]}],
    "layer_units": [{"layers": [0, 1]}, {"values": np.full(40, np.nan)}, {"selected": [True]}],
    "alignment_matrix": [{"values": np.full((1, 3), np.nan)}, {"models": ["a", "b"]}, {"regions": ["a"]}, {"stars": [[1]]}],
    "layer_alignment": [{"values": np.full((2, 3), np.nan)}, {"layers": ["0"]}, {"regions": ["a"]}, {"nuisance": [1.0]}],
    "model_bars": [{"names": ["a"]}, {"values": [np.nan, np.nan]}, {"low": [0.0]}, {"ceiling": [0.5]}],
    "raster": [{"unit": [0.5, 1, 1, 2]}, {"times": [0.1]}, {"groups": ["E"]}, {"limits": (1.0, 0.0)}],
    "rate_curve": [{"times": TIMES[::-1]}, {"values": [1.0, 2.0]}, {"labels": ["a"]}, {"values": np.full((2, len(TIMES)), np.nan)}],
    "correlogram": [{"lags": [0.0, -0.1]}, {"low": [1.0]}],
    "correlogram_matrix": [{"values": [[0, 1], [2, 0]]}, {"marked": [[1]]}],
    "interval_histogram": [{"intervals": [0.1, -0.1, 0.2]}, {"intervals": []}],
    "psth": [{"trial": [0]}, {"rates": [1.0]}],
    "tuning_curve": [{"conditions": ["a"]}, {"values": [[np.nan, np.nan]]}],
    "coherence_spectrum": [{"frequencies": [1, 2]}, {"labels": ["a"]}],
    "decoded_trace": [{"decoded": [1.0]}],
    "weight_histogram": [{"weights": {}}, {"weights": {"a": [np.nan]}}],
    "state_posterior": [{"posterior": [[0.9, 0.3]]}, {"true": [0]}],
    "coupling_matrix": [{"couplings": np.zeros((2, 3))}, {"labels": ["a"]}],
    "latent_space": [{"points": np.zeros((5, 4)), "colour": np.zeros(5)}, {"colour": [0.0]}],
    "community_matrix": [{"affinity": np.zeros((3, 4)), "labels": [0, 1, 1]}, {"labels": [0]}],
    "factor_courses": [{"times": [2.0, 1.0, 3.0]}, {"courses": np.ones((2, 2))}],
}  # fmt: skip
NAMES = registry.names("viz")


def drawn(name: str, **changes) -> Figure:
    return registry.get("viz", name)(**{**GOOD[name], **changes})


def test_each_picture_has_an_example_here():
    assert set(NAMES) == set(GOOD) == set(WRONG)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_figure_with_ink_and_pyplot_knows_nothing_of_it(name):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        figure = drawn(name, title="A title")
    assert isinstance(figure, Figure) and plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=-1)
    assert 0.005 < (pixels < 128).mean() < 0.6  # dark on white, whatever the user's settings


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_bytes(name):
    def svg() -> bytes:
        buffer = io.BytesIO()
        figure = drawn(name)
        with style():
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()

    assert svg() == svg()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_drawn_into_the_axes_that_is_given(name):
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert drawn(name, ax=right) is figure
    assert not left.lines and not left.images and not left.collections
    own = [a for a in figure.axes if a is not left and a.get_visible()]
    assert any(a.lines or a.images or a.collections or a.patches for a in own)


@pytest.mark.parametrize(("name", "changes"), [(name, change) for name in WRONG for change in WRONG[name]])
def test_odd_input_is_refused_with_a_message(name, changes):
    with pytest.raises(BraindecError):
        drawn(name, **changes)
