"""Scripted stand-ins for what a unit test must not wait for: engine and clock."""

from __future__ import annotations

import asyncio
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

    """

    capabilities = Capabilities()

    def __init__(
        self,
        *,
        fail_after: int | None = None,
        deaf: bool = False,
        pace: float = 0.0,
    ) -> None:
        self._pace = pace
        self._fail_after = fail_after
        self._deaf = deaf
        self._events: asyncio.Queue[SessionEvent] = asyncio.Queue(1000)
        self._open: list[AudioChunk] = []
        self.heard: list[int] = []
        self.abandoned = False

    async def send_audio(self, chunk: AudioChunk) -> None:
        if self._deaf:
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
        self.emit(Unsupported(capability="video"))

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        self.emit(Unsupported(capability="text"))

    async def send_tool_response(self, response: ToolResponse) -> None:
        self.emit(Unsupported(capability="tools"))

    async def interrupt(self) -> None:
        self.emit(Unsupported(capability="interrupt"))

    async def flush(self) -> None:
        if self._deaf:
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

    """

    name = "scripted"
    capabilities = Capabilities()
    not_ready: str | None = None

    def __init__(
        self,
        *,
        fail_after: Sequence[int | None] = (),
        refuse: int = 0,
        deaf: int = 0,
        pace: float = 0.0,
        retryable: bool = True,
    ) -> None:
        self._pace = pace
        self._retryable = retryable
        self._fail_after = list(fail_after)
        self._deaf = deaf
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
            deaf=len(self.sessions) < self._deaf,
            pace=self._pace,
        )
        self.sessions.append(session)
        return session


def roster(engine: ScriptedEngine) -> Roster:
    """Return a roster of one engine."""
    return Roster({engine.name: engine})


def number_of(chunk: AudioChunk) -> int:
    """Return the number that a chunk was made from."""
    return round(chunk.start / CHUNK_SECONDS)
