"""
Test servers that speak the three dialects of the realtime transcription protocol.

What they say depends on the audio that they were sent: they recognise a programme. A
server runs inside a test, with faults that may be changed while it runs::

    async with OpenAiServer(programme, dialect="openai") as server:
        url = server.url                              # ws://127.0.0.1:…/v1/realtime
        server.faults = Faults(reset=True, after=2.0, once=True)
        ...
        assert server.messages("session.update")

or as a process::

    python -m tests.servers.openai --dialect vllm --programme P.wav --words P.json

which prints its address and ends when it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import dataclasses
import json
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from tests.servers import openai_beta, openai_ga, openai_vllm
from tests.servers.openai_connection import (
    Connection,
    Peer,
    Service,
    openai_error,
    vllm_error,
)
from tests.servers.openai_faults import Faults, FaultSwitch
from tests.servers.openai_hearing import PeerSetup, Send
from tests.servers.programme import Programme

__all__ = ["DIALECTS", "Faults", "OpenAiServer", "Received"]

DIALECTS = ("openai", "openai-beta", "vllm")

PATH = "/v1/realtime"
KEY = "sk-test-0123456789abcdef"
"""The key that is right."""

MAX_LOG = 20_000
MAX_MESSAGE_BYTES = 32 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """A message from a client; audio is replaced by ``audio_bytes``."""

    connection: int
    message: Mapping[str, Any]

    @property
    def type(self) -> str:
        """Return its type."""
        return str(self.message.get("type"))


@dataclasses.dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asked for."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class OpenAiServer:
    """
    A server of one dialect on 127.0.0.1.

    Args:
        programme: What it can recognise.
        dialect: One of :data:`DIALECTS`.
        key: The key that it demands; ``""`` demands none, which OpenAI itself never
            does.
        port: Port to listen on; 0 takes a free one.
        tls: What it serves ``wss`` with; without, it serves ``ws``.
        latency: Seconds from the end of an item's audio to its transcript.
        session_seconds: Age at which a session is expired.
        partials: See :class:`tests.servers.openai_beta.BetaPeer`.
        strange_items: The same.

    """

    def __init__(
        self,
        programme: Programme,
        *,
        dialect: str = "openai",
        key: str = KEY,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        latency: float = 0.02,
        session_seconds: float | None = None,
        partials: bool = False,
        strange_items: bool = False,
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"no dialect is called {dialect!r}")
        self._programme = programme
        self._dialect = dialect
        self._key = key
        self._port = port
        self._tls = tls
        self._latency = latency
        self._session_seconds = session_seconds
        self._partials = partials
        self._strange_items = strange_items
        self._server: Server | None = None
        self.switch = FaultSwitch()
        self.handshakes: collections.deque[Handshake] = collections.deque(
            maxlen=MAX_LOG
        )
        self.log: collections.deque[Received] = collections.deque(maxlen=MAX_LOG)
        """The last messages from all clients."""
        self.connections = 0
        """How many were opened so far."""
        self.seconds = 0.0
        """Audio received by all of them."""

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            self._port,
            ssl=self._tls,
            process_request=self._process_request,
            max_size=MAX_MESSAGE_BYTES,
            # A client that leaves while its audio waits here must be noticed.
            max_queue=None,
            close_timeout=1.0,
            compression=None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        for connection in self._server.connections:
            # A client that doesn't read would make an orderly end take long.
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    @property
    def faults(self) -> Faults:
        """The faults that are on now."""
        return self.switch.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.switch.faults = faults

    @property
    def open_connections(self) -> int:
        """How many stand now."""
        assert self._server is not None
        return len(self._server.connections)

    @property
    def url(self) -> str:
        """Return where it listens."""
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{port}{PATH}"

    def messages(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the logged messages of a type."""
        return [each.message for each in self.log if each.type == kind]

    def _process_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        parts = urlsplit(request.path)
        query = dict(parse_qsl(parts.query))
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        self.handshakes.append(Handshake(parts.path, query, headers))
        authorization = headers.get("authorization")
        status = self.switch.take("http_status") or (
            self._refuse(query, authorization) if parts.path == PATH else 404
        )
        if status is None:
            return None
        error = {
            "message": f"Refused; you sent the key {authorization}.",
            "type": "invalid_request_error",
            "code": "invalid_api_key" if status == 401 else None,
        }
        response = connection.respond(status, json.dumps({"error": error}))
        retry_after = self.switch.take("retry_after")
        if retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        return response

    def _refuse(
        self, query: Mapping[str, str], authorization: str | None
    ) -> int | None:
        if self._dialect == "openai":
            return openai_ga.refuse(authorization, self._key)
        if self._dialect == "openai-beta":
            return openai_beta.refuse(query, authorization, self._key)
        return openai_vllm.refuse(authorization, self._key)

    async def _handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        number = self.connections
        service = Service(
            faults=self.switch,
            setup=self._setup,
            peer=self._peer,
            record=lambda message: self.log.append(Received(number, message)),
            heard=self._heard,
            error=vllm_error if self._dialect == "vllm" else openai_error,
        )
        await Connection(socket, service).run(self._session_seconds)

    def _heard(self, seconds: float) -> None:
        self.seconds += seconds

    def _peer(self, setup: PeerSetup) -> Peer:
        if self._dialect == "openai":
            return openai_ga.GaPeer(setup)
        if self._dialect == "openai-beta":
            return openai_beta.BetaPeer(
                setup, partials=self._partials, strange_items=self._strange_items
            )
        return openai_vllm.VllmPeer(setup)

    def _setup(
        self, query: Mapping[str, str], send: Send, tasks: asyncio.TaskGroup
    ) -> PeerSetup:
        return PeerSetup(
            programme=self._programme,
            query=query,
            send=send,
            faults=self.switch,
            tasks=tasks,
            latency=self._latency,
        )


async def _main(arguments: argparse.Namespace) -> None:
    server = OpenAiServer(
        Programme.load(arguments.programme, arguments.words),
        dialect=arguments.dialect,
        key=arguments.key,
        port=arguments.port,
        latency=arguments.latency,
        session_seconds=arguments.session_seconds,
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(server.url, flush=True)  # noqa: T201 - for who started it
        await stop.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.openai")
    parser.add_argument("--dialect", choices=DIALECTS, default="openai")
    parser.add_argument("--programme", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--session-seconds", type=float)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_main(_arguments()))
