"""
Words kept out of pauses: times of words are guesses, silences are not.

No I/O. Whoever cuts audio in a pause cuts no word. Where a word's times reach into or
across a pause, as they do where times were spread evenly, it lies on one side of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tests.servers.words import Word

FRAME = 0.01
"""Seconds."""

QUIET_DB = 22.0
"""A frame so far below the loudest one near it is a pause."""

NOISE_DB = 10.0
"""So is one no louder than this above the quietest one."""

NEAR = 1.0
"""Seconds that count as near."""

SHORTEST_PAUSE = 0.08
SHORTEST_WORD = 0.05
MOVED_WORD = 0.1


def keep_out(
    samples: npt.NDArray[np.int16], words: Sequence[Word], *, rate: int
) -> tuple[Word, ...]:
    """Return the words with times that no longer reach into pauses."""
    found = _pauses(_levels(samples, rate))
    starts = [pause[0] for pause in found]
    kept = []
    earliest = 0.0
    for word in words:
        start, end = word.start, word.end
        first = max(int(np.searchsorted(starts, start)) - 1, 0)
        for begin, stop in found[first:]:
            if begin >= end:
                break
            if stop > start:
                start, end = _leave(start, end, begin, stop)
        start = max(start, earliest)
        end = max(end, start + SHORTEST_WORD)
        earliest = end
        kept.append(dataclasses.replace(word, start=start, end=end))
    return tuple(kept)


def _leave(start: float, end: float, begin: float, stop: float) -> tuple[float, float]:
    """Return the larger side of a word in a pause, or the edge that is nearer."""
    before, after = begin - start, end - stop
    if max(before, after) > 0:
        return (start, begin) if before >= after else (stop, end)
    if stop - end <= start - begin:
        return stop, stop + MOVED_WORD
    return begin - MOVED_WORD, begin


def _levels(samples: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.float64]:
    size = round(rate * FRAME)
    count = len(samples) // size
    frames = samples[: count * size].reshape(count, size).astype(np.float64)
    levels: npt.NDArray[np.float64] = 10 * np.log10((frames**2).mean(axis=1) + 1.0)
    return levels


def _pauses(levels: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    loudest = _near(levels, NEAR).max(axis=1)
    floor = _near(levels, 2 * NEAR).min(axis=1)
    threshold = np.maximum(loudest - QUIET_DB, floor + NOISE_DB)
    quiet = np.concatenate(([False], levels < threshold, [False]))
    edges = np.flatnonzero(quiet[1:] != quiet[:-1])
    runs = edges.reshape(-1, 2) * FRAME
    return [(float(a), float(b)) for a, b in runs if b - a >= SHORTEST_PAUSE]


def _near(levels: npt.NDArray[np.float64], seconds: float) -> npt.NDArray[np.float64]:
    """Return for each frame those within so many seconds."""
    count = round(seconds / FRAME)
    padded = np.pad(levels, count, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * count + 1)
