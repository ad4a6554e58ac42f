"""
The smallest engine for captiond: it captions each sound with its length.

A model to write one by. It knows nothing of captiond but the contract of
``captiond.live``, and everything an engine has to do is here once.
"""

from __future__ import annotations

import array
import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import Field

from captiond.config import Section
from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.engine import Engine, EngineSetup, EngineType, SessionContext
from captiond.live.session import (
    Capabilities,
    Closed,
    Flushed,
    Hypothesis,
    LiveSession,
    Opened,
    SessionEvent,
    Settled,
    SpeechEnded,
    SpeechStarted,
    TextPurpose,
    ToolResponse,
    Unsupported,
    VideoImage,
)
from captiond.media.chunk import AudioChunk

NAME = "example/loudness"
CAPABILITIES = Capabilities()

MAX_EVENTS = 1000
"""Events that may wait for a reader; one that leaves more behind loses the session."""


class Options(Section):
    """The table ``[engines.example]``."""

    threshold: Annotated[int, Field(ge=1, le=32767)] = 500
    """Loudest sample of a chunk that still counts as silence."""
    pause: Annotated[float, Field(gt=0, le=5)] = 0.4
    """Seconds of silence that end a sound."""


class LoudnessSession:
    """One session: everything happens in :meth:`send_audio`, and nothing waits."""

    capabilities = CAPABILITIES

    def __init__(self, options: Options) -> None:
        self._options = options
        self._events: asyncio.Queue[SessionEvent] = asyncio.Queue(MAX_EVENTS)
        self._count = 0
        self._start: float | None = None
        """Where the open sound began."""
        self._loud_until = 0.0
        self._position: float | None = None
        self._ended = asyncio.Event()
        self._put(Opened(engine=NAME))

    async def send_audio(self, chunk: AudioChunk) -> None:
        self._check()
        if self._position is not None and abs(chunk.start - self._position) > 0.002:
            self._finish()
        self._position = chunk.end
        if max(map(abs, array.array("h", chunk.pcm)), default=0) > (
            self._options.threshold
        ):
            self._hear_sound(chunk)
        elif self._start is not None and (
            chunk.end - self._loud_until >= self._options.pause
        ):
            self._finish()
        settled = chunk.end if self._start is None else self._start
        self._put(Settled(time=MediaTime(settled), heard=chunk.end))

    async def send_video(self, image: VideoImage) -> None:
        self._refuse("video")

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        self._refuse("vocabulary" if purpose is TextPurpose.VOCABULARY else "text")

    async def send_tool_response(self, response: ToolResponse) -> None:
        self._refuse("tools")

    async def interrupt(self) -> None:
        self._refuse("interrupt")

    async def flush(self) -> None:
        self._check()
        self._finish()
        self._put(Flushed())

    async def receive(self) -> AsyncIterator[SessionEvent]:
        while not (self._ended.is_set() and self._events.empty()):
            event = await self._events.get()
            yield event
            if isinstance(event, Closed):
                return

    async def close(self) -> None:
        if not self._ended.is_set():
            self._finish()
            self._put(Closed())
            self._ended.set()

    def abandon(self) -> None:
        while not self._events.empty():
            self._events.get_nowait()
        self._ended.set()
        self._events.put_nowait(Closed())  # wakes who waits for an event

    def _hear_sound(self, chunk: AudioChunk) -> None:
        self._loud_until = chunk.end
        if self._start is None:
            self._count += 1
            self._start = chunk.start
            self._put(SpeechStarted(time=chunk.start))
        self._put(self._hypothesis(final=False))

    def _finish(self) -> None:
        """End the open sound."""
        if self._start is None:
            return
        self._put(SpeechEnded(time=MediaTime(self._loud_until)))
        self._put(self._hypothesis(final=True))
        self._start = None
        if self._position is not None:
            time = MediaTime(self._position)
            self._put(Settled(time=time, heard=time))

    def _hypothesis(self, *, final: bool) -> Hypothesis:
        assert self._start is not None
        return Hypothesis(
            utterance=str(self._count),
            final=final,
            start=MediaTime(self._start),
            end=MediaTime(self._loud_until),
            text=f"sound of {self._loud_until - self._start:.1f} seconds",
        )

    def _refuse(self, capability: str) -> None:
        self._check()
        self._put(Unsupported(capability=capability))

    def _check(self) -> None:
        if self._ended.is_set():
            raise EngineError("closed", "the session was closed", retryable=False)

    def _put(self, event: SessionEvent) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            reason = f"more than {MAX_EVENTS} events waited to be read"
            raise EngineError("slow_reader", reason, retryable=True) from None


class LoudnessEngine:
    """Opens sessions; they share nothing."""

    name = NAME
    capabilities = CAPABILITIES
    not_ready: str | None = None

    def __init__(self, options: Options) -> None:
        self._options = options

    async def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def open(self, *, stream: str, context: SessionContext) -> LiveSession:
        return LoudnessSession(self._options)


def _create(setup: EngineSetup) -> Engine:
    return LoudnessEngine(setup.options)


ENGINE = EngineType(
    create=_create, variants={"loudness": CAPABILITIES}, options=Options
)
