"""One WebSocket connection as the transport of a subscriber."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Coroutine

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from captiond.config import Config
from captiond.hub.log import Cursor, Message
from captiond.hub.subscriber import Subscriber
from captiond.metrics import Metrics

CLOSE_TIMEOUT = 2.0
"""Seconds that a peer has to answer a close frame."""

_TOO_SLOW = (CloseCode.TRY_AGAIN_LATER, "too slow; come back with your position")
_FAREWELLS = {
    "stream_forgotten": (CloseCode.GOING_AWAY, "the stream ended long ago"),
}


def frame_text(payload: bytes) -> bytes:
    """Return an unmasked text frame."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class Outlet(abc.ABC):
    """
    One subscriber's transport, and what the subscriber says.

    Args:
        connection: The connection.
        tasks: What takes time runs in this group, which ends with the connection.
        config: Time-outs and bounds.
        metrics: Where deliveries are counted.

    """

    def __init__(
        self,
        connection: ServerConnection,
        tasks: asyncio.TaskGroup,
        config: Config,
        metrics: Metrics,
    ) -> None:
        self.connection = connection
        self._tasks = tasks
        self._config = config.subscribers
        self._metrics = metrics
        self._deliveries = metrics.deliveries.labels("websocket")
        self._draining: asyncio.Task[None] | None = None
        self.subscriber: Subscriber

    def subscribe(self, cursor: Cursor) -> Subscriber:
        """Make the subscriber that is written to here."""
        self.subscriber = Subscriber(cursor, self, mailbox=self._config.mailbox)
        return self.subscriber

    @abc.abstractmethod
    async def hear(self) -> None:
        """Answer what the peer sends, until the connection ends."""

    @property
    def open(self) -> bool:
        """Whether what is written may still be read."""
        return self.connection.state is State.OPEN

    def write(self, message: Message) -> bool:
        if not self.open:
            self._metrics.events_discarded.labels("closing").inc()
            return True
        self._deliveries.inc()
        return self.put(message.form("websocket", frame_text))

    def put(self, frame: bytes) -> bool:
        """Write without waiting; return whether the transport takes more at once."""
        transport = self.connection.transport
        transport.write(frame)
        return transport.get_write_buffer_size() == 0

    def blocked(self) -> None:
        if self._draining is None:
            self._draining = self.start(self._drain())

    def cut(self, reason: str) -> None:
        self._metrics.subscribers_cut.labels(reason).inc()
        self._metrics.events_discarded.labels(reason).inc(self.waiting)
        code, text = _FAREWELLS.get(reason, _TOO_SLOW)
        self.start(self.close(code, f"{text} ({reason})"))

    @property
    def waiting(self) -> int:
        """What waits for the subscriber."""
        return self.subscriber.behind

    def stop(self) -> None:
        """Wait for nothing more."""
        if self._draining is not None:
            self._draining.cancel()

    def abort(self) -> None:
        """Close without a farewell."""
        self.connection.transport.abort()

    def abort_if_blocked(self) -> None:
        """Close without a farewell if it couldn't be delivered."""
        if self.connection.transport.get_write_buffer_size():
            self.abort()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        """Run something that ends with the connection."""
        try:
            return self._tasks.create_task(work)
        except RuntimeError:
            # The connection is ending this very moment.
            work.close()
            return None

    async def close(self, code: CloseCode, reason: str) -> None:
        """Close with a farewell, or without one if the peer takes nothing."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.connection.close(code, reason)
        except TimeoutError:
            # It takes not even the close frame.
            self.abort()

    def drained(self) -> None:
        """Go on: the transport takes more."""
        self.subscriber.resume()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._config.stall_timeout):
                await self.connection.drain()
        except TimeoutError:
            self.subscriber.cut("stalled")
        else:
            self._draining = None
            self.drained()
