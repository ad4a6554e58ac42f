"""captiond: a live captioning daemon."""
