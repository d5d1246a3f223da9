"""Label shuffle: the whole cross-validation on permuted labels; its mean must lie at chance, its spread is the null."""

from __future__ import annotations

from braindec.evaluate._folds import Context, FoldScores

__all__ = ["label_shuffle"]


def label_shuffle(context: Context, decoded: FoldScores) -> FoldScores:
    """Return the decoded row's permutations without its scores: mean and 95 % range of the null are the row."""
    return FoldScores(
        [], decoded.null, note=f"{len(context.labellings)} permutations, {context.how}; range is that of the null"
    )
