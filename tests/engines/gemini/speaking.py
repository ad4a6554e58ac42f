"""Speak to a session, and hear what it says."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from captiond.engines.remote.repeats import words
from captiond.events import MediaTime
from captiond.live.engine import Engine, SessionContext
from captiond.live.session import (
    Closed,
    Hypothesis,
    LiveSession,
    SessionError,
    SessionEvent,
)
from captiond.media.chunk import AudioChunk
from tests.servers.programme import Programme

TIMEOUT = 30.0
CHUNK = 0.04

Kind = TypeVar("Kind", bound=SessionEvent)


@dataclasses.dataclass
class Ear:
    """Reads everything that a session says."""

    session: LiveSession
    events: list[SessionEvent] = dataclasses.field(default_factory=list)
    _news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        async for event in self.session.receive():
            self.events.append(event)
            self._news.set()

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def finals(self) -> list[Hypothesis]:
        return [each for each in self.of(Hypothesis) if each.final]

    @property
    def words(self) -> list[str]:
        return words(" ".join(final.text for final in self.finals))

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until something that depends on the events is true."""
        async with asyncio.timeout(TIMEOUT):
            while not true():
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        """Close the session, and hear everything that is told until then."""
        await self.session.close()
        await self.until(lambda: self.of(Closed))
        assert isinstance(self.events[-1], Closed)

    async def error(self) -> SessionError:
        """Wait for the error that ends the session."""
        await self.until(lambda: self.of(SessionError))
        assert isinstance(self.events[-1], SessionError)
        return self.events[-1]


@asynccontextmanager
async def conversation(
    engine: Engine, context: SessionContext | None = None
) -> AsyncIterator[tuple[LiveSession, Ear]]:
    """Open a session and read from it until it is abandoned in the end."""
    session = await engine.open(stream="demo", context=context or SessionContext())
    ear = Ear(session)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ear.listen())
        try:
            yield session, ear
        finally:
            session.abandon()


async def speak(
    session: LiveSession,
    programme: Programme,
    start: float,
    end: float,
    *,
    speed: float = 20.0,
) -> None:
    """Send a piece of a programme, so many times as fast as it was spoken."""
    count = round((end - start) / CHUNK)
    for number in range(count):
        at = start + number * CHUNK
        await session.send_audio(
            AudioChunk(
                start=MediaTime(at),
                pcm=programme.between(at, at + CHUNK),
                arrival=0.0,
                decoded=0.0,
            )
        )
        await asyncio.sleep(CHUNK / speed)


def silence(start: float, seconds: float) -> list[AudioChunk]:
    """Return chunks of digital silence."""
    return [
        AudioChunk(
            start=MediaTime(start + number * CHUNK),
            pcm=bytes(1280),
            arrival=0.0,
            decoded=0.0,
        )
        for number in range(round(seconds / CHUNK))
    ]
