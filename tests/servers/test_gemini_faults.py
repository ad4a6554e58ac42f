"""What the Gemini server can be told to do wrong, as the real SDK shows it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest
from google.genai.errors import APIError, ClientError
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.servers.gemini import CANCELLED, DEADLINE, Faults, GeminiServer, Settings
from tests.servers.programme import Programme
from tests.servers.sdk import activity, completed, interim, send, session, until


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


@pytest.fixture
async def server(programme: Programme) -> AsyncIterator[GeminiServer]:
    async with GeminiServer(programme) as running:
        yield running


def never(_message: object) -> bool:
    return False


async def ending(opened: AsyncSession) -> APIError:
    """Receive until the session ends; return the error."""
    with pytest.raises(APIError) as caught:
        await until(opened, never)
    return caught.value


@pytest.mark.parametrize("status", [401, 403, 429, 503])
async def test_the_handshake_may_be_refused(server: GeminiServer, status: int) -> None:
    """The SDK passes on the exception of its websockets, with the status."""
    server.fault_next(Faults(http_status=status))
    with pytest.raises(InvalidStatus) as caught:
        async with session(server):
            pass
    assert caught.value.response.status_code == status

    async with session(server) as opened:
        assert opened.setup_complete is not None


async def test_setup_may_never_be_answered(server: GeminiServer) -> None:
    """Connecting waits until it is cancelled."""
    server.faults = Faults(no_setup=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), session(server):
            pytest.fail("connected")

    assert len(server.log.received("setup")) == 1


async def test_setup_may_be_answered_late(server: GeminiServer) -> None:
    """The session is open then, as if nothing were."""
    server.faults = Faults(setup_delay=0.2)
    async with session(server) as opened:
        assert opened.setup_complete is not None

    log = server.log
    assert log.sent("setupComplete")[0].at - log.received("setup")[0].at >= 0.2


async def test_setup_may_be_answered_by_an_error(server: GeminiServer) -> None:
    """The SDK takes it for a session, without setup_complete."""
    server.faults = Faults(setup_error={"error": {"code": 500, "message": "no"}})
    async with session(server) as opened:
        assert opened.setup_complete is None


@pytest.mark.parametrize("faults", [Faults(unknown_after=3.0), Faults(error_after=3.0)])
async def test_a_message_may_be_unknown(
    server: GeminiServer, programme: Programme, faults: Faults
) -> None:
    """The SDK raises TypeError, and receiving may go on with nothing lost."""
    server.faults = faults
    async with session(server) as opened:
        await send(opened, programme.between(0, 5))
        await opened.send_realtime_input(audio_stream_end=True)
        with pytest.raises(TypeError):
            await until(opened, never)
        messages = await until(opened, completed)

    assert any(map(interim, messages))


async def test_a_message_may_be_no_json(
    server: GeminiServer, programme: Programme
) -> None:
    """The SDK raises ValueError."""
    server.faults = Faults(invalid_json_after=3.0)
    async with session(server) as opened:
        await send(opened, programme.between(0, 4.8))
        with pytest.raises(ValueError, match="Failed to parse"):
            await until(opened, never)


async def test_an_error_may_come_in_band(server: GeminiServer) -> None:
    """With a code at the top level it is an APIError, and the session goes on."""
    async with session(server) as opened:
        [connection] = server.connections
        await connection.send({"code": 429, "message": "slow down"})
        with pytest.raises(ClientError) as caught:
            await until(opened, never)
        await send(opened, bytes(3200))
        await server.log.until("audio")

    assert caught.value.code == 429


async def test_frames_may_be_text(server: GeminiServer, programme: Programme) -> None:
    """The SDK doesn't mind."""
    server.faults = Faults(text_frames=True)
    async with session(server) as opened:
        await send(opened, programme.between(0, 3))
        await until(opened, interim)


async def test_a_message_may_be_huge(
    server: GeminiServer, programme: Programme
) -> None:
    """More than a client's limit is the end of the connection: 1006."""
    server.faults = Faults(huge_after=1.0)
    async with session(server) as opened:
        await send(opened, programme.between(0, 2))
        assert (await ending(opened)).code == 1006

    async with session(server, arguments={"max_size": None}) as opened:
        await send(opened, programme.between(0, 2))
        messages = await until(opened, lambda m: m.data)
    assert len(messages[-1].data or b"") > 1 << 20


@pytest.mark.parametrize(
    ("faults", "code", "reason"),
    [
        (Faults(close_after=2.0), 1011, DEADLINE),
        (
            Faults(close_after=2.0, close_code=1000, close_reason=CANCELLED),
            1000,
            CANCELLED,
        ),
        (Faults.quota(2.0), 1011, "RESOURCE_EXHAUSTED"),
        (Faults(abort_after=2.0), 1006, ""),
    ],
)
async def test_a_connection_may_end(
    server: GeminiServer, programme: Programme, faults: Faults, code: int, reason: str
) -> None:
    """Closed or reset after so much audio, it is an APIError with the code."""
    server.faults = faults
    async with session(server) as opened:
        await send(opened, programme.between(0, 2))
        error = await ending(opened)

    assert error.code == code
    assert reason in str(error)
    assert server.log.received("audio")[-1].seconds == pytest.approx(2.0)
    await server.log.until("closed")
    assert server.connections == []


async def test_go_away_is_announced_and_kept(
    server: GeminiServer, programme: Programme
) -> None:
    """The time that is left is told, then the connection is closed."""
    server.faults = Faults(go_away_after=2.0, go_away_left=0.1)
    async with session(server) as opened:
        await send(opened, programme.between(0, 2))
        messages = await until(opened, lambda m: m.go_away)
        assert (await ending(opened)).code == 1011

    away = messages[-1].go_away
    assert away is not None
    assert away.time_left == "0.1s"


async def test_go_away_may_be_the_last_word(
    server: GeminiServer, programme: Programme
) -> None:
    """The server reads on and says nothing any more."""
    server.faults = Faults(go_away_after=2.0, go_away_then="silence")
    async with session(server) as opened:
        await send(opened, programme.between(0, 6))
        await opened.send_realtime_input(audio_stream_end=True)
        await until(opened, lambda m: m.go_away)
        await server.log.until("audioStreamEnd")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await until(opened, never)

    kinds = [r.kind for r in server.log.sent()]
    assert set(kinds[kinds.index("goAway") + 1 :]) <= {"withheld", "close"}
    assert "withheld" in kinds


async def test_a_session_has_a_limit(programme: Programme) -> None:
    """It is announced before, and ends with the code that was chosen."""
    settings = Settings(
        session_limit=0.4, go_away_before=0.2, limit_code=1000, limit_reason=CANCELLED
    )
    async with (
        GeminiServer(programme, settings=settings) as server,
        session(server) as opened,
    ):
        messages = await until(opened, lambda m: m.go_away)
        error = await ending(opened)

    assert messages[-1].go_away is not None
    assert (error.code, CANCELLED in str(error)) == (1000, True)


async def test_a_server_that_stops_reading_blocks_the_sender(
    programme: Programme,
) -> None:
    """With a small buffer it is noticed soon, and only a reset ends it."""
    settings = Settings(receive_buffer_bytes=1 << 15)
    sent = 0

    async def pour(server: GeminiServer) -> None:
        nonlocal sent
        async with session(server) as opened:
            await send(opened, programme.between(0, 2))
            await server.log.until("audio", count=20)
            server.connections[0].stop_reading()
            while True:
                await send(opened, bytes(3200))
                sent += 1

    async with GeminiServer(programme, settings=settings) as server:
        task = asyncio.create_task(pour(server))
        async with asyncio.timeout(20):
            before = -1
            while sent == 0 or sent > before:
                before = sent
                await asyncio.sleep(0.2)
        server.connections[0].abort()
        with pytest.raises(ConnectionClosed):
            await task

    assert 20 <= len(server.log.received("audio")) < 50 < sent


async def test_pings_may_go_unanswered(server: GeminiServer) -> None:
    """The client's keepalive closes the connection: 1006 for the receiver."""
    server.faults = Faults(pong_delay=math.inf)
    pings = {"ping_interval": 0.1, "ping_timeout": 0.1}
    async with session(server, arguments=pings) as opened:
        assert (await ending(opened)).code == 1006

    assert len(server.log.received("ping")) == 1
    assert server.log.sent("pong") == []


async def test_pongs_may_be_late(server: GeminiServer) -> None:
    """A client that waits long enough has them."""
    server.faults = Faults(pong_delay=0.1)
    pings = {"ping_interval": 0.05, "ping_timeout": 5.0}
    async with session(server, arguments=pings):
        pong = await server.log.until("pong")

    assert pong.at - server.log.received("ping")[0].at >= 0.1


async def test_faults_may_be_of_the_next_connections_only(
    server: GeminiServer, programme: Programme
) -> None:
    """Two fail, the third doesn't."""
    server.fault_next(Faults(abort_after=0.5), connections=2)
    for _ in range(2):
        async with session(server) as opened:
            await send(opened, programme.between(0, 0.5))
            assert (await ending(opened)).code == 1006

    async with session(server) as opened:
        await send(opened, programme.between(0, 4.8))
        await opened.send_realtime_input(audio_stream_end=True)
        await until(opened, completed)
    assert [r.content for r in server.log.received("closed")][:2] == [1006, 1006]


async def test_faults_change_while_a_session_is_open(
    server: GeminiServer, programme: Programme
) -> None:
    """Open connections have the server's faults from then on."""
    async with session(server) as opened:
        await send(opened, programme.between(0, 3))
        await until(opened, lambda m: activity(m) == "START")
        server.faults = Faults(close_after=3.5, close_code=4000, close_reason="so")
        await send(opened, programme.between(3, 4))
        error = await ending(opened)

    assert error.code == 4000


async def test_an_outage_ends_and_the_address_stays(
    server: GeminiServer, programme: Programme
) -> None:
    """Stopped, nobody listens; started again, the same clients are served."""
    async with session(server) as opened:
        await send(opened, programme.between(0, 1))
        await server.stop()
        assert (await ending(opened)).code == 1006
        with pytest.raises(ConnectionClosed):
            await send(opened, bytes(6400))
    with pytest.raises(ConnectionRefusedError):
        async with session(server):
            pass

    await server.start()
    async with session(server) as opened:
        assert opened.setup_complete is not None
