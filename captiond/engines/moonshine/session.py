"""The daemon's side of one live session on a worker."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

from captiond.engines.moonshine import CAPABILITIES
from captiond.engines.moonshine.protocol import Kind, Message, encode_audio
from captiond.errors import EngineError
from captiond.live.session import (
    Closed,
    SessionError,
    SessionEvent,
    TextPurpose,
    ToolResponse,
    Unsupported,
    VideoImage,
)
from captiond.media.chunk import AudioChunk

MAX_EVENTS = 1024
"""Events that may wait for a reader; one that leaves more behind loses the session."""

Send = Callable[[bytes], Awaitable[None]]
"""Writes to the worker, and waits while too much waits there already."""

Forget = Callable[[int], None]
"""Forgets a session by its number, here and at the worker, if that still knows it."""


class MoonshineSession:
    """
    One live session: see :class:`captiond.live.session.LiveSession`.

    Args:
        number: Identifies the session at its worker.
        send: Writes to the worker.
        forget: Forgets the session, here and at the worker.
        max_events: Events that may wait for a reader.

    """

    capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        number: int,
        send: Send,
        forget: Forget,
        max_events: int = MAX_EVENTS,
    ) -> None:
        self._number = number
        self._send = send
        self._forget = forget
        self._max_events = max_events
        self._events: collections.deque[SessionEvent] = collections.deque()
        self._wakeup = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: SessionError | None = None
        self._closing = False

    def put(self, event: SessionEvent) -> None:
        """Queue an event for the reader. Never blocks and never raises."""
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

    @property
    def ended(self) -> bool:
        """Whether nothing more comes after what is queued."""
        return self._ended.is_set()

    async def send_audio(self, chunk: AudioChunk) -> None:
        """
        Send audio; wait while the worker is far behind.

        Raises:
            EngineError: If the session has ended.

        """
        self._check()
        await self._send(encode_audio(self._number, chunk.start, chunk.pcm))

    async def send_video(self, image: VideoImage) -> None:
        """Answer that pictures are not supported."""
        self._refuse("video")

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        """Answer that text is not supported."""
        self._refuse("vocabulary" if purpose is TextPurpose.VOCABULARY else "text")

    async def send_tool_response(self, response: ToolResponse) -> None:
        """Answer that tools are not supported."""
        self._refuse("tools")

    async def interrupt(self) -> None:
        """Answer that there is nothing to interrupt."""
        self._refuse("interrupt")

    async def flush(self) -> None:
        """
        Ask for finals of everything sent.

        Raises:
            EngineError: If the session has ended.

        """
        self._check()
        await self._send(Message(Kind.FLUSH, self._number).encode())

    async def receive(self) -> AsyncIterator[SessionEvent]:
        """Iterate over the events until the session ends."""
        while True:
            while not self._events:
                if self.ended:
                    return
                self._wakeup.clear()
                await self._wakeup.wait()
            yield self._events.popleft()

    async def close(self) -> None:
        """Finish what was sent; return when the last final can be received."""
        if not self.ended and not self._closing:
            self._closing = True
            # A worker that can't be sent to is being given up; that ends the session.
            with contextlib.suppress(EngineError):
                await self._send(Message(Kind.CLOSE, self._number).encode())
        await self._ended.wait()

    def abandon(self) -> None:
        """End at once, without answers; never raises, also after the end."""
        self._events.clear()
        if not self.ended:
            self._ended.set()
            self._forget(self._number)
        self._wakeup.set()

    def _check(self) -> None:
        if self._error is not None:
            raise EngineError(
                self._error.code, self._error.reason, retryable=self._error.retryable
            )
        if self.ended or self._closing:
            self._raise_closed()

    def _raise_closed(self) -> NoReturn:
        raise EngineError("closed", "the session was closed", retryable=False)

    def _refuse(self, capability: str) -> None:
        self._check()
        self.put(Unsupported(capability=capability))
