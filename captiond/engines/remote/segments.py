"""
The segments of speech that a service still owes an answer for.

No I/O. A segment is what the local detector found; the service may answer it by text,
answer several at once, or never, because it was noise.
"""

from __future__ import annotations

import collections
import dataclasses

from captiond.events import MediaTime

REST = 0.5
"""What an answer leaves of a segment, if shorter, is its end and needs no answer."""

EDGE = 0.05
"""Speech that begins no earlier than this before an answer's end is not in it."""

LATE = 0.6
"""A service may notice so late that speech has ended."""

SURE = 1.5
"""What a service still says so long after speech began is about that speech."""

NOISE = 1.0
"""A segment no longer than this which isn't answered was noise."""

FIRST_DOUBT = 10.0
"""Seconds of longer segments that a service may leave unanswered before it said
anything at all; afterwards it is taken to hear nothing any more."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Segment:
    """Speech that was found and is not answered."""

    start: MediaTime
    begun: float
    """Monotonic time at which it was told."""

    end: MediaTime | None = None
    """None while it goes on."""

    ended: float | None = None
    """Monotonic time at which it ended."""

    asked: float | None = None
    """Monotonic time from which on the answer is waited for."""

    rest: bool = False
    """What an answer left of a longer one."""

    overdue: bool = False
    """The time to wait for an answer is over, and yet it is no noise."""


class Segments:
    """Segments in order; only the last one may still go on."""

    def __init__(self) -> None:
        self._segments: collections.deque[Segment] = collections.deque()
        self._doubted = 0.0
        """Seconds written off before the service said anything."""

    @property
    def oldest(self) -> Segment | None:
        """The first that is not answered."""
        return self._segments[0] if self._segments else None

    @property
    def open(self) -> Segment | None:
        """The one that goes on."""
        if self._segments and self._segments[-1].end is None:
            return self._segments[-1]
        return None

    @property
    def awaited(self) -> Segment | None:
        """The first whose time to be answered isn't over."""
        return next((s for s in self._segments if not s.overdue), None)

    def expects(self, *, before: MediaTime) -> bool:
        """Whether speech that began before a time has no answer."""
        oldest = self.oldest
        return oldest is not None and oldest.start < before

    @property
    def fresh(self) -> bool:
        """Whether there is speech that no answer was about."""
        return any(not s.overdue for s in self._segments)

    def end_before(self, end: MediaTime) -> MediaTime:
        """
        Return where the speech ended that a service heard the end of at ``end``.

        It is sure only later than that, or says where it was asked; by then the next
        may have begun.
        """
        inside = [s for s in self._segments if s.start < end - EDGE]
        early = [s for s in inside if s.start < end - LATE] or inside
        if not early or early[-1].end is None:
            return end
        return min(end, early[-1].end)

    def hurry(self, asked: float) -> None:
        """Wait for no answer from later than a monotonic time on."""
        for segment in self._segments:
            if segment.asked is not None:
                segment.asked = min(segment.asked, asked)

    def begin(self, start: MediaTime, now: float) -> None:
        """Speech started."""
        if self.open is None:
            self._segments.append(Segment(start=start, begun=now))

    def finish(self, end: MediaTime, now: float, *, asked: float) -> None:
        """Speech ended, and the service knows or has been asked."""
        segment = self.open
        if segment is None:
            return
        segment.end = MediaTime(max(end, segment.start))
        segment.ended = now
        segment.asked = asked
        if segment.rest and segment.end - segment.start <= REST:
            self._segments.pop()

    def split(self, at: MediaTime, now: float, *, asked: float) -> None:
        """The service was asked for an end while speech goes on."""
        segment = self.open
        if segment is None:
            return
        self.finish(at, now, asked=asked)
        start = MediaTime(max(at, segment.start))
        self._segments.append(Segment(start=start, begun=now, rest=True))

    def skip_until(self, start: MediaTime) -> None:
        """The service is at speech from ``start`` on: before that it heard nothing."""
        while self._segments and self._segments[0].end is not None:
            if self._segments[0].end > start + EDGE:
                return
            self._segments.popleft()

    def skip_to_open(self, now: float) -> None:
        """The service says more and more: it must be about the speech that goes on."""
        segment = self.open
        if segment is not None and now - segment.begun > SURE:
            self._segments.clear()
            self._segments.append(segment)

    def answer_oldest(self, end: MediaTime) -> None:
        """An answer without times came: it is about the oldest."""
        if not self._segments:
            return
        if self._segments[0].end is None:
            self._leave_rest(end)
        else:
            self._segments.popleft()

    def answer_until(self, end: MediaTime) -> None:
        """An answer came about speech that ends at ``end``."""
        while self._segments and self._segments[0].start < end - EDGE:
            segment = self._segments[0]
            if segment.end is None or segment.end - end > REST:
                self._leave_rest(end)
                return
            self._segments.popleft()

    def forget_overdue(self) -> None:
        """The service said something: what it left out before, it left out."""
        while self._segments and self._segments[0].overdue:
            self._segments.popleft()

    def give_up(
        self, until: MediaTime, now: float, *, life: float, answered: bool
    ) -> bool:
        """
        Decide about the one awaited, whose time is over.

        It was noise if it's short, or if the service said something meanwhile. Longer
        speech without any sign of life is kept: the next session may hear it.

        Args:
            until: End of what was sent.
            now: Monotonic time.
            life: Monotonic time at which the service last said anything.
            answered: Whether it ever said something about audio.

        Returns:
            Whether it was forgotten.

        """
        segment = self.awaited
        if segment is None:
            return False
        end = until if segment.end is None else segment.end
        length = end - segment.start
        noise = segment.end is not None and length <= NOISE
        if segment is not self._segments[0]:
            segment.overdue = segment.end is not None
            return False
        since = segment.begun if segment.ended is None else segment.ended
        if not (noise or life > since):
            if answered or self._doubted + length > FIRST_DOUBT:
                segment.overdue = segment.end is not None
                return False
            self._doubted += length
        if segment.end is None:
            self._leave_rest(end)
            segment.begun = now
        else:
            self._segments.popleft()
        return True

    def _leave_rest(self, start: MediaTime) -> None:
        segment = self._segments[0]
        segment.start = MediaTime(max(segment.start, start))
        segment.rest = True
