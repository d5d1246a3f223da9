"""Results folders as ``braindec run`` leaves them, their numbers computed from simulated scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braindec.types import Result

VERSIONS = {
    "python": "3.11.9",
    "braindec": "0.1.0",
    "numpy": "2.3.4",
    "scipy": "1.16.3",
    "pandas": "2.3.3",
    "mne": "1.13.2",
    "scikit-learn": "1.9.1",
}
PROVENANCE = {"versions": VERSIONS, "commit": "4e416512aa0c4b1d0f6c3f1e2d9a7b5c8e0f1a2b", "host": "lab-laptop", "platform": "Linux-6.1",
              "finished": "2026-11-20 14:03:22 +0100"}  # fmt: skip
CONFIG = {"question": "Did the person see a target or a nontarget?", "seed": 0,
          "data": {"dataset": "muse-p300", "root": "data/muse-p300", "reader": None, "options": {}}, "select": {"subjects": None},
          "signal": [{"filter": {"low": 1.0, "high": 20.0}}, {"resample": {"sfreq": 64.0}}],
          "epochs": {"tmin": 0.0, "tmax": 0.8}, "split": {"by": "run", "n_folds": None, "gap": 0.0}}  # fmt: skip
CITATIONS = [{"key": "krigolson2017", "text": "Krigolson et al. (2017). Choosing MUSE: validation of a low-cost, portable EEG system for ERP "
              "research. Front Neurosci 11, 109.", "doi": "10.3389/fnins.2017.00109"}]  # fmt: skip


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve from ranks."""
    ranks = score.argsort().argsort() + 1.0
    n = truth.sum()
    return float((ranks[truth].sum() - n * (n + 1) / 2) / (n * (~truth).sum()))


def tested(rng: np.random.Generator, score: np.ndarray, truth: np.ndarray, n: int = 200) -> tuple[dict, np.ndarray]:
    """Value, interval by bootstrap and p by permutation of one row."""
    value = auc(score, truth)
    drawn = [auc(score[i], truth[i]) for i in rng.integers(0, len(score), (n, len(score)))]
    null = np.array([auc(score, rng.permutation(truth)) for _ in range(n)])
    low, high = np.percentile(drawn, [2.5, 97.5])
    p = (1 + (null >= value).sum()) / (1 + n)
    return {"value": value, "chance": 0.5, "low": low, "high": high, "p": p, "n": len(score)}, null


def finding(check: str, level: str, message: str, fix: str = "", **evidence) -> dict:
    return {"check": check, "level": level, "message": message, "evidence": evidence, "fix": fix, "reference": ""}


def write_unit(out: Path, keys: dict, result: Result) -> None:
    """One unit's folder, as the engine leaves it."""
    folder = out / "units" / "_".join(f"{k}-{v}" for k, v in keys.items())
    made_by = {**result.made_by, "unit": keys, "recipe": "erp_classification", "config": CONFIG, "key": "9f" * 16, "seconds": 12.4,
               "inputs": {f"sub-{keys.get('subject')}_run-{r}_eeg.vhdr": f"sha256:{r:02d}ab34cd" for r in range(1, 4)},
               "citations": CITATIONS, **PROVENANCE}  # fmt: skip
    Result(result.scores, result.arrays, made_by).save(folder)
    (folder / "status.json").write_text(json.dumps({"state": "done", "unit": keys, "key": "9f" * 16}))


def write_failed(out: Path, keys: dict, error: str) -> None:
    folder = out / "units" / "_".join(f"{k}-{v}" for k, v in keys.items())
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"state": "failed", "unit": keys, "error": error}))


def write_root(out: Path, *, failures: list[dict] = (), recipe: str = "erp_classification", **made_by) -> None:
    """The files of the run itself."""
    out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(list(failures)) if failures else pd.DataFrame(columns=["error"])
    table.to_csv(out / "failures.csv", index=False)
    content = {"recipe": recipe, "title": "Which kind of event was it?", "question": CONFIG["question"], "config": CONFIG,
               "doc": "Which kind of event was it?\n\nWindows around each event, a linear classifier with shrinkage, whole runs held out, "
               "p-values by refitting on permuted labels, and control rows beside every score.\n",
               "cohort": "recipes/cohorts/muse-p300.yaml", "citations": CITATIONS, **PROVENANCE, **made_by}  # fmt: skip
    (out / "made_by.json").write_text(json.dumps(content))
    (out / "scores.csv").write_text("metric,version,row,value,chance,low,high,p,n\n")


def classification_unit(
    subject: str, strength: float, *, n: int = 900, leak: bool = False, seed: int = 0, maps: bool = True
) -> Result:
    """Two classes (1 in 6 targets), a decision value with a known separation, and control rows."""
    rng = np.random.default_rng([seed, int(subject)])
    truth = rng.random(n) < 1 / 6
    score = rng.standard_normal(n) + strength * truth
    decoded, null = tested(rng, score, truth)
    rows = [{"row": "decoded", **decoded}]
    rows.append({"row": "label_shuffle", "value": null.mean(), "chance": 0.5, "low": np.percentile(null, 2.5),
                 "high": np.percentile(null, 97.5), "p": np.nan, "n": n, "note": f"mean and 95 % of {len(null)} permutations"})  # fmt: skip
    rows.append({"row": "noise_input", **tested(rng, rng.standard_normal(n), truth)[0]})
    rows.append({"row": "time_only", **tested(rng, rng.standard_normal(n) + 0.9 * leak * truth, truth)[0]})
    scores = pd.DataFrame([{"subject": subject, "metric": "auc", "version": "1", **row} for row in rows])
    accuracy = scores.assign(metric="balanced_accuracy", value=0.5 + 0.8 * (scores["value"] - 0.5), low=0.5 + 0.8 * (scores["low"] - 0.5),
                             high=0.5 + 0.8 * (scores["high"] - 0.5))  # fmt: skip
    guess = score > np.quantile(score, 0.75)
    confusion = np.array(
        [[(guess[truth]).sum(), (~guess[truth]).sum()], [(guess[~truth]).sum(), (~guess[~truth]).sum()]]
    )
    arrays = {"confusion": confusion, "null/auc": null}
    panels = [
        {"draw": "confusion", "title": "Confusion matrix", "args": {"matrix": "@confusion", "labels": ["target", "nontarget"]},
         "caption": "Held-out windows only, all folds together."},
        {"draw": "null_histogram", "title": "Observed against permuted labels", "caption": f"The whole cross-validation on {len(null)} permutations.",
         "args": {"observed": decoded["value"], "null": "@null/auc", "label": "AUC", "chance": 0.5}},
    ]  # fmt: skip
    if maps:
        times = np.arange(0, 0.8, 1 / 64)
        positions = np.array([[-0.08, -0.02, -0.02], [-0.045, 0.07, 0.02], [0.045, 0.07, 0.02], [0.08, -0.02, -0.02]])
        f = rng.chisquare(1, (4, len(times))) + 40 * strength * np.exp(-(((times - 0.35) / 0.09) ** 2)) * np.array(
            [[1.0], [0.4], [0.5], [0.9]]
        )
        arrays.update({"difference/f": f, "difference/times": times, "difference/positions": positions,
                       "difference/channels": np.array(["TP9", "AF7", "AF8", "TP10"], dtype=object)})  # fmt: skip
        panels.append(
            {"draw": "topomap_times", "title": "Where and when the classes differ",
             "caption": "F of the class means against the variance within classes, all windows: descriptive, no test.",
             "args": {"values": "@difference/f", "times": "@difference/times", "positions": "@difference/positions",
                      "ch_names": "@difference/channels", "label": "F", "unit": ""}}
        )  # fmt: skip
    findings = [
        finding("content_overlap", "skip", "trials have no stimulus_id", fix="add stimulus_id"),
        finding("adjacent_windows", "pass", "training and test windows of one recording are at least 2.1 s apart", gap=2.1),
        finding("block_design", "fail" if leak else "pass", f"class predicted from time alone: AUC {0.73 if leak else 0.51}",
                fix="present classes in random order, or test across sessions" if leak else "", auc=0.73 if leak else 0.51, folds=6),
        finding("rank", "warn" if subject == "02" else "pass", "4 channels of rank 3" if subject == "02" else "4 channels of rank 4",
                fix="leave out one of TP9, TP10" if subject == "02" else "", rank=3 if subject == "02" else 4, singular_values=[3.1e-5, 2.2e-5, 8e-6, 1e-12]),
        finding("fit_scope", "pass", "12 fitted steps saw training rows only", steps=12),
    ]  # fmt: skip
    level = min((f["level"] for f in findings), key=["fail", "warn", "pass", "skip"].index)
    made_by = {"panels": panels, "audit": {"level": level, "findings": findings},
               "overview": {"modality": "eeg", "windows": n, "classes": {"nontarget": int((~truth).sum()), "target": int(truth.sum())},
                            "runs": 6 + int(subject) % 3, "channels": "4 (4 eeg)", "sampling frequency (Hz)": 64.0, "window (s)": "0 to 0.8",
                            "channels left out": "none", "events left out": f"{int(subject)} events leave run 3"},
               "warnings": ["RuntimeWarning: 1 flat stretch of 0.8 s in TP9"] if subject == "02" else [],
               "notes": ["whole runs are held out; runs are 2 min long"]}  # fmt: skip
    return Result(pd.concat([scores, accuracy], ignore_index=True), arrays, made_by)


def mean_result(results: list[Result], metrics=("auc", "balanced_accuracy")) -> Result:
    """The mean over subjects with an interval over subjects."""
    rng = np.random.default_rng(0)
    rows = []
    for metric in metrics:
        for row in ("decoded", "label_shuffle", "noise_input", "time_only"):
            table = pd.concat([r.scores[(r.scores["metric"] == metric) & (r.scores["row"] == row)] for r in results])
            values = table["value"].to_numpy()
            low, high = np.percentile([rng.choice(values, len(values)).mean() for _ in range(500)], [2.5, 97.5])
            rows.append({"subject": "mean", "metric": metric, "version": "1", "row": row, "value": values.mean(), "chance": table["chance"].mean(),
                         "low": low, "high": high, "p": 0.005 if row == "decoded" else np.nan, "n": len(values)})  # fmt: skip
    return Result(pd.DataFrame(rows))


def retrieval_unit(subject: str, strength: float, *, n_items: int = 60, size: int = 64, seed: int = 1) -> Result:
    """Noisy embeddings against named candidates: real ranks, repetition curve, pictures, training curves."""
    rng = np.random.default_rng([seed, int(subject)])
    true = rng.standard_normal((n_items, 32))

    def ranks(k: int, strength: float = strength) -> np.ndarray:
        seen = strength * true + rng.standard_normal(true.shape) / np.sqrt(k)
        similarity = seen @ true.T / np.linalg.norm(true, axis=1)
        return 1 + (similarity > np.diag(similarity)[:, None]).sum(axis=1), similarity

    rows, facts = [], {"direction": "brain_to_image", "n_candidates": n_items}
    for name, effect in (
        ("decoded", strength),
        ("ridge baseline", 0.7 * strength),
        ("label_shuffle", 0),
        ("noise_input", 0),
        ("untrained", 0),
    ):
        own = ranks(4, effect)[0]
        for metric, k in (("top1", 1), ("top5", 5)):
            hits = own <= k
            null = rng.binomial(n_items, k / n_items, 1000) / n_items
            drawn = [rng.choice(hits, n_items).mean() for _ in range(300)]
            rows.append({"subject": subject, "metric": metric, "version": "1", "row": name, "value": hits.mean(), "chance": k / n_items,
                         "low": np.percentile(drawn, 2.5), "high": np.percentile(drawn, 97.5),
                         "p": (1 + (null >= hits.mean()).sum()) / 1001, "n": n_items, **facts})  # fmt: skip
        drawn = [np.median(rng.choice(own, n_items)) for _ in range(300)]
        rows.append({"subject": subject, "metric": "median_rank", "version": "1", "row": name, "value": np.median(own), "chance": (n_items + 1) / 2,
                     "low": np.percentile(drawn, 2.5), "high": np.percentile(drawn, 97.5), "p": 0.001 if effect else 0.6, "n": n_items, **facts})  # fmt: skip
    counts = np.array([1, 2, 4, 8, 16])
    top1 = np.array([(ranks(k)[0] <= 1).mean() for k in counts])
    half = 1.96 * np.sqrt(top1 * (1 - top1) / n_items) + 0.01
    best, similarity = ranks(8)
    chosen = np.argsort(best, kind="stable")[np.linspace(0, n_items - 1, 6).round().astype(int)]
    order = np.argsort(-similarity[chosen], axis=1)[:, :5]
    pictures = np.stack([photo(i, size) for i in range(n_items)])
    epochs = np.arange(30)
    arrays = {"curve/k": counts, "curve/top1": top1, "curve/low": np.clip(top1 - half, 0, 1), "curve/high": np.clip(top1 + half, 0, 1),
              "examples/shown": pictures[chosen], "examples/retrieved": pictures[order], "examples/hit": order == chosen[:, None],
              "examples/rank": best[chosen].astype(float), "training/train": 4 * np.exp(-epochs / 7) + 0.4,
              "training/validation": 2.6 * np.exp(-epochs / 6) + 1.6 + 0.012 * epochs}  # fmt: skip
    panels = [
        {"draw": "retrieval_curve", "title": "Top-1 against the number of averaged trials", "caption": "Band: 95 % over items.",
         "args": {"k": "@curve/k", "top1": "@curve/top1", "low": "@curve/low", "high": "@curve/high", "chance": 1 / n_items, "n": n_items,
                  "n_candidates": n_items}},
        {"draw": "training_curves", "title": "Training", "caption": "Early stopping on validation images.",
         "args": {"history": {"train": "@training/train", "validation": "@training/validation"}, "chosen": 17}},
        {"draw": "retrieval_examples", "title": "Examples, from the best to the worst rank",
         "caption": "Left: the image that was shown. Right: the best candidates; the true one is framed. Spread evenly over all ranks.",
         "args": {"shown": "@examples/shown", "retrieved": "@examples/retrieved", "hit": "@examples/hit", "rank": "@examples/rank",
                  "n_candidates": n_items}},
    ]  # fmt: skip
    findings = [finding("content_overlap", "pass", "no concept of the test part is in the training part", test=n_items, shared=0),
                finding("duplicate_candidates", "pass", f"{n_items} candidates, all different")]  # fmt: skip
    made_by = {"panels": panels, "audit": {"level": "pass", "findings": findings},
               "overview": {"modality": "eeg", "windows": 4000, "channels": "32 (32 eeg)", "images": 400, "test images": n_items}}  # fmt: skip
    return Result(pd.DataFrame(rows), arrays, made_by)


def photo(number: int, size: int) -> np.ndarray:
    """A picture with many colours, like a photograph: shaded shapes on a gradient with grain."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:size, :size] / size
    picture = np.stack([0.3 + 0.4 * (a * x + b * y) for a, b in rng.random((3, 2))], axis=-1)
    for _ in range(3):
        cx, cy, r = rng.random(3) * [1, 1, 0.3] + [0, 0, 0.08]
        inside = np.clip(1 - ((x - cx) ** 2 + (y - cy) ** 2) / r**2, 0, 1)[..., None] ** 0.3
        picture = picture * (1 - inside) + inside * rng.random(3) * (0.6 + 0.4 * (1 - y))[..., None]
    return (255 * np.clip(picture + 0.03 * rng.standard_normal(picture.shape), 0, 1)).astype(np.uint8)


def classification_run(out: Path, strengths: dict[str, float] | None = None, **options) -> Path:
    """Four subjects, of whom two carry almost nothing; the mean over them."""
    strengths = strengths or {"01": 1.2, "02": 0.0, "03": 0.05, "05": 0.5}
    results = []
    for subject, strength in strengths.items():
        results.append(classification_unit(subject, strength, **options))
        write_unit(out, {"subject": subject}, results[-1])
    if len(results) > 1:
        mean_result(results).save(out / "summary")
    write_root(out)
    return out


@pytest.fixture(scope="session")
def folders():
    """The functions above, for the tests."""
    from types import SimpleNamespace

    return SimpleNamespace(**{k: v for k, v in globals().items() if callable(v)})


@pytest.fixture(scope="session")
def classification(tmp_path_factory):
    """A finished run of four subjects."""
    return classification_run(tmp_path_factory.mktemp("classification"))
