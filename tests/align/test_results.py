"""What the page of an encoding is told: notes of folds joined, reliable channels first."""

from __future__ import annotations

import pandas as pd

from braindec.align.results import joined_notes, reliable_first


def test_notes_that_folds_say_alike_become_one():
    told = "of 2352 columns of band 'pixels' never change in the training rows and count as 0"
    notes = [
        "first",
        *(f"block-{i}: {n} {told}" for i, n in enumerate((894, 921, 900))),
        f"block-0: 3 {told.replace('pixels', 'gabor')}",
        "last",
    ]
    assert joined_notes([*notes, "last"]) == [
        "first",
        "894 to 921 of 2,352 columns of band 'pixels' never change in the training rows and count as 0 (in 3 folds).",
        "3 of 2,352 columns of band 'gabor' never change in the training rows and count as 0 (in 1 fold).",
        "last",
    ]


def test_reliable_channels_come_first_and_the_rest_keeps_its_order():
    scores = pd.DataFrame({"region": ["all channels", "reliable", "V1", "reliable"], "row": list("abcd")})
    assert reliable_first(scores)["row"].tolist() == list("bdac")
    assert reliable_first(scores[scores["region"] != "reliable"])["row"].tolist() == list("ac")
