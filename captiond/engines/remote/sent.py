"""The audio sent: where it lies on the media clock, and when it went out."""

from __future__ import annotations

import bisect

from captiond.clock import ArrivalClock
from captiond.events import MediaTime

SLACK = 0.001
"""A message further than this from the end of the one before moves the clock."""

ROUNDING = 0.5
"""A service's clock may be this much ahead of the audio sent."""

MAX_ANCHORS = 1024
"""Moves of the media clock that are remembered."""

BACKLOG_SPEED = 4.0
"""How much faster than time a service is expected to work off audio sent at once."""


class SentAudio:
    """
    Maps the service's clock, which counts the audio sent, to the media clock.

    The media clock may jump between two messages; the service knows nothing of that.
    """

    def __init__(self) -> None:
        self._offsets: list[float] = []
        self._times: list[MediaTime] = []
        self._arrivals = ArrivalClock()
        self.seconds = 0.0
        """Audio sent: the service's clock."""
        self.end = MediaTime(0.0)
        """Media time after the last sample sent."""
        self.worked_off = float("-inf")
        """Monotonic time by which a service should have worked off what was sent."""

    def add(self, start: MediaTime, seconds: float, now: float) -> None:
        """Note that audio was sent."""
        if not self._offsets or abs(start - self.end) > SLACK:
            self._offsets.append(self.seconds)
            self._times.append(start)
            del self._offsets[:-MAX_ANCHORS], self._times[:-MAX_ANCHORS]
        self.seconds += seconds
        # The arithmetic must not go back by a rounding: times are compared.
        self.end = MediaTime(max(self.end, start + seconds))
        self.worked_off = max(self.worked_off, now) + seconds / BACKLOG_SPEED
        self._arrivals.mark(self.end, now)

    def caught_up(self, offset: float, now: float) -> None:
        """Note that the service is as far as an offset."""
        left = max(0.0, self.seconds - max(0.0, offset))
        self.worked_off = min(self.worked_off, now + left / BACKLOG_SPEED)

    def media(self, offset: float) -> MediaTime:
        """Return the media time of an offset, the nearest that was sent."""
        if not self._offsets:
            return self.end
        offset = min(max(offset, self._offsets[0]), self.seconds)
        index = bisect.bisect_right(self._offsets, offset) - 1
        return MediaTime(
            min(self.end, self._times[index] + offset - self._offsets[index])
        )

    def may_be(self, offset: float) -> bool:
        """Whether an offset that a service gives can be true."""
        return 0 <= offset <= self.seconds + ROUNDING

    def sent_at(self, time: MediaTime) -> float | None:
        """Return the monotonic time at which everything before ``time`` was sent."""
        return self._arrivals.arrival_of(time)
