"""
One subscriber: what it has been given, and what happens when it reads too slowly.

No I/O. Rule: a slow subscriber never slows the publisher or another subscriber. While
its transport doesn't drain, nothing is written: durable events wait in the log, at
most ``mailbox`` of them, and interims coalesce to the newest. Beyond that it is cut,
and resumes from its position.
"""

from __future__ import annotations

from typing import Protocol

from captiond.hub.log import Cursor, Message, PositionLost


class Outlet(Protocol):
    """The transport of one subscriber."""

    def write(self, message: Message) -> bool:
        """Write without waiting; return whether the transport takes more at once."""

    def blocked(self) -> None:
        """Call :meth:`Subscriber.resume` once the transport takes more."""

    def cut(self, reason: str) -> None:
        """Close the connection: the subscriber was too slow."""


class Subscriber:
    """
    One reader of one stream.

    Args:
        cursor: Where it reads.
        outlet: Where it is written to.
        mailbox: Durable events that may wait while the transport is blocked.

    """

    def __init__(self, cursor: Cursor, outlet: Outlet, *, mailbox: int) -> None:
        self._cursor = cursor
        self._outlet = outlet
        self._mailbox = mailbox
        self._blocked_behind: int | None = None
        """How far behind the subscriber was when its transport blocked."""
        self.closed = False

    @property
    def behind(self) -> int:
        """Durable events that wait for this subscriber."""
        return self._cursor.behind

    def notify(self) -> None:
        """Give the subscriber what is new in the log. Never blocks, never raises."""
        if self.closed:
            return
        if self._blocked_behind is None:
            self._pump()
        elif self._cursor.behind - self._blocked_behind > self._mailbox:
            self.cut("mailbox_full")

    def resume(self) -> None:
        """Go on: the transport takes more."""
        self._blocked_behind = None
        if not self.closed:
            self._pump()

    def cut(self, reason: str) -> None:
        """Close the connection and write nothing more."""
        if not self.closed:
            self.closed = True
            self._outlet.cut(reason)

    def _pump(self) -> None:
        try:
            while (message := self._cursor.next()) is not None:
                if not self._outlet.write(message):
                    self._blocked_behind = self._cursor.behind
                    self._outlet.blocked()
                    return
        except PositionLost:
            self.cut("position_lost")
