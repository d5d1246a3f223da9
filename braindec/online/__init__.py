"""Decoding as it would run live: causal replay of recordings, latency, information transfer, streams."""
