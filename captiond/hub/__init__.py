"""Hub: the log of each stream and its fan-out."""
