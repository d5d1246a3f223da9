"""Twin ``tuckute2024``: language regions of 10 participants who read single sentences, in the table of Tuckute et al. (2024).

``brain-lang-data_participant_20230728.csv``: 5 training participants read ``n_sentences`` baseline sentences (B), 5 others some of them and
sentences that drive (D) or suppress (S). Sentences are of the package's own grammar. "semantic" drives all regions, "surface" the temporal
ones, "order" (like "surface", r = 0.5) none; lang_LH_netw is the mean of the others. Driving sentences raise all responses.
``truth``: for each participant ``848/signal_share``, ``848/unique/<band>``, ``848/weights``; ``regions``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindec.loaders._language_words import sentence
from braindec.loaders._twin_bold import encoding_settings
from braindec.loaders._twin_sentences import BANDS, grouped_features, respond, sentence_features
from braindec.loaders.readers.tuckute2024 import FILE, TRAIN
from braindec.loaders.twin import Twin, write_features, write_truth

__all__ = ["make"]

_OTHERS = ("901", "902", "903", "904", "905")  # made up: the real numbers of the evaluation participants are not used
_REGIONS = ("lang_LH_AntTemp", "lang_LH_IFG", "lang_LH_IFGorb", "lang_LH_MFG", "lang_LH_PostTemp")


def make(folder: Path, *, seed: int = 0, n_sentences: int = 200) -> Twin:
    """Write the twin.

    Parameters
    ----------
    n_sentences : int
        Baseline sentences (1,000 in the real data); a fifth as many drive, and suppress.
    """
    rng = np.random.default_rng([seed, 0])
    extra = n_sentences // 5
    n = n_sentences + 2 * extra
    texts: dict[str, None] = {}
    while len(texts) < n:
        texts[" ".join(word for word, _ in sentence(rng, n_words=6)).capitalize() + "."] = None
    conditions = np.repeat(["B", "D", "S"], [n_sentences, extra, extra])
    values = grouped_features(np.arange(n), rng)
    items = np.arange(1, n + 1)
    write_features(folder, sentence_features(values, [str(k) for k in items]))
    temporal = np.array(["Temp" in name for name in _REGIONS])
    lift = np.select([conditions == "D", conditions == "S"], [0.8, -0.8], 0.0)
    tables, truth = [], {}
    for number, who in enumerate((*TRAIN, *_OTHERS)):
        own = np.random.default_rng([seed, 1, number])
        shares = {"semantic": 0.3 * own.uniform(0.6, 1.0, len(_REGIONS)), "surface": np.where(temporal, 0.15, 0.0)}
        response, planted = respond(values, np.arange(n), shares, own)
        truth |= planted.arrays(who)
        rows = (
            np.flatnonzero(conditions == "B")
            if who in TRAIN
            else np.flatnonzero((conditions != "B") | (items % 4 == 0))
        )
        named = dict(zip(_REGIONS, response[rows].T, strict=True))
        named["lang_LH_netw"] = response[rows].mean(axis=1)
        for roi, course in named.items():
            scored = course + lift[rows]
            tables.append(pd.DataFrame({
                "item_id": items[rows], "sentence": [list(texts)[k] for k in rows], "cond": conditions[rows],
                "cond_approach": np.where(conditions[rows] == "B", "B", [f"{c}_search" for c in conditions[rows]]), "target_UID": who, "roi": roi,
                "response_target": np.round(scored, 6), "response_target_non_norm": np.round(1.5 + 0.5 * scored, 6),
            }))  # fmt: skip
    pd.concat(tables, ignore_index=True).to_csv(folder / FILE, index=False, lineterminator="\n")
    write_truth(folder, {**truth, "regions": np.arange(len(_REGIONS))})
    about = {"seed": seed, "n_sentences": n_sentences, "bands": [b.name for b in BANDS], "regions": list(_REGIONS)}
    settings = encoding_settings(BANDS, delays=None, split={"by": "concept_id", "n_folds": 5})
    return Twin(folder, "tuckute2024", "tuckute2024", "voxelwise_encoding", {}, settings, about)
