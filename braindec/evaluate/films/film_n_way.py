"""N-way identification over clips, with the classes of a classifier of films, or of frames (scores averaged over frames).

See ``n_way`` for versions, chance (any of three raises it: .75 in two-way) and the prior's guess, which must stand beside it.

Source: Chen, Qing & Zhou 2023 (NeurIPS, "MinD-Video"), any of the first three classes, 100 trials. Differs from the reference
in: its default is the exact expectation with one right class; ``mindvideo-2023`` is theirs.
"""

from __future__ import annotations

from braindec.evaluate.pictures.n_way import make_n_way

__all__ = ["film_n_way"]

film_n_way = make_n_way(
    "film_n_way",
    kind="films",
    describe="is the class of the clip shown among the first k of n classes for the clip made?",
)
