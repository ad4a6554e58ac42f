"""The last seconds of received audio, as the recogniser compares it."""

from __future__ import annotations

import av
import numpy as np
from av.audio.frame import AudioFrame

from tests.servers.acoustics import (
    LAG,
    STEP,
    VALUES,
    Values,
    level_of,
    values_of,
    without_rumble,
)
from tests.servers.programme import RATE, Samples

CELL = VALUES // 50
"""Values that are compared at once: 20 ms."""

_CELL_SAMPLES = CELL * STEP


class Received:
    """
    Cells of audio, whatever the chunks were in which it came.

    Args:
        rate: Samples per second of what comes.

    """

    def __init__(self, rate: int) -> None:
        self._resampler: av.AudioResampler | None = None
        if rate != RATE:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        self._rate = rate
        self._taken = 0
        self._odd = b""
        # What waits for a whole cell, and before it what the filter needs.
        self._samples: Samples = np.zeros(LAG, dtype=np.int16)
        self._values: Values = np.zeros(0, dtype=np.float32)
        self._levels: list[float] = []
        self.first = 0
        """The oldest cell that is kept."""

    @property
    def seconds(self) -> float:
        """Return how much has come."""
        return self._taken / self._rate

    @property
    def end(self) -> int:
        """Return the value after the last one."""
        return self.first * CELL + len(self._values)

    def take(self, pcm: bytes) -> None:
        """Take in 16 bit mono PCM."""
        pcm = self._odd + pcm
        whole = len(pcm) // 2 * 2
        self._odd = pcm[whole:]
        samples = np.frombuffer(pcm[:whole], dtype=np.int16)
        self._taken += len(samples)
        self._samples = np.concatenate((self._samples, self._resampled(samples)))
        used = (len(self._samples) - 2 * LAG) // _CELL_SAMPLES * _CELL_SAMPLES
        if used <= 0:
            return
        values = values_of(self._samples[: used + 2 * LAG - STEP + 1])
        self._values = np.concatenate((self._values, values))
        cleared = without_rumble(self._samples[: used + 2 * LAG])
        for start in range(0, used, _CELL_SAMPLES):
            self._levels.append(level_of(cleared[start : start + _CELL_SAMPLES]))
        self._samples = self._samples[used:]

    def level(self, cell: int) -> float:
        """Return the level of a cell's samples."""
        return self._levels[cell - self.first]

    def piece(self, start: int, count: int) -> Values:
        """Return values; those before the first are zeros."""
        start -= self.first * CELL
        if start >= 0:
            return self._values[start : start + count]
        head = np.zeros(-start, dtype=np.float32)
        return np.concatenate((head, self._values[: start + count]))

    @property
    def rest_seconds(self) -> float:
        """Return how much there is after the last whole cell."""
        return max(0, len(self._samples) - LAG) / RATE

    def rest_level(self) -> float:
        """Return the level of most of what there is after the last whole cell."""
        return level_of(without_rumble(self._samples))

    def forget(self, cell: int) -> None:
        """Drop what is before a cell."""
        if cell > self.first:
            self._values = self._values[(cell - self.first) * CELL :]
            del self._levels[: cell - self.first]
            self.first = cell

    def _resampled(self, samples: Samples) -> Samples:
        if self._resampler is None or not len(samples):
            return samples
        frame = AudioFrame.from_ndarray(
            samples.reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate = self._rate
        parts = [part.to_ndarray()[0] for part in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else samples[:0]
