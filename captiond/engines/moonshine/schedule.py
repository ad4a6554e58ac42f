"""
Deciding which stream of a worker is transcribed next. No I/O, and no clock: what
counts is the audio that waits.

Rules: a stream is due when enough new audio waits; the one that waited longest beyond
that goes first; a stream that was asked to finish goes before all others, in the order
of asking. Audio is always taken in at once and only updates wait, so under load each
update covers more audio and costs the same: the cadence stretches for all alike.
"""

from __future__ import annotations

import dataclasses

IDLE_INTERVAL = 0.1
"""Seconds of new audio between updates without an open line: they are cheap, and tell
that somebody began to speak."""


@dataclasses.dataclass(slots=True)
class _Stream:
    pending: float = 0.0
    interval: float = IDLE_INTERVAL
    asked: int | None = None
    """Position in the order of those who were asked to finish."""


class Schedule:
    """
    The streams of one worker and what waits in each.

    Args:
        interim_interval: Seconds of new audio between updates of an open line.

    """

    def __init__(self, *, interim_interval: float) -> None:
        self._interim_interval = interim_interval
        self._streams: dict[int, _Stream] = {}
        self._asked = 0

    def add(self, session: int) -> None:
        """Add a stream."""
        self._streams[session] = _Stream()

    def remove(self, session: int) -> None:
        """Forget a stream."""
        del self._streams[session]

    def heard(self, session: int, seconds: float) -> None:
        """Note that audio was taken in."""
        self._streams[session].pending += seconds

    def ask(self, session: int) -> None:
        """Note that the stream is to finish what it has."""
        stream = self._streams[session]
        if stream.asked is None:
            self._asked += 1
            stream.asked = self._asked

    def updated(
        self, session: int, *, pending: float, asked: bool, speaking: bool
    ) -> None:
        """
        Note that a stream was updated.

        Args:
            session: The stream.
            pending: Seconds of audio that still wait.
            asked: Whether it still is to finish what it has.
            speaking: Whether a line is open.

        """
        stream = self._streams[session]
        stream.pending = pending
        stream.interval = self._interim_interval if speaking else IDLE_INTERVAL
        if not asked:
            stream.asked = None

    def next(self) -> int | None:
        """Return the stream to update now, or None if all have to hear more first."""
        asked = [
            (stream.asked, session)
            for session, stream in self._streams.items()
            if stream.asked is not None
        ]
        if asked:
            return min(asked)[1]
        late, session = max(
            (
                (stream.pending - stream.interval, session)
                for session, stream in self._streams.items()
            ),
            default=(-1.0, 0),
        )
        # Chunks are whole milliseconds; sums of them are not.
        return session if late > -1e-6 else None
