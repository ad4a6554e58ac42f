"""What goes wrong in a session: the right error, no word lost, nothing left."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from captiond.errors import EngineError
from captiond.live.engine import Engine
from captiond.live.session import Hypothesis, SessionError
from tests.engines.gemini.conftest import CANARY, Start
from tests.engines.gemini.speaking import conversation, silence, speak
from tests.servers.gemini import CANCELLED, Faults, GeminiServer
from tests.servers.programme import Programme


@pytest.mark.parametrize("fault", ["unknown_after", "error_after", "huge_after"])
async def test_strange_messages(
    engine: Engine, server: GeminiServer, programme: Programme, fault: str
) -> None:
    """A message that nobody knows, or of more than 1 MiB, costs no words."""
    server.faults = dataclasses.replace(Faults(), **{fault: 4.0})  # type: ignore[arg-type]
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 13.4)
        await ear.close()

    spoken = [word.text for word in programme.words_between(0.0, 13.4)]
    assert ear.words == spoken


async def test_invalid_json(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """What is no JSON is left out."""
    server.faults = Faults(invalid_json_after=4.0)
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 13.4)
        await ear.close()

    assert len(ear.words) == len(programme.words_between(0.0, 13.4))


async def test_nothing_but_nonsense(engine: Engine, server: GeminiServer) -> None:
    """A service that the SDK never understands is given up."""
    async with conversation(engine) as (_, ear):
        for _ in range(100):
            await server.connections[0].send({"novelty": {}})
        error = await ear.error()

    assert (error.code, error.retryable) == ("protocol", True)


async def test_text_frames(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """JSON in text frames is as good as in binary ones."""
    server.faults = Faults(text_frames=True)
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 8.8)
        await ear.close()

    assert len(ear.words) == len(programme.words_between(0.0, 8.8))


@pytest.mark.parametrize("how", ["silent", "complete"])
async def test_never_final(
    start: Start, server: GeminiServer, programme: Programme, how: Any
) -> None:
    """Interims that the service never finalises are promoted."""
    server.faults = Faults(unfinalised=how)
    async with (
        start(finalise_timeout=0.5) as engine,
        conversation(engine) as (session, ear),
    ):
        await speak(session, programme, 0.0, 13.4)
        await ear.close()

    assert ear.words == [word.text for word in programme.words_between(0.0, 13.4)]
    interims = {each.utterance for each in ear.of(Hypothesis)}
    assert len(ear.finals) == len(interims)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.5])
async def test_final_twice(
    engine: Engine, server: GeminiServer, programme: Programme, seconds: float
) -> None:
    """A final that comes again is told once, also when speech goes on already."""
    server.faults = Faults(duplicate_final_after=seconds)
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 24.3)
        await ear.close()

    assert ear.words == [word.text for word in programme.words_between(0.0, 24.3)]


async def test_final_and_interim_in_one_message(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """Both are told, in order."""
    server.faults = Faults(joined_final=True)
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 13.4)
        await ear.close()

    assert ear.words == [word.text for word in programme.words_between(0.0, 13.4)]


async def test_going_away(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """The warning is told, and then the end of the session as one to be retried."""
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 2.0)
        await server.connections[0].go_away(0.5)
        error = await ear.error()

    assert "GoingAway(time_left=0.5" in repr(ear.events)
    assert (error.code, error.retryable) == ("connection_lost", True)
    assert "1011" in error.reason


@pytest.mark.parametrize(
    ("code", "reason", "expected", "retryable"),
    [
        (1000, CANCELLED, "connection_lost", True),
        (1001, "", "connection_lost", True),
        (1012, "", "connection_lost", True),
        (1011, "Internal error encountered.", "connection_lost", True),
        (1011, "RESOURCE_EXHAUSTED: quota", "quota", True),
        (1007, "Request contains an invalid argument.", "refused", True),
        (1008, "models/x is not found for API version v1", "not_found", False),
        (1008, f"API key {CANARY} not valid", "unauthorised", False),
    ],
)
async def test_closed_by_the_service(
    start: Start,
    server: GeminiServer,
    code: int,
    reason: str,
    expected: str,
    retryable: bool,
) -> None:
    """What the code and the words of a close mean."""
    async with start() as engine, conversation(engine) as (session, ear):
        await server.connections[0].close(code, reason)
        error = await ear.error()
        with pytest.raises(EngineError, match=expected):
            await session.send_audio(silence(0.0, 0.04)[0])

    assert (error.code, error.retryable) == (expected, retryable)
    assert CANARY not in error.reason
    assert (error.retry_after or 0) >= (30 if expected == "quota" else 0)


async def test_connection_reset(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """A broken connection ends the session; the next one works."""
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 3.0)
        server.connections[0].abort()
        error = await ear.error()

    assert (error.code, error.retryable) == ("connection_lost", True)
    async with conversation(engine):
        pass


async def test_service_that_stops_reading(engine: Engine, server: GeminiServer) -> None:
    """Sending waits; abandoning ends at once, and cuts the connection."""
    async with conversation(engine) as (session, ear):
        server.connections[0].stop_reading()

        async def send() -> None:
            for chunk in silence(0.0, 4000.0):
                await session.send_audio(chunk)

        sending = asyncio.create_task(send())
        stuck = False
        async with asyncio.timeout(30):
            while not stuck:
                seen = len(ear.events)
                await asyncio.sleep(0.5)
                stuck = len(ear.events) == seen
        assert not sending.done()
        session.abandon()
        with pytest.raises(EngineError):
            await session.flush()
        # Whoever waited to send is let go.
        async with asyncio.timeout(10):
            with pytest.raises(EngineError, match="closed"):
                await sending


async def test_closing_while_the_service_says_nothing(
    start: Start, server: GeminiServer, programme: Programme
) -> None:
    """What was said last becomes final, and the session ends in good order."""
    async with (
        start(finalise_timeout=0.5) as engine,
        conversation(engine) as (session, ear),
    ):
        await speak(session, programme, 0.0, 4.0)
        server.connections[0].mute()
        await speak(session, programme, 4.0, 6.0)
        await ear.close()

    assert ear.finals


async def test_losing_the_connection_while_closing(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """What was said last is told before the error."""
    server.faults = Faults(unfinalised="silent")
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 4.0)
        closing = asyncio.create_task(session.close())
        await asyncio.sleep(0.1)
        server.connections[0].abort()
        await closing
        await ear.until(lambda: ear.of(SessionError))

    assert ear.finals
