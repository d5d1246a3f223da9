"""Scores of the units of a language model; one score a file, each named by its :class:`~braindec.llm.score.UnitScore`."""
