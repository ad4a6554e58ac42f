"""Tests of how a controller's connection is bounded, and of who may have one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from captiond.egress import control as control_module
from captiond.egress import controller as controller_module
from captiond.egress import requests
from captiond.egress.control import Control
from captiond.egress.websocket import WebSocketEgress
from captiond.live.session import ModelText
from tests.egress.controlled import (
    Served,
    ask,
    controller,
    receive,
    serve,
)
from tests.egress.test_websocket import closing_of
from tests.harness import until
from tests.hub.test_log import caption


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Serve the stream ``demo``."""
    async with serve() as found:
        yield found


@pytest.mark.parametrize(
    ("bound", "message", "reason"),
    [
        ("MAX_BAD", "x", "more than 3 malformed requests"),
        ("BURST", '{"type":"interrupt"}', "more than 0 requests per second"),
    ],
)
async def test_misconduct_is_closed(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    message: str,
    reason: str,
) -> None:
    """Who sends too much, or only nonsense, gets 1008 and is told why."""
    monkeypatch.setattr(requests, "RATE", 0 if bound == "BURST" else 50)
    monkeypatch.setattr(requests, bound, 3)
    async with controller(served.session) as connection:
        for _ in range(4):
            await connection.send(message)
        code = await closing_of(connection)

    assert (code, connection.close_reason) == (1008, reason)


async def test_long_tool_responses_are_taken(served: Served) -> None:
    """A controller may send 64 KiB where a reader may send 4; more gets 1009."""
    async with controller(served.session) as connection:
        answer = await ask(
            connection, "tool_response", call="c", result={"text": "x" * 60_000}
        )
        await connection.send("x" * 70_000)
        code = await closing_of(connection)

    assert answer["type"] == "ack"
    assert code == 1009


async def test_controllers_are_bounded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream has so many controllers; readers and other streams don't count."""
    monkeypatch.setattr(control_module, "MAX_CONTROLLERS", 2)
    other = f"{served.url}/streams/other/session?wait=1"
    async with (
        controller(served.session),
        controller(served.session),
        controller(f"{served.url}/streams/demo"),
        controller(other),
    ):
        gauge = served.count("captiond_controllers")
        with pytest.raises(InvalidStatus) as caught:
            await connect(served.session)

    assert gauge == 3
    assert caught.value.response.status_code == 503
    assert caught.value.response.headers["Retry-After"] == "5"


async def test_simultaneous_controllers_are_bounded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was admitted at the same moment as the last one is closed with 1013."""
    monkeypatch.setattr(Control, "check_room", lambda *_: None)
    async with controller(served.session):
        monkeypatch.undo()
        monkeypatch.setattr(control_module, "MAX_CONTROLLERS", 1)
        monkeypatch.setattr(WebSocketEgress, "_admit_controller", lambda *_: None)
        async with connect(served.session) as late:
            code = await closing_of(late, [])

    assert code == 1013


async def test_foreign_pages_are_refused(served: Served) -> None:
    """A web page of another host can't steer; one of this host may."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(served.session, origin="https://evil.example")  # type: ignore[arg-type]
    async with connect(served.session, origin="http://localhost:8080") as own:  # type: ignore[arg-type]
        hello = await receive(own)
    async with connect(
        f"{served.url}/streams/demo",
        origin="https://evil.example",  # type: ignore[arg-type]
    ) as reader:
        read = await receive(reader)

    response = caught.value.response
    assert response.status_code == 403
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "may not steer" in json.loads(response.body)["detail"]
    assert hello["type"] == read["type"] == "hello"


@contextlib.asynccontextmanager
async def sleeper(served: Served) -> AsyncIterator[ClientConnection]:
    """Connect a controller that has read the greeting and reads no more."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    port = int(served.url.rsplit(":", 1)[1])
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    async with connect(served.session, sock=sock, max_queue=1) as connection:
        await receive(connection)
        yield connection


async def test_who_does_not_read_is_heard_all_the_same() -> None:
    """Requests are handled while nothing can be sent; then all comes, in order."""
    async with serve(send_buffer_bytes=4096) as served, sleeper(served) as connection:
        for n in range(200):
            served.stream.tell(ModelText(text=f"{n} " + "x" * 1000))
        for n in range(20):
            await connection.send(json.dumps({"type": "interrupt", "id": n}))
        await until(lambda: len(served.stream.asked) == 20)
        served.hub.publish(served.channel, caption(1, "last", final=True))
        messages = [await receive(connection) for _ in range(221)]

    events = [each for each in messages if each["type"] == "session"]
    acks = [each for each in messages if each["type"] == "ack"]
    assert [int(each["text"].split()[0]) for each in events] == list(range(200))
    assert [each["id"] for each in acks] == list(range(20))
    assert sum(each["type"] == "caption" for each in messages) == 1


async def test_full_mailbox_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be sent waits up to a bound; then the controller is closed."""
    monkeypatch.setattr(controller_module, "MAILBOX", 10)
    async with serve(send_buffer_bytes=4096) as served, sleeper(served) as connection:
        cut = "captiond_subscribers_cut_total"
        while not served.count(cut, reason="mailbox_full"):
            served.stream.tell(ModelText(text="x" * 1000))
            await asyncio.sleep(0)
        served.stream.tell(ModelText(text="too late"))
        code = await closing_of(connection)

    assert code == 1013
    discarded = "captiond_events_discarded_total"
    assert served.count(discarded, reason="mailbox_full") == 11
    assert served.count(discarded, reason="closing") == 1


async def test_nothing_follows_the_close_frame() -> None:
    """What still waits when the daemon stops is discarded, and counted."""
    async with serve(send_buffer_bytes=4096) as served, sleeper(served) as connection:
        for n in range(100):
            served.stream.tell(ModelText(text=f"{n} " + "x" * 1000))
        (waiting,) = served.channel.subscribers
        closing = asyncio.create_task(waiting._outlet.close(1001, "test"))  # type: ignore[attr-defined]
        code = await closing_of(connection)
        await closing

    assert code == 1001
    assert served.count("captiond_events_discarded_total", reason="closing")
