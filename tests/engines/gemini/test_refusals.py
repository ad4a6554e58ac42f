"""Why no session can be had: the right error, what to check, and nothing left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from captiond.errors import EngineError
from captiond.live.engine import Engine, SessionContext
from tests.engines.gemini.conftest import AGENT_MODEL, CANARY, Start
from tests.engines.gemini.speaking import conversation
from tests.servers.gemini import Faults, GeminiServer


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
