"""The daemon's side of one live session on a worker."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from captiond.engines.moonshine import CAPABILITIES
from captiond.engines.moonshine.protocol import Kind, Message, encode_audio
from captiond.errors import EngineError
from captiond.live.mailbox import MAX_EVENTS, SessionMailbox
from captiond.live.session import (
    SessionEvent,
    TextPurpose,
    ToolResponse,
    VideoImage,
)
from captiond.media.chunk import AudioChunk

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
        self._mailbox = SessionMailbox(max_events=max_events)

    def put(self, event: SessionEvent) -> None:
        """Queue an event for the reader. Never blocks and never raises."""
        self._mailbox.put(event)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes after what is queued."""
        return self._mailbox.ended

    async def send_audio(self, chunk: AudioChunk) -> None:
        """
        Send audio; wait while the worker is far behind.

        Raises:
            EngineError: If the session has ended.

        """
        self._mailbox.check()
        await self._send(encode_audio(self._number, chunk.start, chunk.pcm))

    async def send_video(self, image: VideoImage) -> None:
        """Answer that pictures are not supported."""
        self._mailbox.refuse("video")

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        """Answer that text is not supported."""
        self._mailbox.refuse(
            "vocabulary" if purpose is TextPurpose.VOCABULARY else "text"
        )

    async def send_tool_response(self, response: ToolResponse) -> None:
        """Answer that tools are not supported."""
        self._mailbox.refuse("tools")

    async def interrupt(self) -> None:
        """Answer that there is nothing to interrupt."""
        self._mailbox.refuse("interrupt")

    async def flush(self) -> None:
        """
        Ask for finals of everything sent.

        Raises:
            EngineError: If the session has ended.

        """
        self._mailbox.check()
        await self._send(Message(Kind.FLUSH, self._number).encode())

    def receive(self) -> AsyncIterator[SessionEvent]:
        """Iterate over the events until the session ends."""
        return self._mailbox.receive()

    async def close(self) -> None:
        """Finish what was sent; return when the last final can be received."""
        if self._mailbox.begin_closing():
            # A worker that can't be sent to is being given up; that ends the session.
            with contextlib.suppress(EngineError):
                await self._send(Message(Kind.CLOSE, self._number).encode())
        await self._mailbox.wait_ended()

    def abandon(self) -> None:
        """End at once, without answers; never raises, also after the end."""
        if self._mailbox.abandon():
            self._forget(self._number)
