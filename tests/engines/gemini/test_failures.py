"""What goes wrong at the service or on the way: the right error, and nothing left."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from captiond.errors import EngineError
from captiond.live.engine import Engine, SessionContext
from captiond.live.session import Hypothesis, SessionError
from tests.engines.gemini.conftest import AGENT_MODEL, Start
from tests.engines.gemini.speaking import conversation, silence, speak
from tests.servers.gemini import CANCELLED, Faults, GeminiServer
from tests.servers.programme import Programme

CANARY = "AIzaSyCANARY-0123456789-canary-0123456789"


@pytest.fixture(autouse=True)
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """No test may let a key out, in no log line at whatever level."""
    shown: list[str] = []

    def remember(_logger: object, _name: str, line: Any) -> Any:
        shown.append(repr(line))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, remember])
    caplog.set_level(logging.DEBUG)
    yield shown
    structlog.reset_defaults()
    shown += [record.getMessage() for record in caplog.records]
    assert not any(CANARY in line for line in shown)


async def refusal(engine: Engine, context: SessionContext | None = None) -> EngineError:
    """Return the error that no session can be opened for."""
    with pytest.raises(EngineError) as caught:
        await engine.open(stream="demo", context=context or SessionContext())
    assert CANARY not in str(caught.value)
    assert len(caught.value.reason) <= 200
    return caught.value


async def test_bad_key(start: Start) -> None:
    """The operator is told where the key came from, not what it is."""
    async with start(environ={"GOOGLE_API_KEY": CANARY}) as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == ("unauthorised", False)
    assert "GOOGLE_API_KEY" in error.reason


async def test_unknown_model(start: Start) -> None:
    """The option that names the model is named."""
    async with start(model="gemini-9-transcribe-live") as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == ("not_found", False)
    assert "engines.gemini.model (gemini-9-transcribe-live)" in error.reason


async def test_refused_field(start: Start) -> None:
    """A profile that the model doesn't have is refused for good."""
    async with start(
        model="gemini-3.5-transcribe-live", profile="agent", resumption=False
    ) as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == ("refused", False)
    assert "invalid argument" in error.reason


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (401, "unauthorised", False),
        (403, "unauthorised", False),
        (404, "not_found", False),
        (429, "quota", True),
        (503, "unavailable", True),
    ],
)
async def test_refused_handshake(
    start: Start, server: GeminiServer, status: int, code: str, retryable: bool
) -> None:
    """An HTTP status in place of a WebSocket."""
    server.fault_next(Faults(http_status=status))
    async with start(environ={"GEMINI_API_KEY": CANARY}) as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == (code, retryable)
    assert str(status) in error.reason
    assert (error.retry_after or 0) >= (30 if code == "quota" else 0)


async def test_no_answer_to_setup(start: Start, server: GeminiServer) -> None:
    """Whoever opens gives up, and nothing is left behind."""
    server.fault_next(Faults(no_setup=True))
    async with start() as engine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await engine.open(stream="demo", context=SessionContext())
        await server.log.until("closed")
        assert server.connections == []

        async with conversation(engine):
            pass


async def test_cancelled_while_it_connects(start: Start, server: GeminiServer) -> None:
    """At whatever point open() is cancelled, no connection stays."""
    async with start() as engine:
        for delay in (0.0, 0.001, 0.005, 0.01, 0.02, 0.04):
            opening = asyncio.create_task(
                engine.open(stream="demo", context=SessionContext())
            )
            await asyncio.sleep(delay)
            if not opening.done():
                opening.cancel()
            results = await asyncio.gather(opening, return_exceptions=True)
            for result in results:
                if not isinstance(result, BaseException):
                    result.abandon()
    accepted = server.log.sent("setupComplete")
    for record in accepted:
        await server.log.until("closed", connection=record.connection)


async def test_stopped_while_it_connects(start: Start, server: GeminiServer) -> None:
    """An engine that is stopped opens no session any more."""
    server.fault_next(Faults(no_setup=True))
    async with start() as engine:
        opening = asyncio.create_task(
            engine.open(stream="demo", context=SessionContext())
        )
        await server.log.until("setup")
        await engine.stop()
        with pytest.raises(EngineError, match="stopped"):
            await opening


async def test_error_in_place_of_setup_complete(
    start: Start, server: GeminiServer
) -> None:
    """The SDK takes anything for an answer to the setup; the engine doesn't."""
    server.fault_next(Faults(setup_error={"error": {"code": 400}}))
    async with start() as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == ("refused", True)


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
        (1007, "Request contains an invalid argument.", "refused", False),
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
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    await engine.stop()


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


async def test_outage(start: Start, server: GeminiServer) -> None:
    """Nobody listens: unreachable, until somebody does."""
    async with start() as engine:
        await server.stop()
        error = await refusal(engine)
        await server.start()
        async with conversation(engine):
            pass

    assert (error.code, error.retryable) == ("unreachable", True)
    assert "127.0.0.1" in error.reason


async def test_name_that_does_not_resolve(start: Start) -> None:
    """The name and DNS are what to check."""
    async with start(base_url="https://nowhere.invalid") as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == ("dns", True)
    assert "nowhere.invalid" in error.reason


async def test_certificate_that_nobody_trusts(start: Start) -> None:
    """Without ca_file a self-signed certificate is refused."""
    async with start(ca_file=None) as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == ("tls", True)
    assert "ca_file" in error.reason


async def test_no_tls(start: Start, tmp_path: Path) -> None:
    """A server that doesn't speak TLS is named as such."""

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with plain, start(base_url=f"https://127.0.0.1:{port}") as engine:
        error = await refusal(engine)

    assert (error.code, error.retryable) == ("tls", True)


async def test_state_that_can_not_be_taken_over(
    start: Start, server: GeminiServer
) -> None:
    """A handle that the service doesn't know is given up for a new session."""
    context = SessionContext(handle="of-yesterday", text=("The title is A Tale.",))
    async with start(model=AGENT_MODEL) as engine, conversation(engine, context):
        await server.log.until("clientContent")

    handles = [
        record.content["sessionResumption"].get("handle")
        for record in server.log.received("setup")
    ]
    assert handles[0] == "of-yesterday"
    assert handles[-1] is None
