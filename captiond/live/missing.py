"""
Audio that no engine will hear any more, to be told as one gap when one hears again.

No I/O. What falls out of the ring after it was sent may still be answered; it is
missing only if the session fails before it has settled it.
"""

from __future__ import annotations

from captiond.events import Gap, MediaTime
from captiond.live.ring import Lost

REASON = "engine_unavailable"


class Missing:
    """Keeps account of one stream's audio that is no longer in the ring."""

    def __init__(self) -> None:
        self._at_risk: Lost | None = None
        """Sent and not settled."""
        self._gone: Lost | None = None

    def fell_out(self, lost: Lost, *, sent: bool) -> float:
        """Note what fell out of the ring; return the seconds that are now missing."""
        if sent:
            self._at_risk = _join(self._at_risk, lost)
            return 0.0
        return self.give_up(lost.start, lost.end, lost.seconds)

    def give_up(self, start: MediaTime, end: MediaTime, seconds: float) -> float:
        """Note that audio is missing; return the seconds."""
        self._gone = _join(self._gone, Lost(start, end, seconds))
        return seconds

    def settled(self, time: MediaTime) -> None:
        """Note that the session has settled what was before ``time``."""
        if self._at_risk is not None and self._at_risk.end <= time:
            self._at_risk = None

    def next_session(self, heard_from: MediaTime) -> float:
        """
        Note that another session takes over; return the seconds it can't hear.

        Args:
            heard_from: Media time at which it began to hear.

        """
        risked, self._at_risk = self._at_risk, None
        if risked is None or risked.start >= heard_from:
            return 0.0
        return self.give_up(risked.start, risked.end, risked.seconds)

    def take(self) -> Gap | None:
        """Return what is missing as a gap, once."""
        gone, self._gone = self._gone, None
        if gone is None:
            return None
        return Gap(start=gone.start, end=gone.end, reason=REASON)


def _join(first: Lost | None, second: Lost) -> Lost:
    if first is None:
        return second
    return Lost(first.start, second.end, first.seconds + second.seconds)
