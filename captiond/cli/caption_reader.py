"""
A reader of the caption stream that loses nothing.

It remembers its position, and after a lost connection asks for what came after it
(``?since=epoch:seq``), with a growing and jittered pause between attempts so that a
restarted daemon isn't met by all its readers at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
)
from yarl import URL

from captiond.cli.messages import (
    Caption,
    Gap,
    Hello,
    MessageError,
    Received,
    Session,
    Status,
    parse,
)
from captiond.cli.whip_client import problem_detail
from captiond.config import is_loopback
from captiond.errors import CaptiondError

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
"""Seconds; the pause doubles from the first to the longest."""


class ReadError(CaptiondError):
    """The caption stream can't be read; says why."""


class CaptionReader:
    """
    Iterates over the messages of one stream, for ever.

    The first connection must succeed; later ones are tried until they do.

    Args:
        url: ``ws://host:port/streams/STREAM``.
        since: Position ``epoch:seq`` to go on after.
        replay: Number of past finals to begin with.
        wait: Stay when nobody has published under that name yet.
        on_lost: Called with the reason when the connection is lost and tried again.

    """

    def __init__(
        self,
        url: str,
        *,
        since: str | None = None,
        replay: int | None = None,
        wait: bool = False,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        self._url = URL(url)
        self._replay = replay
        self._wait = wait
        self._on_lost = on_lost
        self.position = since
        """``epoch:seq`` of the last durable event that was read."""

    def __aiter__(self) -> AsyncGenerator[Received, None]:
        """
        Yield messages as they come; close the generator when leaving it early.

        Raises:
            ReadError: If the first connection fails, the stream is not there, or the
                server doesn't speak the protocol.

        """
        return self._messages()

    async def _messages(self) -> AsyncGenerator[Received, None]:
        connected, pause = False, FIRST_PAUSE
        while True:
            try:
                async with self._connect() as connection:
                    async for received in self._read(connection):
                        connected, pause = True, FIRST_PAUSE
                        yield received
                lost = _reason(connection)
            except InvalidStatus as exc:
                if not connected or exc.response.status_code < 500:
                    raise ReadError(self._refusal(exc)) from exc
                lost = self._refusal(exc)
            except (OSError, InvalidMessage) as exc:
                if not connected:
                    raise ReadError(f"{self._url}: can't connect: {exc}") from exc
                lost = str(exc)
            except InvalidHandshake as exc:
                raise ReadError(f"{self._url}: not a caption stream: {exc}") from exc
            if self._on_lost is not None:
                self._on_lost(lost)
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _connect(self) -> connect:
        query: dict[str, str] = {}
        if self.position is not None:
            query["since"] = self.position
        elif self._replay is not None:
            query["replay"] = str(self._replay)
        if self._wait:
            query["wait"] = "1"
        local = is_loopback(self._url.host or "")
        return connect(
            str(self._url.update_query(query)),
            # A proxy can't reach our loopback addresses.
            proxy=None if local else True,
            max_size=1 << 20,
            open_timeout=10,
            close_timeout=2,
        )

    async def _read(self, connection: ClientConnection) -> AsyncIterator[Received]:
        try:
            while True:
                raw = await connection.recv()
                try:
                    received = parse(raw, at=time.monotonic())
                except MessageError as exc:
                    raise ReadError(f"{self._url}: {exc}") from exc
                self._note_position(received)
                yield received
        except ConnectionClosed:
            return

    def _note_position(self, received: Received) -> None:
        message = received.message
        match message:
            case Hello():
                # Not the end of the log: what is replayed is still to be read.
                self.position = f"{message.epoch}:{message.after}"
            case Gap() | Status() | Session(seq=int()) | Caption(final=True):
                self.position = f"{message.epoch}:{message.seq}"
            case _:
                pass

    def _refusal(self, exc: InvalidStatus) -> str:
        response = exc.response
        text = f"{self._url}: refused with {response.status_code}"
        body = bytes(response.body or b"").decode("utf-8", "replace")
        detail = problem_detail(body) or response.reason_phrase
        return f"{text}: {detail}" if detail else text


def _reason(connection: ClientConnection) -> str:
    if connection.close_code is None:
        return "the connection was lost"
    text = f"closed with {connection.close_code}"
    return f"{text}: {connection.close_reason}" if connection.close_reason else text
