"""Leaves out decoded silence, where the output holds more silence than was sent."""

from __future__ import annotations

import array

from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE

QUIET_PEAK = 103
"""Highest sample of a quiet frame: -50 dBFS, well below a word's softest sound."""

BORDER = SAMPLE_RATE // 10
"""Quiet samples after a sound that always stay: longer than a plosive's closure."""


class Trimmer:
    """
    Shortens the pauses of one track, never the sounds.

    After :data:`BORDER` the first half of each quiet frame goes: the half that may
    lie next to a sound's beginning stays, and pauses are still heard as such.
    """

    def __init__(self) -> None:
        self._quiet = 0
        """Samples since the last sound, as far as they were looked at."""

    def trim(self, pcm: bytes, surplus: int) -> bytes:
        """Return a frame's PCM without at most ``surplus`` samples at its start."""
        if surplus <= 0 or not _is_quiet(pcm):
            self._quiet = 0
            return pcm
        before = self._quiet
        samples = len(pcm) // BYTES_PER_SAMPLE
        self._quiet += samples
        if before < BORDER:
            return pcm
        return pcm[min(surplus, samples // 2) * BYTES_PER_SAMPLE :]


def _is_quiet(pcm: bytes) -> bool:
    samples = array.array("h", pcm)
    return not samples or -QUIET_PEAK <= min(samples) <= max(samples) <= QUIET_PEAK
