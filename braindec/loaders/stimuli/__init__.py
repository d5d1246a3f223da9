"""Features of sounds, words and films over time, one kind a file: each gives a series on the time of the stimulus."""
