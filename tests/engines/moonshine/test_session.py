"""Tests of the daemon's side of a session, without a worker."""

from __future__ import annotations

import asyncio

import pytest

from captiond.engines.moonshine.protocol import Decoder, Kind, Message
from captiond.engines.moonshine.session import MoonshineSession
from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.session import (
    Closed,
    Flushed,
    LiveSession,
    Opened,
    SessionError,
    SessionEvent,
    ToolResponse,
    Unsupported,
    VideoImage,
)
from captiond.media.chunk import AudioChunk

LOST = SessionError(code="worker_lost", reason="gone", retryable=True)
CHUNK = AudioChunk(start=MediaTime(0.0), pcm=bytes(1280), arrival=0.0, decoded=0.0)


class Wire:
    """Records what a session sends."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.broken = False
        self.abandoned: list[int] = []

    async def send(self, data: bytes) -> None:
        if self.broken:
            raise EngineError("worker_lost", "gone", retryable=True)
        self.messages += Decoder().feed(data)

    @property
    def kinds(self) -> list[Kind]:
        return [message.kind for message in self.messages]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def session(wire: Wire) -> MoonshineSession:
    return MoonshineSession(
        number=5, send=wire.send, forget=wire.abandoned.append, max_events=3
    )


async def read_all(session: LiveSession) -> list[SessionEvent]:
    """Read until the session ends."""
    return [event async for event in session.receive()]


async def test_send(session: MoonshineSession, wire: Wire) -> None:
    """Audio and flush go to the worker under the session's number."""
    await session.send_audio(CHUNK)
    await session.flush()

    assert wire.kinds == [Kind.AUDIO, Kind.FLUSH]
    assert {message.session for message in wire.messages} == {5}


async def test_receive_ends_after_closed(session: MoonshineSession) -> None:
    """receive() gives the events in order and ends after closed."""
    session.put(Opened(engine="e"))
    session.put(Flushed())
    session.put(Closed())
    session.put(Flushed())

    assert await read_all(session) == [Opened(engine="e"), Flushed(), Closed()]


async def test_receive_waits(session: MoonshineSession) -> None:
    """receive() waits for events that come later."""
    reader = asyncio.create_task(read_all(session))
    await asyncio.sleep(0)  # let the reader wait
    session.put(LOST)

    assert await reader == [LOST]


async def test_close_waits_for_closed(session: MoonshineSession, wire: Wire) -> None:
    """close() asks once, and returns when closed can be received."""
    first = asyncio.create_task(session.close())
    second = asyncio.create_task(session.close())
    await asyncio.sleep(0)  # let both begin

    assert not first.done()
    assert wire.kinds == [Kind.CLOSE]

    session.put(Closed())
    await asyncio.gather(first, second)

    assert await read_all(session) == [Closed()]


async def test_close_of_a_lost_session(session: MoonshineSession, wire: Wire) -> None:
    """close() returns at once after the session failed."""
    session.put(LOST)
    await session.close()

    assert wire.kinds == []


async def test_close_while_the_worker_is_lost(
    session: MoonshineSession, wire: Wire
) -> None:
    """close() of a worker that is being given up returns when the session failed."""
    wire.broken = True
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)  # let it begin
    session.put(LOST)

    await closing


async def test_send_after_loss(session: MoonshineSession) -> None:
    """Whatever is sent after a failure raises it."""
    session.put(LOST)
    with pytest.raises(EngineError, match="worker_lost: gone") as info:
        await session.send_audio(CHUNK)

    assert info.value.retryable

    with pytest.raises(EngineError):
        await session.flush()
    with pytest.raises(EngineError):
        await session.interrupt()


async def test_send_after_close(session: MoonshineSession) -> None:
    """Whatever is sent after close() raises."""
    session.put(Closed())
    with pytest.raises(EngineError, match="closed"):
        await session.send_audio(CHUNK)


async def test_abandon(session: MoonshineSession, wire: Wire) -> None:
    """abandon() drops what was queued, ends a reader and closers, and tells once."""
    reader = asyncio.create_task(read_all(session))
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)  # let both wait
    session.put(Flushed())
    session.abandon()
    session.abandon()
    session.put(Flushed())

    assert await reader == []
    assert session.ended
    assert wire.abandoned == [5]

    await closing
    await session.close()
    with pytest.raises(EngineError, match="closed"):
        await session.send_audio(CHUNK)


async def test_abandon_after_the_end(session: MoonshineSession, wire: Wire) -> None:
    """abandon() of a session that ended takes back what was not read."""
    session.put(LOST)
    session.abandon()

    assert await read_all(session) == []
    with pytest.raises(EngineError, match="worker_lost"):
        await session.flush()


async def test_unsupported(wire: Wire) -> None:
    """What the engine can't do is answered by an event."""
    session = MoonshineSession(number=1, send=wire.send, forget=wire.abandoned.append)
    await session.send_text("context")
    await session.send_video(VideoImage(time=MediaTime(0.0), jpeg=b""))
    await session.send_tool_response(ToolResponse(call="1", result={}))
    await session.interrupt()
    session.put(Closed())

    assert await read_all(session) == [
        Unsupported(capability="text"),
        Unsupported(capability="video"),
        Unsupported(capability="tools"),
        Unsupported(capability="interrupt"),
        Closed(),
    ]
    assert wire.messages == []


async def test_slow_reader(session: MoonshineSession) -> None:
    """A reader that leaves too much unread gets what was queued, and an error."""
    for _ in range(5):
        session.put(Flushed())
    *events, error = await read_all(session)

    assert events == [Flushed()] * 3
    assert isinstance(error, SessionError)
    assert (error.code, error.retryable) == ("slow_reader", True)
