"""Tests of the caption WebSocket, with real connections on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from captiond.clock import utc_now
from captiond.config import Config, Limits, Subscribers, WebSocket
from captiond.egress.control import Control
from captiond.egress.websocket import Subscription, WebSocketEgress, parse_target
from captiond.egress.wire import encode
from captiond.events import Status, StreamState
from captiond.hub.hub import Channel, Hub
from captiond.hub.log import Position
from captiond.metrics import Metrics
from tests.harness import until
from tests.hub.test_log import caption


class Served:
    """A hub behind a listening WebSocket egress."""

    def __init__(self, hub: Hub, url: str, metrics: Metrics) -> None:
        self.hub = hub
        self.url = url
        self.metrics = metrics
        self.channel: Channel = hub.open("demo")
        hub.publish(self.channel, Status(state=StreamState.LIVE, reason="test"))

    def publish_final(self, cue: int, text: str = "x") -> None:
        """Publish the final of a cue."""
        self.hub.publish(self.channel, caption(cue, text, final=True))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Serve the stream ``demo``."""
    async with serve_hub() as found:
        yield found


@contextlib.asynccontextmanager
async def serve_hub(**subscribers: Any) -> AsyncIterator[Served]:
    """Serve a new hub on a free port."""
    config = Config(
        websocket=WebSocket(port=0),
        subscribers=Subscribers(**subscribers),
        limits=Limits(subscribers=3, waiting_streams=1),
    )
    metrics = Metrics()
    hub = Hub(config, metrics, encode=encode, wall=utc_now)
    control = Control(lambda _: None, metrics)
    async with WebSocketEgress(config, hub, control, metrics).serve() as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield Served(hub, f"ws://127.0.0.1:{port}", metrics)


async def receive(connection: ClientConnection) -> dict[str, Any]:
    """Return the next message."""
    async with asyncio.timeout(5):
        message: dict[str, Any] = json.loads(await connection.recv())
    return message


async def closing_of(
    connection: ClientConnection, seqs: list[int] | None = None
) -> int | None:
    """Read until the connection closes; return the code that the server gave."""
    try:
        while True:
            message = await receive(connection)
            if seqs is not None:
                seqs.append(message["seq"])
    except ConnectionClosed as exc:
        return None if exc.rcvd is None else exc.rcvd.code


async def test_hello_comes_first_then_what_is_new(served: Served) -> None:
    """A connection begins with hello and goes on live."""
    async with connect(f"{served.url}/streams/demo") as connection:
        hello = await receive(connection)
        served.publish_final(1, "one")
        final = await receive(connection)

    assert (hello["type"], hello["seq"], hello["state"]) == ("hello", 1, "live")
    assert (final["text"], final["seq"], final["epoch"]) == ("one", 2, hello["epoch"])


async def test_position_and_replay_give_the_past(served: Served) -> None:
    """``since`` and ``replay`` are honoured, in order."""
    for n in range(1, 5):
        served.publish_final(n, str(n))
    epoch = served.channel.log.epoch
    async with connect(f"{served.url}/streams/demo?since={epoch}:2") as connection:
        await receive(connection)
        after = [(await receive(connection))["seq"] for _ in range(3)]
    async with connect(f"{served.url}/streams/demo?replay=2") as connection:
        await receive(connection)
        last = [(await receive(connection))["text"] for _ in range(2)]

    assert (after, last) == ([3, 4, 5], ["3", "4"])


async def test_lost_position_is_told_in_hello(served: Served) -> None:
    """A reader of another epoch learns that it starts anew."""
    async with connect(f"{served.url}/streams/demo?since=old:7") as connection:
        hello = await receive(connection)

    assert hello["lost"]["reason"] == "epoch"


@pytest.mark.parametrize(
    ("target", "status", "detail"),
    [
        ("/streams/nobody", 404, "no stream is called 'nobody'"),
        ("/captions", 404, "/streams/{stream}"),
        ("/streams/", 404, "/streams/{stream}"),
        ("/streams//session", 404, "/streams/{stream}/session"),
        ("/streams/demo/captions", 404, "/streams/{stream}/session"),
        ("/streams/demo/session/", 404, "/streams/{stream}/session"),
        ("/streams/nobody/session", 404, "no stream is called 'nobody'"),
        ("/streams/a%20b?wait=1", 400, "1 to 64 characters"),
        ("/streams/demo?since=x", 400, "<epoch>:<seq>"),
        ("/streams/demo?replay=-1", 400, "number of finals"),
        ("/streams/demo?what=1", 400, "unknown parameter 'what'"),
    ],
)
async def test_bad_requests_are_answered(
    served: Served, target: str, status: int, detail: str
) -> None:
    """What can't be served gets a status and problem details, not a close code."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(served.url + target)

    response = caught.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert detail in json.loads(response.body)["detail"]


async def test_reader_may_wait_for_a_stream(served: Served) -> None:
    """``wait=1`` lets a reader come before the publisher, and leaves nothing behind."""
    async with connect(f"{served.url}/streams/later?wait=1") as connection:
        hello = await receive(connection)
        with pytest.raises(InvalidStatus):
            await connect(f"{served.url}/streams/third?wait=1")
    await until(lambda: len(served.hub.channels()) == 1)

    assert hello["state"] == "waiting"


async def test_request_without_a_handshake_leaves_nothing(served: Served) -> None:
    """A plain GET, or a client that goes away, makes no stream."""
    async with aiohttp.ClientSession() as http:
        for n in range(5):
            url = served.url.replace("ws://", "http://")
            async with http.get(f"{url}/streams/x{n}?wait=1") as response:
                assert response.status == 426

    assert len(served.hub.channels()) == 1


async def test_stop_does_not_wait_for_readers_that_take_nothing() -> None:
    """Stopping comes to an end although a reader may stall for an hour."""
    async with serve_hub(send_buffer_bytes=4096, stall_timeout=3600) as served:
        port = int(served.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(
            b"GET /streams/demo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await until(lambda: served.channel.subscribers)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        (subscriber,) = served.channel.subscribers
        cue = 0
        while not subscriber.behind:
            cue += 1
            served.publish_final(cue, "x" * 4000)
    writer.close()

    assert not served.channel.subscribers
    assert reader is not None


async def test_too_many_subscribers_are_refused(served: Served) -> None:
    """Beyond the limit a reader gets 503 and is told when to come back."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            connection = await stack.enter_async_context(
                connect(f"{served.url}/streams/demo")
            )
            await receive(connection)
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{served.url}/streams/demo")

    assert caught.value.response.status_code == 503
    assert caught.value.response.headers["Retry-After"] == "5"


@pytest.mark.parametrize("message", ["{", "[]", "x" * 100, b"\xff\x00"])
async def test_messages_of_a_reader_are_answered(
    served: Served, message: str | bytes
) -> None:
    """A reader that talks is told that nobody listens, and goes on reading."""
    async with connect(f"{served.url}/streams/demo") as connection:
        await receive(connection)
        await connection.send(message)
        answer = await receive(connection)
        served.publish_final(1)
        final = await receive(connection)

    assert (answer["type"], answer["code"]) == ("error", "unexpected_message")
    assert final["type"] == "caption"


async def test_chatter_and_giants_are_closed(served: Served) -> None:
    """A reader that won't stop talking gets 1008, one that shouts 1009."""
    async with connect(f"{served.url}/streams/demo") as connection:
        for _ in range(12):
            await connection.send("hello")
        chatter = await closing_of(connection)
    async with connect(f"{served.url}/streams/demo") as connection:
        await connection.send("x" * 100_000)
        giant = await closing_of(connection)

    assert (chatter, giant) == (1008, 1009)


async def test_reader_that_stops_is_cut_and_resumes() -> None:
    """A reader that takes nothing gets 1013, others lose nothing; it catches up."""
    async with serve_hub(mailbox=20, send_buffer_bytes=4096) as served:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        port = int(served.url.rsplit(":", 1)[1])
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        async with (
            connect(f"{served.url}/streams/demo", sock=sock, max_queue=1) as sleeper,
            connect(f"{served.url}/streams/demo") as reader,
        ):
            hello = await receive(sleeper)
            await receive(reader)
            seen = []
            for cue in range(1, 400):
                served.publish_final(cue, "a line of captions " * 5)
                seen.append((await receive(reader))["seq"])
            texts: list[int] = []
            cut = await closing_of(sleeper, texts)
        position = f"{hello['epoch']}:{texts[-1]}"
        async with connect(f"{served.url}/streams/demo?since={position}") as resumed:
            await receive(resumed)
            rest = [(await receive(resumed))["seq"] for _ in range(400 - texts[-1])]

    assert seen == list(range(2, 401))
    assert cut == 1013
    assert texts + rest == seen


async def test_stop_closes_readers_with_going_away() -> None:
    """A reader learns that the server goes, and may come back."""
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve_hub())
        connection = await connect(f"{served.url}/streams/demo")
        await receive(connection)
        await stack.aclose()
        with pytest.raises(ConnectionClosed) as closed:
            await receive(connection)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


def test_target_is_parsed() -> None:
    """Every parameter has its place."""
    wanted = parse_target("/streams/a.b?since=e:4&replay=2&wait=1")

    assert wanted == Subscription(
        stream="a.b", since=Position("e", 4), replay=2, wait=True, control=False
    )


@pytest.mark.parametrize(
    ("path", "stream", "control"),
    [
        ("/streams/a/session", "a", True),
        ("/streams/session", "session", False),
        ("/streams/session/session", "session", True),
    ],
)
def test_control_channel_is_told_apart(path: str, stream: str, control: bool) -> None:
    """``/session`` behind the stream is its control channel."""
    wanted = parse_target(path)

    assert (wanted.stream, wanted.control) == (stream, control)
