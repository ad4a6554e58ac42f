"""
Where speech starts and ends by the energy of the audio.

For files whose words have no known times. No I/O: levels in dB of 20 ms blocks go in.
"""

from __future__ import annotations

import array
import bisect
import math
from collections.abc import Sequence

from captiond.cli.measure import Latencies, Shown

BLOCK = 0.02
"""Seconds of audio per level."""

MARGIN_DB = 12.0
"""A block is speech when it is this much louder than the file's quiet parts, or"""
RANGE_DB = 35.0
"""no further than this below its loud ones, whichever asks for more."""


def level_db(block: bytes) -> float:
    """Return the level of 16 bit samples in dB below full scale; -100 of silence."""
    samples = array.array("h", block)
    power = sum(sample * sample for sample in samples) / max(len(samples), 1)
    return max(10 * math.log10(power / 2**30), -100.0) if power else -100.0


class SpeechTimes:
    """
    Tells where speech starts and ends.

    Args:
        levels: Level of each 20 ms block of the file, in dB.

    """

    def __init__(self, levels: Sequence[float]) -> None:
        ordered = sorted(levels) or [-100.0]
        quiet = ordered[len(ordered) // 10]
        loud = ordered[len(ordered) * 95 // 100]
        threshold = max(quiet + min(MARGIN_DB, (loud - quiet) / 2), loud - RANGE_DB)
        self._starts = [
            index * BLOCK for index, level in enumerate(levels) if level > threshold
        ]

    def onset_after(self, position: float) -> float | None:
        """Return when speech first sounds at or after ``position``; None if never."""
        index = bisect.bisect_left(self._starts, position - BLOCK)
        return self._starts[index] if index < len(self._starts) else None

    def end_before(self, position: float) -> float | None:
        """Return when speech last sounded before ``position``; None if it had not."""
        index = bisect.bisect_left(self._starts, position)
        return self._starts[index - 1] + BLOCK if index else None


def latencies(
    captions: Sequence[Shown], speech: SpeechTimes, *, started_at: float
) -> Latencies:
    """
    Measure as :func:`captiond.cli.measure.latencies` does, without known words.

    An utterance's onset and end are where speech first and last sounds within the
    times that its final gives; words can't be told, so there are none.
    """
    result = Latencies()
    for final in captions:
        if not (final.final and final.text.strip()):
            continue
        first = next(c for c in captions if c.cue == final.cue and c.text.strip())
        onset, end = speech.onset_after(final.start), speech.end_before(final.end)
        if onset is not None and onset < final.end:
            result.first_interim.append(first.at - started_at - onset)
        if end is not None and end > final.start:
            result.final.append(final.at - started_at - end)
    return result
