"""
Captions over WebSocket: ``ws://…/streams/{stream}?since=epoch:seq&replay=N&wait=1``,
and the control channel at ``…/streams/{stream}/session``.

An event is framed once (RFC 6455 section 5.2), and the same bytes are written to every
subscriber's transport. A subscriber costs a task of its own only while its transport
doesn't drain.
"""

from __future__ import annotations

import asyncio
import dataclasses
import http
import socket
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from captiond import logs
from captiond.clock import utc_now
from captiond.config import Config
from captiond.egress import wire
from captiond.egress.control import Control
from captiond.egress.controller import Controller
from captiond.egress.origin import check_origin
from captiond.egress.outlet import CLOSE_TIMEOUT, Outlet, frame_text
from captiond.egress.requests import MAX_REQUEST_BYTES
from captiond.errors import (
    ControlError,
    StreamNameError,
    StreamNotFound,
    Unavailable,
)
from captiond.hub.hub import Channel, Hub
from captiond.hub.log import Cursor, Position, check_name
from captiond.metrics import Metrics
from captiond.problem import CONTENT_TYPE, problem

MAX_BAD_MESSAGES = 10
"""Messages that a reader may send before it is closed: none has a meaning yet."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What the request line asks for."""

    stream: str
    since: Position | None = None
    replay: int = 0
    wait: bool = False
    control: bool = False
    """Also steer the stream."""


def parse_target(target: str) -> Subscription:
    """
    Read the target of a WebSocket request.

    Raises:
        LookupError: If the path is neither ``/streams/{stream}`` nor that with
            ``/session`` behind it.
        ValueError: If a query parameter is unknown or not of its form.

    """
    url = urllib.parse.urlsplit(target)
    match url.path.split("/"):
        case ["", "streams", name, *rest] if name and rest in ([], ["session"]):
            control = bool(rest)
        case _:
            raise LookupError(
                "captions are at /streams/{stream}, the control channel at "
                "/streams/{stream}/session"
            )
    query = urllib.parse.parse_qs(
        url.query, keep_blank_values=True, max_num_fields=16, errors="strict"
    )
    unknown = query.keys() - {"since", "replay", "wait"}
    if unknown:
        raise ValueError(
            f"unknown parameter '{min(unknown)[:40]}'; allowed are since, replay, wait"
        )
    since = query.get("since", [""])[-1]
    return Subscription(
        stream=urllib.parse.unquote(name),
        since=Position.parse(since) if since else None,
        replay=_parse_replay(query.get("replay", ["0"])[-1]),
        wait=query.get("wait", ["0"])[-1] not in ("0", "false"),
        control=control,
    )


def _parse_replay(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("replay is a number of finals, such as replay=20")
    return int(text)


class WebSocketEgress:
    """
    Serves captions to WebSocket subscribers.

    Args:
        config: Addresses and bounds.
        hub: Where the captions are.
        control: What controllers' requests go to.
        metrics: Where subscribers and deliveries are counted.

    """

    def __init__(
        self, config: Config, hub: Hub, control: Control, metrics: Metrics
    ) -> None:
        self._config = config
        self._hub = hub
        self._control = control
        self._metrics = metrics
        self._count = 0
        self._outlets: set[Outlet] = set()
        self._log = logs.get("websocket")

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Server]:
        """Listen until the block ends, then close every connection with 1001."""
        server = await serve(
            self._handle,
            self._config.websocket.host,
            self._config.websocket.port,
            process_request=self._admit,
            compression=None,
            max_size=self._config.subscribers.max_message_bytes,
            max_queue=4,
            # Any unsent byte pauses the connection: its subscriber is then blocked.
            write_limit=0,
            close_timeout=CLOSE_TIMEOUT,
            server_header=None,
        )
        try:
            yield server
        finally:
            await self._stop(server)

    async def _stop(self, server: Server) -> None:
        # A close frame would wait behind what a blocked reader doesn't take.
        for outlet in self._outlets:
            outlet.abort_if_blocked()
        server.close(code=CloseCode.GOING_AWAY, reason="captiond is stopping")
        try:
            async with asyncio.timeout(2 * CLOSE_TIMEOUT):
                await server.wait_closed()
        except TimeoutError:
            self._log.warning("readers didn't close", count=len(self._outlets))
            for outlet in self._outlets:
                outlet.abort()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer requests that can't be served before the handshake completes."""
        try:
            wanted = parse_target(request.path)
            self._require_room()
            if wanted.control:
                self._admit_controller(connection, request, wanted.stream)
            if wanted.wait:
                self._hub.check_waiting_room(wanted.stream)
            else:
                self._hub.get(check_name(wanted.stream))
        except (LookupError, StreamNotFound) as exc:
            return _refuse(http.HTTPStatus.NOT_FOUND, _text(exc))
        except (ValueError, StreamNameError) as exc:
            return _refuse(http.HTTPStatus.BAD_REQUEST, str(exc))
        except ControlError as exc:
            return _refuse(http.HTTPStatus(exc.status), exc.detail)
        except Unavailable as exc:
            response = _refuse(http.HTTPStatus.SERVICE_UNAVAILABLE, exc.detail)
            response.headers["Retry-After"] = str(exc.retry_after)
            return response
        return None

    def _admit_controller(
        self, connection: ServerConnection, request: Request, stream: str
    ) -> None:
        check_origin(
            request.headers.get_all("Origin"),
            request.headers.get_all("Host"),
            listens_on=self._config.websocket.host,
        )
        self._control.check_room(stream)
        # The server's own limit is that of readers.
        connection.protocol.max_message_size = MAX_REQUEST_BYTES

    def _require_room(self) -> None:
        limit = self._config.limits.subscribers
        if self._count >= limit:
            raise Unavailable(
                f"there are {limit} subscribers already (limits.subscribers)",
                retry_after=5,
            )

    async def _handle(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        wanted = parse_target(request.path)
        # Opened here, not when it was admitted: only now it will be released.
        channel = self._hub.open(wanted.stream)
        gauge = self._metrics.subscribers.labels("websocket")
        # Readers come by the thousand: their lines are for whoever looks for one.
        log = self._log.bind(stream=wanted.stream, subscriber=connection.id.hex[:6])
        agent = request.headers.get("User-Agent", "")[:80]
        log.debug("subscriber opened", agent=agent, control=wanted.control)
        self._count += 1
        gauge.inc()
        try:
            await self._serve_subscriber(connection, channel, wanted)
        except* (ConnectionClosed, OSError):
            pass  # how every connection ends
        finally:
            self._count -= 1
            gauge.dec()
            self._hub.release(channel)
            log.debug(
                "subscriber closed",
                code=connection.close_code,
                reason=connection.close_reason,
            )

    async def _serve_subscriber(
        self, connection: ServerConnection, channel: Channel, wanted: Subscription
    ) -> None:
        sock: socket.socket = connection.transport.get_extra_info("socket")
        sock.setsockopt(
            socket.SOL_SOCKET,
            socket.SO_SNDBUF,
            self._config.subscribers.send_buffer_bytes,
        )
        cursor = self._cursor(channel, wanted)
        async with asyncio.TaskGroup() as tasks:
            outlet = self._new_outlet(connection, tasks, wanted)
            subscriber = outlet.subscribe(cursor)
            hello = wire.encode_hello(channel.log, cursor, now=utc_now())
            connection.transport.write(frame_text(hello))
            self._outlets.add(outlet)
            self._hub.attach(channel, subscriber)
            try:
                await outlet.hear()
            finally:
                self._hub.detach(channel, subscriber)
                self._outlets.discard(outlet)
                outlet.stop()

    def _new_outlet(
        self,
        connection: ServerConnection,
        tasks: asyncio.TaskGroup,
        wanted: Subscription,
    ) -> Outlet:
        if not wanted.control:
            return _Reader(connection, tasks, self._config, self._metrics)
        return Controller(
            connection,
            tasks,
            self._config,
            self._metrics,
            control=self._control,
            stream=wanted.stream,
        )

    def _cursor(self, channel: Channel, wanted: Subscription) -> Cursor:
        log = channel.log
        if wanted.since is not None:
            cursor = log.cursor_after(wanted.since)
            result = "full" if cursor.lost is None else cursor.lost.reason
            self._metrics.resumes.labels(result).inc()
            return cursor
        if wanted.replay:
            return log.cursor_before_end(wanted.replay)
        return log.cursor()


class _Reader(Outlet):
    """A subscriber that has nothing to say."""

    async def hear(self) -> None:
        bad = 0
        async for _ in self.connection:
            bad += 1
            if bad > MAX_BAD_MESSAGES:
                await self.connection.close(
                    CloseCode.POLICY_VIOLATION, "readers have nothing to say here"
                )
                return
            await self.connection.send(
                wire.encode_error(
                    "unexpected_message", "this address only sends; see the README"
                ).decode()
            )


def _refuse(status: http.HTTPStatus, detail: str) -> Response:
    body = problem(status, detail)
    headers = Headers(
        {
            "Content-Type": CONTENT_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
    )
    return Response(status, status.phrase, headers, body)


def _text(exc: Exception) -> str:
    return str(exc.args[0]) if exc.args else str(exc)
