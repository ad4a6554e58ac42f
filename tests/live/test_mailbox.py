"""The queue between a session and its reader, and how the session stands."""

from __future__ import annotations

import asyncio

import pytest

from captiond.errors import EngineError
from captiond.live.mailbox import SessionMailbox
from captiond.live.session import (
    Closed,
    Flushed,
    Opened,
    SessionError,
    SessionEvent,
    Unsupported,
)


async def read_all(mailbox: SessionMailbox) -> list[SessionEvent]:
    """Read until the session ends."""
    return [event async for event in mailbox.receive()]


async def test_order() -> None:
    """Events come in order, the last one ends it, and later ones are left out."""
    mailbox = SessionMailbox()
    mailbox.put(Opened(engine="e"))
    mailbox.put(Closed())
    mailbox.put(Flushed())

    assert await read_all(mailbox) == [Opened(engine="e"), Closed()]
    assert mailbox.ended
    await mailbox.wait_ended()


async def test_a_reader_that_waits() -> None:
    """It is woken by the event."""
    mailbox = SessionMailbox()
    reading = asyncio.create_task(read_all(mailbox))
    await asyncio.sleep(0)
    mailbox.put(Flushed())
    await asyncio.sleep(0)
    mailbox.put(Closed())

    assert await reading == [Flushed(), Closed()]


async def test_overflow() -> None:
    """A reader that leaves too much behind loses the session, not what it had."""
    mailbox = SessionMailbox(max_events=2)
    for _ in range(5):
        mailbox.put(Flushed())

    assert mailbox.ended
    events = await read_all(mailbox)
    assert events[:2] == [Flushed(), Flushed()]
    assert isinstance(events[2], SessionError)
    assert (events[2].code, events[2].retryable) == ("slow_reader", True)
    assert len(events) == 3
    with pytest.raises(EngineError, match="slow_reader"):
        mailbox.check()


async def test_failure() -> None:
    """It is told as an event, and raised for whoever sends."""
    mailbox = SessionMailbox()
    mailbox.check()
    mailbox.fail(EngineError("quota", "used up", retryable=True, retry_after=30.0))

    assert mailbox.error == SessionError(
        code="quota", reason="used up", retryable=True, retry_after=30.0
    )
    with pytest.raises(EngineError) as caught:
        mailbox.check()
    assert (caught.value.code, caught.value.retry_after) == ("quota", 30.0)
    assert not mailbox.begin_closing()


async def test_closing() -> None:
    """Input is refused from the first call on; events go on until the last one."""
    mailbox = SessionMailbox()
    assert not mailbox.closing
    assert mailbox.begin_closing()
    assert mailbox.closing
    assert not mailbox.begin_closing()
    with pytest.raises(EngineError, match="closed"):
        mailbox.check()

    mailbox.put(Flushed())
    mailbox.put(Closed())
    assert await read_all(mailbox) == [Flushed(), Closed()]


async def test_abandon() -> None:
    """What is queued is forgotten, a waiting reader is let go, and it ends once."""
    mailbox = SessionMailbox()
    reading = asyncio.create_task(read_all(mailbox))
    await asyncio.sleep(0)
    mailbox.put(Flushed())

    assert mailbox.abandon()
    assert not mailbox.abandon()
    assert await reading == []
    mailbox.put(Flushed())
    assert await read_all(mailbox) == []
    with pytest.raises(EngineError, match="closed"):
        mailbox.refuse("video")


async def test_refusal() -> None:
    """What an engine lacks is an answer, and the session goes on."""
    mailbox = SessionMailbox()
    mailbox.refuse("video")
    mailbox.put(Closed())

    assert await read_all(mailbox) == [Unsupported(capability="video"), Closed()]
