"""
Where speech starts and ends, by the energy of the audio.

No I/O and no model: a service decides what was said, this only tells when to ask it
for the end of an utterance, and which audio it still owes an answer for.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import math
import sys
from operator import mul

from captiond.events import MediaTime
from captiond.live.session import SpeechEnded, SpeechStarted
from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE

FRAME = 0.02
"""Seconds of audio that one decision is about."""

FRAME_BYTES = round(FRAME * SAMPLE_RATE) * BYTES_PER_SAMPLE

JUMP = 0.05
"""A chunk further than this from the end of the one before doesn't follow it."""

SILENCE_DB = -100.0
"""Level of digital zeros."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What counts as speech."""

    hangover: float = 0.6
    """Seconds without speech after which it has ended."""

    short_hangover: float = 0.2
    """The same of speech that has become long; people rarely stop for longer."""

    long: float = 15.0
    """Seconds of speech after which the hangover is the short one; it shrinks from
    half of that on."""

    breath_db: float = 22.0
    """In speech that has become long a frame so far below the loudest is a pause."""

    peak_fall_db: float = 3.0
    """How fast the loudest is forgotten, a second."""

    longest: float = 25.0
    """Seconds after which speech is said to end wherever it is."""

    preroll: float = 0.3
    """Seconds before the first loud frame that speech is said to start at."""

    onset: float = 0.06
    """Seconds of loud frames, not far apart, that make speech."""

    start_db: float = 12.0
    """A frame this much above the noise floor may start speech."""

    stay_db: float = 8.0
    """A frame this much above the noise floor continues it."""

    least_db: float = -55.0
    """Nothing below this level is speech."""

    window: float = 4.0
    """Seconds whose quietest frames are the noise floor."""


class ActivityDetector:
    """
    Tells where speech starts and ends in chunks of 16 kHz PCM.

    A frame is compared to the noise floor: the quietest of the last seconds, as pauses
    between syllables reach it. Noise that lasts becomes the floor. A chunk that doesn't
    follow the last one ends the speech there.

    Args:
        tuning: What counts as speech.

    """

    def __init__(self, tuning: Tuning | None = None) -> None:
        self._tuning = tuning or Tuning()
        self._pending = bytearray()
        self._position = MediaTime(0.0)
        """Media time of the first pending sample."""
        self._began: MediaTime | None = None
        """Where the audio without a jump began: speech doesn't start before."""
        self._floor = _NoiseFloor(self._tuning.window)
        self._loud: collections.deque[MediaTime] = collections.deque()
        """Starts of the last loud frames, while nobody speaks."""
        self._last_speech = MediaTime(0.0)
        """End of the last frame that was speech."""
        self._ended_at = MediaTime(float("-inf"))
        self._speaking = False
        self._started = MediaTime(0.0)
        """Start of the speech that is open."""
        self._peak = SILENCE_DB
        """Its loudest level, not long ago."""

    @property
    def speaking(self) -> bool:
        """Whether speech has started and not ended."""
        return self._speaking

    def push(self, start: MediaTime, pcm: bytes) -> list[SpeechStarted | SpeechEnded]:
        """Take audio that starts at ``start``; return what it shows, in order."""
        events: list[SpeechStarted | SpeechEnded] = []
        if self._began is None or abs(start - self._end) > JUMP:
            events += self.end()
            self._pending.clear()
            self._loud.clear()
            self._began = start
        self._position = MediaTime(start - _seconds(self._pending))
        self._pending += pcm
        whole = len(self._pending) - len(self._pending) % FRAME_BYTES
        samples = array.array("h", bytes(self._pending[:whole]))
        if sys.byteorder == "big":
            samples.byteswap()
        del self._pending[:whole]
        step = FRAME_BYTES // BYTES_PER_SAMPLE
        for at in range(0, len(samples), step):
            # Every other sample is enough to tell a level, at half the cost.
            events += self._frame(_level_db(samples[at : at + step : 2]))
        return events

    def end(self) -> list[SpeechStarted | SpeechEnded]:
        """End the speech that is open, if any, at the end of the audio so far."""
        if not self._speaking:
            return []
        return [self._end_speech()]

    @property
    def _end(self) -> float:
        return self._position + _seconds(self._pending)

    def _frame(self, level: float) -> list[SpeechStarted | SpeechEnded]:
        start = self._position
        end = self._position = MediaTime(start + FRAME)
        tuning = self._tuning
        floor = self._floor.add(level)
        above = tuning.stay_db if self._speaking else tuning.start_db
        least = max(floor + above, tuning.least_db)
        if self._speaking:
            self._peak = max(level, self._peak - tuning.peak_fall_db * FRAME)
            length = end - self._started
            if length > tuning.long / 2:
                # A breath is no silence, but who has spoken so long may be cut there.
                least = max(least, self._peak - tuning.breath_db)
            if level > least:
                self._last_speech = end
            pause = end - self._last_speech
            if pause >= _hangover(tuning, length) - FRAME / 2 or length >= (
                tuning.longest
            ):
                return [self._end_speech()]
            return []
        return self._maybe_start(start) if level > least else []

    def _maybe_start(self, start: MediaTime) -> list[SpeechStarted | SpeechEnded]:
        tuning = self._tuning
        self._loud.append(start)
        while start - self._loud[0] > 3 * tuning.onset:
            self._loud.popleft()
        if len(self._loud) * FRAME < tuning.onset - FRAME / 2:
            return []
        assert self._began is not None
        at = max(self._loud[0] - tuning.preroll, self._began, self._ended_at)
        self._loud.clear()
        self._speaking = True
        self._started = MediaTime(at)
        self._peak = SILENCE_DB
        self._last_speech = MediaTime(start + FRAME)
        return [SpeechStarted(time=MediaTime(at))]

    def _end_speech(self) -> SpeechEnded:
        self._speaking = False
        # A little of what follows: the ends of words are quiet.
        at = min(self._last_speech + 0.1, self._position)
        self._ended_at = MediaTime(at)
        return SpeechEnded(time=self._ended_at)


class _NoiseFloor:
    """
    The quietest level of the last seconds, kept as the least of a few parts.

    Digital zeros are left out: they say nothing about the noise around speech.
    """

    PARTS = 8

    def __init__(self, window: float) -> None:
        self._frames = max(1, round(window / self.PARTS / FRAME))
        self._parts: collections.deque[float] = collections.deque(maxlen=self.PARTS - 1)
        self._current = 0.0
        self._count = 0
        self._least = -60.0
        """Of the parts that are complete; before there are any, a usual room."""

    def add(self, level: float) -> float:
        """Take the level of a frame; return the floor."""
        if level > SILENCE_DB:
            self._current = min(self._current, level)
            self._count += 1
            if self._count == self._frames:
                self._parts.append(self._current)
                self._count = 0
                self._current = 0.0
                if len(self._parts) == self._parts.maxlen:
                    self._least = min(self._parts)
                else:
                    self._least = min(self._least, *self._parts)
        return min(self._least, self._current)


def _hangover(tuning: Tuning, length: float) -> float:
    """Return the pause that ends speech of some length."""
    half = tuning.long / 2
    share = min(max((length - half) / half, 0.0), 1.0)
    return max(
        tuning.hangover + share * (tuning.short_hangover - tuning.hangover),
        min(tuning.hangover, tuning.short_hangover),
    )


def _seconds(pcm: bytearray) -> float:
    return len(pcm) / (SAMPLE_RATE * BYTES_PER_SAMPLE)


def _level_db(samples: array.array[int]) -> float:
    count = len(samples)
    # Without the mean: some sound cards put all samples off by a constant.
    power = sum(map(mul, samples, samples)) / count - (sum(samples) / count) ** 2
    return 10 * math.log10(power / 2**30) if power > 0.1 else SILENCE_DB
