"""Names of scores and rows as people read them."""

from __future__ import annotations

import pytest

from braindec.report.words import row_name


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("over_no_recurrence", "over neurons without recurrence"),
        ("over_input_counts", "over counts of the input"),
        ("steered_from_weak", "steered, weak at first"),
    ],
)
def test_rows_are_words(row, words):
    assert row_name(row, "balanced_accuracy_difference") == words
