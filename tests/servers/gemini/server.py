"""
The server: listens with TLS on 127.0.0.1, and keeps connections, handles and log.

See the package for its use.
"""

from __future__ import annotations

import collections
import dataclasses
import http
import logging
import re
import socket
import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import websockets
from websockets.asyncio.server import Server, ServerConnection
from websockets.http11 import Request, Response

from tests.servers.gemini.connection import Connection
from tests.servers.gemini.faults import DEADLINE, Faults
from tests.servers.gemini.log import Direction, Log, Record, now
from tests.servers.gemini.peer import Peer
from tests.servers.gemini.resumption import Handles
from tests.servers.gemini.script import Script
from tests.servers.gemini.setup import MODELS, Model
from tests.servers.programme import Programme
from tests.servers.recogniser import Recogniser
from tests.servers.tls import Certificate

API_KEY = "test-key"

_PATHS = (
    re.compile(
        r"/+(?:[^/]+/+)*ws/google\.ai\.generativelanguage\.(v1|v1beta|v1alpha)\."
        r"GenerativeService\.BidiGenerateContent(?:Constrained)?"
    ),
    re.compile(
        r"/+(?:[^/]+/+)*ws/google\.cloud\.aiplatform\.(v1|v1beta1)\."
        r"LlmBidiService/BidiGenerateContent"
    ),
)

_logger = logging.getLogger("tests.servers.gemini")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the service is, as long as nothing goes wrong."""

    api_key: str = API_KEY
    models: tuple[Model, ...] = MODELS
    script: Script = dataclasses.field(default_factory=Script)
    session_limit: float | None = None
    """Seconds of the wall clock that a connection may last."""
    go_away_before: float = 60.0
    """So long before the limit it is announced."""
    limit_code: int = 1011
    """With which it is closed: 1011, or 1000 with "The operation was cancelled."."""
    limit_reason: str = DEADLINE
    receive_buffer_bytes: int | None = None
    """The kernel's buffer, so that a server that doesn't read is noticed soon."""


class GeminiServer:
    """
    A Gemini Live service that knows one programme.

    Args:
        programme: What it can hear.
        settings: How it is.
        faults: What goes wrong, to begin with.
        certificate: With which it listens; by default a new one.
        port: Where it listens; by default any. Stays the same after a restart.

    """

    def __init__(
        self,
        programme: Programme,
        *,
        settings: Settings | None = None,
        faults: Faults | None = None,
        certificate: Certificate | None = None,
        port: int = 0,
    ) -> None:
        self.programme = programme
        self.settings = settings or Settings()
        self.faults = faults or Faults()
        self.handles = Handles()
        self.log = Log()
        self.connections: list[Connection] = []
        self._next_faults: collections.deque[Faults] = collections.deque()
        self._certificate = certificate
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._port = port
        self._count = 0
        self._server: Server | None = None
        # The index of a long programme takes a while to make.
        Recogniser(programme)

    @property
    def url(self) -> str:
        """Return what to give as ``base_url``."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Return where it listens."""
        return self._port

    @property
    def certificate(self) -> Certificate:
        """Return its certificate; ``pem`` is what clients must trust."""
        if self._certificate is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gemini-server-")
            self._certificate = Certificate.in_folder(Path(self._folder.name))
        return self._certificate

    @property
    def client_ssl(self) -> ssl.SSLContext:
        """Return a context that trusts it."""
        return self.certificate.client_context()

    def fault_next(self, faults: Faults, *, connections: int = 1) -> None:
        """Let the next connections have these faults instead of the server's."""
        self._next_faults.extend([faults] * connections)

    async def start(self) -> None:
        """Listen; also again, after :meth:`stop`, on the same port."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.settings.receive_buffer_bytes is not None:
            size = self.settings.receive_buffer_bytes
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._server = await websockets.serve(
            self._handle,
            sock=listener,
            ssl=self.certificate.server_context(),
            process_request=self._admit,
            create_connection=Peer,
            compression=None,
            ping_interval=None,
            max_size=None,
            close_timeout=1,
            server_header=None,
            logger=_logger,
        )

    async def stop(self) -> None:
        """Be gone, as if killed: connections are reset, nobody listens."""
        if self._server is None:
            return
        for connection in list(self.connections):
            connection.abort()
        self._server.close()
        await self._server.wait_closed()
        self._server = None

    def record(
        self, connection: int, direction: Direction, kind: str, **fields: Any
    ) -> None:
        """Write into the log."""
        self.log.add(
            Record(
                connection=connection,
                direction=direction,
                kind=kind,
                at=now(),
                **fields,
            )
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = self._certificate = None

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        assert isinstance(socket, Peer)
        self._count += 1
        socket.number = self._count
        if self._next_faults:
            socket.own_faults = self._next_faults.popleft()
        socket.faults = lambda: socket.own_faults or self.faults
        path, _query = _split(request)
        self.record(socket.number, "in", "handshake", content=path)
        status = socket.faults().http_status
        if status is None and _version(path) is not None:
            return None
        status = status or http.HTTPStatus.NOT_FOUND
        self.record(socket.number, "out", "http", content=int(status))
        return socket.respond(http.HTTPStatus(status), "refused\n")

    async def _handle(self, socket: ServerConnection) -> None:
        assert isinstance(socket, Peer)
        assert socket.request is not None
        request = socket.request
        connection = Connection(
            self,
            socket,
            version=_version(_split(request)[0]) or "",
            authorised=self.settings.api_key in _keys(request),
        )
        socket.on_control = lambda kind: self.record(
            socket.number, "in" if kind == "ping" else "out", kind
        )
        self.connections.append(connection)
        try:
            await connection.run()
        finally:
            self.connections.remove(connection)


def _split(request: Request) -> tuple[str, str]:
    # The SDK's path begins with two slashes, which urlsplit takes for a host.
    path, _, query = request.path.partition("?")
    return path, query


def _version(path: str) -> str | None:
    for pattern in _PATHS:
        match = pattern.fullmatch(path)
        if match is not None:
            return match[1]
    return None


def _keys(request: Request) -> set[str]:
    keys = set(request.headers.get_all("x-goog-api-key"))
    keys.update(parse_qs(_split(request)[1]).get("key", ()))
    for value in request.headers.get_all("authorization"):
        keys.add(value.rpartition(" ")[2])
    return keys
