"""Scripted stand-ins for what a unit test must not wait for: engine and clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence

from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.engine import SessionContext
from captiond.live.roster import Roster
from captiond.live.session import (
    Capabilities,
    Closed,
    Flushed,
    Hypothesis,
    SessionError,
    SessionEvent,
    Settled,
    TextPurpose,
    ToolResponse,
    Unsupported,
    VideoImage,
)
from captiond.media.chunk import SAMPLE_RATE, AudioChunk

CHUNK_SECONDS = 0.1
WORDS_PER_UTTERANCE = 5


def chunk(number: int) -> AudioChunk:
    """Return the tenth of a second that starts at ``number`` tenths."""
    return AudioChunk(
        start=MediaTime(number * CHUNK_SECONDS),
        pcm=bytes(2 * round(SAMPLE_RATE * CHUNK_SECONDS)),
        arrival=0.0,
        decoded=0.0,
    )


class ScriptedSession:
    """
    Hears each chunk as one word, its number; five make an utterance.

    Args:
        fail_after: Chunks after which the session fails.
        deaf: Whether it takes audio and says nothing.
        pace: Seconds that each chunk takes.
        capabilities: What it can do; what it is sent is written down.

    """

    def __init__(
        self,
        *,
        fail_after: int | None = None,
        deaf: bool = False,
        pace: float = 0.0,
        capabilities: Capabilities | None = None,
    ) -> None:
        self.capabilities = capabilities or Capabilities()
        self.inputs: list[object] = []
        self.context = SessionContext()
        self.trouble: str | None = None
        """``hang`` or ``raise`` comes of audio; ``bad text`` refuses texts."""
        self._pace = pace
        self._fail_after = fail_after
        self.deaf = deaf
        self._events: asyncio.Queue[SessionEvent] = asyncio.Queue(1000)
        self._open: list[AudioChunk] = []
        self.heard: list[int] = []
        self.abandoned = False

    async def send_audio(self, chunk: AudioChunk) -> None:
        if self.trouble == "hang":
            await asyncio.Event().wait()
        if self.trouble == "raise":
            raise ZeroDivisionError
        if self.deaf:
            return
        if self._fail_after is not None and len(self.heard) >= self._fail_after:
            self.emit(SessionError(code="scripted", reason="as told", retryable=True))
            return
        if self._pace:
            await asyncio.sleep(self._pace)
        self.heard.append(number_of(chunk))
        self._open.append(chunk)
        self._say(final=len(self._open) == WORDS_PER_UTTERANCE)

    async def send_video(self, image: VideoImage) -> None:
        self._take(image, "video")

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        if self.trouble == "bad text":
            raise EngineError("refused", "as told", retryable=False)
        self._take((text, purpose), "text")

    async def send_tool_response(self, response: ToolResponse) -> None:
        self._take(response, "tools")

    async def interrupt(self) -> None:
        self._take("interrupt", "interrupt")

    async def flush(self) -> None:
        if self.deaf:
            return
        if self._open:
            self._say(final=True)
        self.emit(Flushed())

    async def receive(self) -> AsyncIterator[SessionEvent]:
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Closed):
                return

    def emit(self, event: SessionEvent) -> None:
        """Say something."""
        self._events.put_nowait(event)

    def abandon(self) -> None:
        self.abandoned = True

    async def close(self) -> None:
        await self.flush()
        self.emit(Closed())

    def _take(self, item: object, capability: str) -> None:
        if getattr(self.capabilities, capability):
            self.inputs.append(item)
        else:
            self.emit(Unsupported(capability=capability))

    def _say(self, *, final: bool) -> None:
        first, last = self._open[0], self._open[-1]
        self.emit(
            Hypothesis(
                utterance=str(number_of(first)),
                final=final,
                start=first.start,
                end=last.end,
                text=" ".join(str(number_of(each)) for each in self._open),
            )
        )
        settled = last.end if final else first.start
        self.emit(Settled(time=settled, heard=last.end))
        if final:
            self._open.clear()


class ScriptedEngine:
    """
    Opens scripted sessions.

    Args:
        fail_after: Chunks after which each session in turn fails; later ones don't.
        refuse: How many times opening fails first.
        deaf: How many of the first sessions hear nothing.
        pace: Seconds that each chunk takes.
        retryable: Whether another try may help when opening fails.
        capabilities: What its sessions can do.

    """

    not_ready: str | None = None

    def __init__(
        self,
        *,
        fail_after: Sequence[int | None] = (),
        refuse: int = 0,
        deaf: int = 0,
        pace: float = 0.0,
        retryable: bool = True,
        capabilities: Capabilities | None = None,
        name: str = "scripted",
    ) -> None:
        self.name = name
        self.capabilities = capabilities or Capabilities()
        self._pace = pace
        self._retryable = retryable
        self._fail_after = list(fail_after)
        self.deaf = deaf
        self.refuse = refuse
        self.sessions: list[ScriptedSession] = []

    async def start(self) -> None:
        """Nothing is shared."""

    async def stop(self) -> None:
        """Nothing is shared."""

    async def open(self, *, stream: str, context: SessionContext) -> ScriptedSession:
        if self.refuse:
            self.refuse -= 1
            raise EngineError("refused", "as told", retryable=self._retryable)
        session = ScriptedSession(
            fail_after=self._fail_after.pop(0) if self._fail_after else None,
            deaf=len(self.sessions) < self.deaf,
            pace=self._pace,
            capabilities=self.capabilities,
        )
        session.context = context
        self.sessions.append(session)
        return session


def roster(engine: ScriptedEngine, *others: ScriptedEngine) -> Roster:
    """Return a roster; the second engine is the fallback of the first."""
    return Roster(
        {each.name: each for each in (engine, *others)},
        fallback=others[0].name if others else "",
    )


def number_of(chunk: AudioChunk) -> int:
    """Return the number that a chunk was made from."""
    # Not rounded: chunks that lie half a number off would share their numbers.
    return math.floor(chunk.start / CHUNK_SECONDS + 0.25)
