"""
What the recogniser compares: speech from 200 to 800 Hz, at 4000 values a second.

There a codec keeps the waveform, and a shift by a fraction of a value costs little.
Below, codecs for speech cut off: the pop of a plosive that is loudest of all in the
original may not be there. Levels are without it, too. A value is centred on its place:
value ``k`` stands for sample ``4 * k``. An index of a programme is made once and may
serve any number of recognisers.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

from tests.servers.programme import RATE, Programme, Samples

STEP = 4
"""Samples for one value."""
VALUES = RATE // STEP
"""Values a second."""
LAG = 128
"""Samples after its place that a value depends on."""

_TAPS = 2 * LAG + 1
_LOW_HZ, _HIGH_HZ = 200, 800
_AVERAGED = RATE // 250
_BLOCK = 1 << 18
_QUERY_MAX = VALUES
_VICINITY = VALUES // 50
_ROWS = 8192

Values = npt.NDArray[np.float32]


def _band_pass() -> Values:
    at = np.arange(_TAPS) - LAG

    def low_pass(hertz: float) -> npt.NDArray[np.float64]:
        ratio = 2 * hertz / RATE
        return np.asarray(ratio * np.sinc(ratio * at), dtype=np.float64)

    taps = (low_pass(_HIGH_HZ) - low_pass(_LOW_HZ)) * np.hamming(_TAPS)
    return taps.astype(np.float32)


_FILTER = _band_pass()


def values_of(samples: Samples) -> Values:
    """Return a value for each fourth sample that has ``LAG`` samples on both sides."""
    if len(samples) < _TAPS:
        return np.zeros(0, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _TAPS)[::STEP]
    rows = range(0, len(windows), _ROWS)
    parts = [windows[i : i + _ROWS].astype(np.float32) @ _FILTER for i in rows]
    return np.concatenate(parts)


def without_rumble(samples: Samples) -> npt.NDArray[np.float64]:
    """Return what is above some 150 Hz, of the samples that have ``LAG`` both sides."""
    summed = np.cumsum(samples, dtype=np.float64)
    half = _AVERAGED // 2
    middle = slice(LAG, len(samples) - LAG)
    after = summed[LAG + half : len(samples) - LAG + half]
    before = summed[LAG - half - 1 : len(samples) - LAG - half - 1]
    return samples[middle] - (after - before) / (2 * half + 1)


def level_of(samples: npt.NDArray[np.float64]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(samples @ samples / len(samples))) if len(samples) else 0.0


def likeness(a: Values, b: Values) -> float:
    """Return the normalised correlation."""
    return float(a @ b / np.sqrt(float(a @ a) * float(b @ b) + 1.0))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the programme a piece was found."""

    at: int
    """The value of the programme at which it starts."""
    score: float
    """How like it is, at most 1."""
    rival: float
    """How like the best other place is."""


class Index:
    """The programme's values, and where in them a piece of audio is."""

    def __init__(self, programme: Programme) -> None:
        pad = np.zeros(LAG, dtype=np.int16)
        padded = np.concatenate((pad, programme.samples, pad))
        self.values = values_of(padded)
        self._energy = _summed(self.values.astype(np.float64))
        self._power = _summed(without_rumble(padded))[::STEP]
        self._hop = _BLOCK - _QUERY_MAX
        starts = range(0, len(self.values), self._hop)
        self._spectra = [
            np.fft.rfft(self.values[start : start + _BLOCK], _BLOCK) for start in starts
        ]

    def piece(self, start: int, count: int) -> Values:
        """Return values; nothing but zeros lies outside the programme."""
        if start >= 0 and start + count <= len(self.values):
            return self.values[start : start + count]
        result = np.zeros(count, dtype=np.float32)
        low, high = max(0, start), min(len(self.values), start + count)
        if low < high:
            result[low - start : high - start] = self.values[low:high]
        return result

    def level(self, start: int, count: int) -> float:
        """Return the level of the samples that the values stand for."""
        low = min(max(0, start), len(self._power) - 1)
        high = min(max(0, start + count), len(self._power) - 1)
        return float(np.sqrt((self._power[high] - self._power[low]) / (count * STEP)))

    def find(
        self, query: Values, *, near: int | None = None, reach: int = 0
    ) -> Place | None:
        """
        Return the place that is most like the query, which is at most a second long.

        Args:
            query: The values to find.
            near: Look only around here; else in the whole programme.
            reach: How far around.

        """
        last = len(self.values) - len(query)
        low = 0 if near is None else max(0, near - reach)
        high = last if near is None else min(last, near + reach)
        if low >= high:
            return None
        scores = self._scores(query, low, high)
        best = int(np.argmax(scores))
        score = float(scores[best])
        scores[max(0, best - _VICINITY) : best + _VICINITY + 1] = 0.0
        return Place(at=low + best, score=score, rival=float(scores.max()))

    def _scores(self, query: Values, low: int, high: int) -> Values:
        spectrum = np.conj(np.fft.rfft(query, _BLOCK))
        scores = np.zeros(high - low, dtype=np.float32)
        for number in range(low // self._hop, (high - 1) // self._hop + 1):
            start = number * self._hop
            first, end = max(low, start), min(high, start + self._hop)
            found = np.fft.irfft(self._spectra[number] * spectrum, _BLOCK)
            scores[first - low : end - low] = found[first - start : end - start]
        ends = slice(low + len(query), high + len(query))
        energy = self._energy[ends] - self._energy[low:high]
        # Without the constant a near silence would be like anything.
        own = float(query @ query)
        scores /= np.sqrt(energy * own + own * len(query) * 25.0 + 1.0)
        return scores


def _summed(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate(([0.0], np.cumsum(np.square(signal))))


@functools.lru_cache(maxsize=4)
def index_of(programme: Programme) -> Index:
    """Return the index of a programme, made once."""
    return Index(programme)
