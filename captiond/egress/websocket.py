"""
Captions over WebSocket: ``ws://…/streams/{stream}?since=epoch:seq&replay=N&wait=1``.

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
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from captiond import logs
from captiond.clock import utc_now
from captiond.config import Config
from captiond.egress import wire
from captiond.errors import StreamNameError, StreamNotFound, Unavailable
from captiond.hub.hub import Channel, Hub
from captiond.hub.log import Cursor, Message, Position, check_name
from captiond.hub.subscriber import Subscriber
from captiond.metrics import Metrics
from captiond.problem import CONTENT_TYPE, problem

CLOSE_TIMEOUT = 2.0
"""Seconds that a peer has to answer a close frame."""

MAX_BAD_MESSAGES = 10
"""Messages that a reader may send before it is closed: none has a meaning yet."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What the request line asks for."""

    stream: str
    since: Position | None = None
    replay: int = 0
    wait: bool = False


def parse_target(target: str) -> Subscription:
    """
    Read the target of a WebSocket request.

    Raises:
        LookupError: If the path is not ``/streams/{stream}``.
        ValueError: If a query parameter is unknown or not of its form.

    """
    url = urllib.parse.urlsplit(target)
    prefix, _, name = url.path.rpartition("/")
    if prefix != "/streams" or not name:
        raise LookupError("captions are at /streams/{stream}")
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
    )


def _parse_replay(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("replay is a number of finals, such as replay=20")
    return int(text)


def frame_text(payload: bytes) -> bytes:
    """Return an unmasked text frame."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class WebSocketEgress:
    """
    Serves captions to WebSocket subscribers.

    Args:
        config: Addresses and bounds.
        hub: Where the captions are.
        metrics: Where subscribers and deliveries are counted.

    """

    def __init__(self, config: Config, hub: Hub, metrics: Metrics) -> None:
        self._config = config
        self._hub = hub
        self._metrics = metrics
        self._count = 0
        self._outlets: set[_Outlet] = set()
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
            if wanted.wait:
                self._hub.check_waiting_room(wanted.stream)
            else:
                self._hub.get(check_name(wanted.stream))
        except (LookupError, StreamNotFound) as exc:
            return _refuse(http.HTTPStatus.NOT_FOUND, _text(exc))
        except (ValueError, StreamNameError) as exc:
            return _refuse(http.HTTPStatus.BAD_REQUEST, str(exc))
        except Unavailable as exc:
            response = _refuse(http.HTTPStatus.SERVICE_UNAVAILABLE, exc.detail)
            response.headers["Retry-After"] = str(exc.retry_after)
            return response
        return None

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
        log.debug("subscriber opened", agent=request.headers.get("User-Agent", "")[:80])
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
            outlet = _Outlet(connection, tasks, self._config, self._metrics)
            subscriber = outlet.subscriber = Subscriber(
                cursor, outlet, mailbox=self._config.subscribers.mailbox
            )
            hello = wire.encode_hello(channel.log, cursor, now=utc_now())
            connection.transport.write(frame_text(hello))
            self._outlets.add(outlet)
            self._hub.attach(channel, subscriber)
            try:
                await self._answer_messages(connection)
            finally:
                self._hub.detach(channel, subscriber)
                self._outlets.discard(outlet)
                outlet.stop()

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

    async def _answer_messages(self, connection: ServerConnection) -> None:
        bad = 0
        async for _ in connection:
            bad += 1
            if bad > MAX_BAD_MESSAGES:
                await connection.close(
                    CloseCode.POLICY_VIOLATION, "readers have nothing to say here"
                )
                return
            await connection.send(
                wire.encode_error(
                    "unexpected_message", "this address only sends; see the README"
                ).decode()
            )


class _Outlet:
    """One subscriber's transport."""

    subscriber: Subscriber

    def __init__(
        self,
        connection: ServerConnection,
        tasks: asyncio.TaskGroup,
        config: Config,
        metrics: Metrics,
    ) -> None:
        self._connection = connection
        self._tasks = tasks
        self._stall_timeout = config.subscribers.stall_timeout
        self._metrics = metrics
        self._deliveries = metrics.deliveries.labels("websocket")
        self._draining: asyncio.Task[None] | None = None

    def write(self, message: Message) -> bool:
        if self._connection.state is not State.OPEN:
            self._metrics.events_discarded.labels("closing").inc()
            return True
        transport = self._connection.transport
        transport.write(message.form("websocket", frame_text))
        self._deliveries.inc()
        return transport.get_write_buffer_size() == 0

    def blocked(self) -> None:
        self._draining = self._start(self._drain())

    def cut(self, reason: str) -> None:
        self._metrics.subscribers_cut.labels(reason).inc()
        self._metrics.events_discarded.labels(reason).inc(self.subscriber.behind)
        code, text = _FAREWELLS.get(reason, _TOO_SLOW)
        self._start(self._close(code, f"{text} ({reason})"))

    def stop(self) -> None:
        """Wait for nothing more."""
        if self._draining is not None:
            self._draining.cancel()

    def abort(self) -> None:
        """Close without a farewell."""
        self._connection.transport.abort()

    def abort_if_blocked(self) -> None:
        """Close without a farewell if it couldn't be delivered."""
        if self._connection.transport.get_write_buffer_size():
            self.abort()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        try:
            return self._tasks.create_task(work)
        except RuntimeError:
            # The connection is ending this very moment.
            work.close()
            return None

    async def _close(self, code: CloseCode, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._connection.close(code, reason)
        except TimeoutError:
            # It takes not even the close frame.
            self.abort()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._stall_timeout):
                await self._connection.drain()
        except TimeoutError:
            self.subscriber.cut("stalled")
        else:
            self.subscriber.resume()


_TOO_SLOW = (CloseCode.TRY_AGAIN_LATER, "too slow; come back with your position")
_FAREWELLS = {
    "stream_forgotten": (CloseCode.GOING_AWAY, "the stream ended long ago"),
}


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
