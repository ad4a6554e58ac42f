"""
Clocks: the monotonic clock that latencies are measured on, and wall time.

On Linux and macOS ``time.monotonic`` is one clock for all processes of a machine,
so a worker's timestamps compare with the daemon's.
"""

from __future__ import annotations

import bisect
import collections
import datetime
import time

from captiond.events import MediaTime

monotonic = time.monotonic


def utc_now() -> datetime.datetime:
    """Return the wall clock, in UTC."""
    return datetime.datetime.now(datetime.UTC)


class ArrivalClock:
    """
    Remembers when each part of the media clock arrived, to tell latencies.

    Args:
        horizon: Seconds of media time that are remembered; older marks are forgotten.

    """

    def __init__(self, *, horizon: float = 120.0) -> None:
        self._horizon = horizon
        self._ends: collections.deque[float] = collections.deque()
        self._arrivals: collections.deque[float] = collections.deque()

    def mark(self, end: MediaTime, arrival: float) -> None:
        """Note that all audio before ``end`` had arrived at monotonic ``arrival``."""
        self._ends.append(end)
        self._arrivals.append(arrival)
        while end - self._ends[0] > self._horizon:
            self._ends.popleft()
            self._arrivals.popleft()

    def arrival_of(self, position: MediaTime) -> float | None:
        """
        Return when the sample at ``position`` arrived, or None if it is unknown.

        A position after the last mark is clamped to it: engines round line ends.
        """
        if not self._ends or position < self._ends[0] - self._horizon:
            return None
        index = bisect.bisect_left(self._ends, position - 1e-6)
        return self._arrivals[min(index, len(self._arrivals) - 1)]
