"""Speech as the service heard it: where it says that something began and ended."""

from __future__ import annotations

import collections
import dataclasses

from captiond.engines.remote.sent import SentAudio
from captiond.events import MediaTime

MAX_ACTIVITIES = 16
"""Activities that may wait for a text; the oldest is forgotten."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Activity:
    """Speech as the service heard it."""

    start: MediaTime
    told: float
    """Monotonic time at which the service last told about it."""

    end: MediaTime | None = None


class ServiceActivity:
    """
    The activities that no final has been told about.

    Args:
        sent: The audio sent.

    """

    def __init__(self, sent: SentAudio) -> None:
        self._sent = sent
        self._waiting: collections.deque[Activity] = collections.deque(
            maxlen=MAX_ACTIVITIES
        )

    def began(self, offset: float, now: float) -> None:
        """Note that the service heard speech begin."""
        if not self._sent.may_be(offset):
            return
        start = self._sent.media(offset)
        self._end(start, now)
        self._waiting.append(Activity(start=start, told=now))

    def ended(self, offset: float, now: float) -> None:
        """Note that the service heard speech end."""
        if self._sent.may_be(offset):
            self._end(self._sent.media(offset), now)

    def of_text(self, *, after: MediaTime) -> Activity | None:
        """
        Return the one that a first word is about: it goes on, or was the last.

        Those before it, if any, were noise.

        Args:
            after: End of the last final; what ended before was about that.

        """
        fitting = [a for a in self._waiting if a.end is None or a.end > after]
        going_on = [a for a in fitting if a.end is None]
        candidates = going_on or fitting
        return candidates[-1] if candidates else None

    def answer_until(self, end: MediaTime) -> None:
        """Forget those that a final is about."""
        while self._waiting and self._waiting[0].start < end:
            self._waiting.popleft()

    def forget(self, *, before: float) -> None:
        """Forget those that ended before a monotonic time: no text is to come."""
        kept = [a for a in self._waiting if a.end is None or a.told >= before]
        if len(kept) < len(self._waiting):
            self._waiting.clear()
            self._waiting.extend(kept)

    def _end(self, end: MediaTime, now: float) -> None:
        if self._waiting and self._waiting[-1].end is None:
            activity = self._waiting[-1]
            activity.end = MediaTime(max(activity.start, end))
            activity.told = now
