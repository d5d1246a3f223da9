"""Film two-way identification: are the features of the made film nearer to those of its own stimulus than to another film's?

A network of single pictures describes each frame and the descriptions of all frames stand in a row (the film is identified
as a whole, time included); a network of films (``films = True``) describes the clip. See ``two_way``.

Source: two-way identification of Ozcelik & VanRullen 2023, over clips.
"""

from __future__ import annotations

from dataclasses import replace

from braindec.evaluate.pictures.two_way import two_way

__all__ = ["film_two_way"]

film_two_way = replace(
    two_way,
    name="film_two_way",
    kind="films",
    versions={v: two_way.versions[v] for v in ("strict", "mindeye-2023")},
    about={
        "strict": "ties count one half; features of all frames in a row",
        "mindeye-2023": "ties lose; features of all frames in a row",
    },
    describe="share of other films whose features correlate less with those of the made film than its own stimulus's",
    blind_says="the mean training film for every item: .5 by symmetry",
)
