"""
Audio that no engine will hear any more, to be told as gaps.

No I/O. What falls out of the ring after it was sent may still be answered; it is
missing only if the session fails before it has settled it.
"""

from __future__ import annotations

from collections.abc import Iterable

from captiond.events import Gap, MediaTime
from captiond.live.ring import Lost

REASON = "engine_unavailable"

ADJACENT = 0.05
"""Pieces no further apart are one gap."""


class Missing:
    """Keeps account of one stream's audio that is no longer in the ring."""

    def __init__(self) -> None:
        self._at_risk: list[Lost] = []
        """Sent and not settled, in order."""
        self._gone: list[Lost] = []
        """Heard by nobody and not told, in order."""
        self._settled = MediaTime(float("-inf"))

    def fell_out(self, lost: Lost, *, sent: bool) -> float:
        """Note what fell out of the ring; return the seconds that are now missing."""
        if sent:
            _append(self._at_risk, lost)
            return 0.0
        return self.give_up([lost])

    def give_up(self, pieces: Iterable[Lost]) -> float:
        """Note that nobody hears some pieces; return the seconds of what is new."""
        seconds = 0.0
        for piece in pieces:
            if piece.end > self._settled and not self._is_gone(piece):
                _append(self._gone, piece)
                seconds += piece.seconds
        return seconds

    def settled(self, time: MediaTime) -> None:
        """Note that the session has settled what was before ``time``."""
        self._settled = MediaTime(max(self._settled, time))
        self._at_risk = [each for each in self._at_risk if each.end > time]

    def next_session(self, heard_from: MediaTime, skipped: Iterable[Lost]) -> float:
        """
        Note that another session takes over; return the seconds it can't hear.

        Args:
            heard_from: Media time at which it began to hear.
            skipped: What fell out of the ring since before it was sent it.

        """
        risked, self._at_risk = self._at_risk, []
        return self.give_up(
            [*(each for each in risked if each.start < heard_from), *skipped]
        )

    def take(self) -> list[Gap]:
        """Return what is missing as gaps, once."""
        gone, self._gone = self._gone, []
        return [Gap(start=each.start, end=each.end, reason=REASON) for each in gone]

    def _is_gone(self, piece: Lost) -> bool:
        return any(
            each.start <= piece.start and piece.end <= each.end for each in (self._gone)
        )


def _append(pieces: list[Lost], piece: Lost) -> None:
    last = pieces[-1] if pieces else None
    if last is not None and abs(piece.start - last.end) <= ADJACENT:
        pieces[-1] = Lost(last.start, piece.end, last.seconds + piece.seconds)
    else:
        pieces.append(piece)
