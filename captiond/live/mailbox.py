"""The queue between a live session and whoever receives from it."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator

from captiond.errors import EngineError
from captiond.live.session import Closed, SessionError, SessionEvent, Unsupported

MAX_EVENTS = 1024
"""Events that may wait for a reader; one that leaves more behind loses the session."""


class SessionMailbox:
    """
    Events on their way to the reader, and how the session stands.

    A session is open, then closing (:meth:`begin_closing`), then ended: by an event
    that is the last one, by overflow, or by :meth:`abandon`.

    Args:
        max_events: Events that may wait for a reader; beyond, the session fails.

    """

    def __init__(self, *, max_events: int = MAX_EVENTS) -> None:
        self._max_events = max_events
        self._events: collections.deque[SessionEvent] = collections.deque()
        self._wakeup = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: SessionError | None = None
        self._closing = False

    @property
    def ended(self) -> bool:
        """Whether nothing more comes after what is queued."""
        return self._ended.is_set()

    @property
    def error(self) -> SessionError | None:
        """What ended the session, if it failed."""
        return self._error

    @property
    def closing(self) -> bool:
        """Whether :meth:`begin_closing` was called."""
        return self._closing

    def put(self, event: SessionEvent) -> None:
        """
        Queue an event for the reader. Never blocks and never raises.

        After the end events are left out.
        """
        if self.ended:
            return
        if len(self._events) >= self._max_events:
            event = SessionError(
                code="slow_reader",
                reason=f"more than {self._max_events} events waited to be read",
                retryable=True,
            )
        if isinstance(event, SessionError):
            self._error = event
        if isinstance(event, SessionError | Closed):
            self._ended.set()
        self._events.append(event)
        self._wakeup.set()

    def fail(self, error: EngineError) -> None:
        """End the session by an error."""
        self.put(
            SessionError(
                code=error.code,
                reason=error.reason,
                retryable=error.retryable,
                retry_after=error.retry_after,
            )
        )

    async def receive(self) -> AsyncIterator[SessionEvent]:
        """Iterate over the events until the session ends."""
        while True:
            while not self._events:
                if self.ended:
                    return
                self._wakeup.clear()
                await self._wakeup.wait()
            yield self._events.popleft()

    async def wait_ended(self) -> None:
        """Wait until nothing more comes after what is queued."""
        await self._ended.wait()

    def begin_closing(self) -> bool:
        """Take no more input; return whether this is what began it."""
        if self.ended or self._closing:
            return False
        self._closing = True
        return True

    def abandon(self) -> bool:
        """End at once and forget what is queued; return whether this is the end."""
        self._events.clear()
        was_open = not self.ended
        self._ended.set()
        self._wakeup.set()
        return was_open

    def check(self) -> None:
        """
        Return if the session still takes input.

        Raises:
            EngineError: If it has ended or is being closed.

        """
        if self._error is not None:
            raise EngineError(
                self._error.code,
                self._error.reason,
                retryable=self._error.retryable,
                retry_after=self._error.retry_after,
            )
        if self.ended or self._closing:
            raise EngineError("closed", "the session was closed", retryable=False)

    def refuse(self, capability: str) -> None:
        """
        Answer that the engine lacks a capability.

        Raises:
            EngineError: If the session has ended or is being closed.

        """
        self.check()
        self.put(Unsupported(capability=capability))
