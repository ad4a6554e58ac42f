"""The reader of the caption stream: positions and lost connections."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from captiond.cli import caption_reader
from captiond.cli.caption_reader import CaptionReader, ReadError
from captiond.cli.messages import Received


def message(kind: str, seq: int, **more: object) -> str:
    body = {"v": 1, "type": kind, "stream": "s", "epoch": "e", "seq": seq}
    return json.dumps(body | more)


def final(seq: int) -> str:
    return message("caption", seq, cue=seq, state="final", start=0, end=1, text="a")


class Script:
    """A server that sends one list of messages per connection, then hangs up."""

    def __init__(self, *connections: list[str], refuse: int | None = None) -> None:
        self._connections = list(connections)
        self._refuse = refuse
        self.targets: list[str] = []

    async def handle(self, connection: ServerConnection) -> None:
        for text in self._connections.pop(0):
            await connection.send(text)
        if not self._connections:
            await connection.wait_closed()
        await connection.close(1013, "too slow")

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.targets.append(request.path)
        if self._refuse is None:
            return None
        response = connection.respond(404, '{"detail": "no stream is called \'s\'"}')
        response.status_code = self._refuse
        return response

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server: Server
        async with serve(
            self.handle, "127.0.0.1", 0, process_request=self.admit
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"ws://127.0.0.1:{port}/streams/s"


async def read(reader: CaptionReader, count: int) -> list[Received]:
    received = []
    async with contextlib.aclosing(aiter(reader)) as messages:
        async for item in messages:
            received.append(item)
            if len(received) == count:
                break
    return received


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(caption_reader, "FIRST_PAUSE", 0.001)


async def test_goes_on_after_the_last_durable_event() -> None:
    """After a lost connection the reader asks for what it has not had."""
    interim = message("caption", 6, cue=9, state="interim", start=0, end=1, text="b")
    script = Script(
        [message("hello", 5, after=5), final(6), interim], [message("hello", 6)]
    )
    lost: list[str] = []
    async with script.serve() as url:
        reader = CaptionReader(url, wait=True, on_lost=lost.append)
        received = await read(reader, 4)

    assert len(received) == 4
    assert script.targets == [
        "/streams/s?wait=1",
        "/streams/s?since=e:6&wait=1",
    ]
    assert lost == ["closed with 1013: too slow"]


async def test_replay_is_not_skipped() -> None:
    """A connection lost during a replay goes on inside it, not after it."""
    script = Script([message("hello", 9, after=4), final(5)], [message("hello", 9)])
    async with script.serve() as url:
        await read(CaptionReader(url, replay=5), 3)

    assert script.targets == ["/streams/s?replay=5", "/streams/s?since=e:5"]


async def test_since_is_sent() -> None:
    """The first connection names the position that was asked for."""
    script = Script([message("hello", 9, after=7)])
    async with script.serve() as url:
        await read(CaptionReader(url, since="e:7"), 1)

    assert script.targets == ["/streams/s?since=e:7"]


async def test_refusal_says_why() -> None:
    """The problem's detail is part of the error."""
    async with Script([], refuse=404).serve() as url:
        with pytest.raises(ReadError, match="404: no stream is called 's'"):
            await read(CaptionReader(url), 1)


async def test_nobody_listens() -> None:
    """The first connection must succeed."""
    with pytest.raises(ReadError, match="can't connect"):
        await read(CaptionReader("ws://127.0.0.1:9/streams/s"), 1)


async def test_other_protocols_are_named() -> None:
    """What is not a caption stream is said so."""
    async with Script(["hello?"]).serve() as url:
        with pytest.raises(ReadError, match="not a message of the caption stream"):
            await read(CaptionReader(url), 1)
