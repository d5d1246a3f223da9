"""The room of honesty: splits, metrics, controls, retrieval, audit."""
