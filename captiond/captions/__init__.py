"""Captions: hypotheses to cues. No I/O."""
