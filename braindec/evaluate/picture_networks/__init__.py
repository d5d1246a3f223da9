"""Networks that describe pictures for the metrics, one a file: built in, or with local weights."""
