"""
The control channel: ``ws://…/streams/{stream}/session``, full duplex.

A controller reads what readers read, and besides every event of the live session, and
steers that session by requests. Neither direction waits for the other: what can't be
sent at once waits in a bounded mailbox while requests are answered on. A mailbox that
overflows closes the connection.

The log's notes about the session are left out here: the controller has had the events
themselves.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode

from captiond.clock import monotonic
from captiond.config import Config
from captiond.egress import requests, wire
from captiond.egress.control import UNKNOWN, Control
from captiond.egress.outlet import Outlet, frame_text
from captiond.egress.requests import Conduct, RequestId
from captiond.errors import ControlError, Unavailable
from captiond.events import SessionNote
from captiond.hub.log import Cursor, Message
from captiond.hub.subscriber import Subscriber
from captiond.metrics import Metrics

MAILBOX = 256
"""Answers and session events that may wait for a controller that stopped reading."""


class Controller(Outlet):
    """
    A controller's connection.

    Args:
        connection: The connection.
        tasks: What takes time runs in this group, which ends with the connection.
        config: Time-outs and bounds.
        metrics: Where deliveries are counted.
        control: What requests go to.
        stream: Name of the stream that it steers.

    """

    def __init__(
        self,
        connection: ServerConnection,
        tasks: asyncio.TaskGroup,
        config: Config,
        metrics: Metrics,
        *,
        control: Control,
        stream: str,
    ) -> None:
        super().__init__(connection, tasks, config, metrics)
        self._control = control
        self._stream = stream
        self._conduct = Conduct(monotonic)
        self._mailbox: collections.deque[bytes] = collections.deque()
        self._flushes: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        return super().waiting + len(self._mailbox)

    def subscribe(self, cursor: Cursor) -> Subscriber:
        self.subscriber = _Subscriber(
            cursor,
            self,
            mailbox=self._config.mailbox,
            look=lambda: self._control.follow(self._stream),
        )
        return self.subscriber

    async def hear(self) -> None:
        try:
            self._control.join(self._stream, self)
        except Unavailable as exc:
            # Others were admitted at the same moment.
            await self.close(CloseCode.TRY_AGAIN_LATER, exc.detail)
            return
        try:
            async for raw in self.connection:
                misconduct = self._conduct.request() or self._answer(raw)
                if misconduct is not None:
                    await self.close(CloseCode.POLICY_VIOLATION, misconduct)
                    return
                if self._flushes:
                    # A flush is about what came before it: let it begin.
                    await asyncio.sleep(0)
        finally:
            self._control.leave(self._stream, self)

    def stop(self) -> None:
        super().stop()
        for task in self._flushes:
            task.cancel()

    def write(self, message: Message) -> bool:
        return isinstance(message.event, SessionNote) or super().write(message)

    def post(self, payload: bytes) -> None:
        """Send an answer or a session event, or let it wait. Never raises."""
        if self.subscriber.closed:
            self._metrics.events_discarded.labels("closing").inc()
        elif self._draining is None:
            self._put_or_block(frame_text(payload))
        elif len(self._mailbox) < MAILBOX:
            self._mailbox.append(frame_text(payload))
        else:
            self._metrics.events_discarded.labels("mailbox_full").inc()
            self.subscriber.cut("mailbox_full")

    def cut(self, reason: str) -> None:
        super().cut(reason)
        self._mailbox.clear()

    def drained(self) -> None:
        while self._mailbox and self._draining is None:
            self._put_or_block(self._mailbox.popleft())
        if self._draining is None:
            super().drained()

    def _put_or_block(self, frame: bytes) -> None:
        if not self.open:
            # Nothing may follow a close frame.
            self._metrics.events_discarded.labels("closing").inc()
        elif not self.put(frame):
            self.blocked()

    def _answer(self, raw: str | bytes) -> str | None:
        """Answer a request; return why the controller has to be closed, or None."""
        kind, request_id = UNKNOWN, None
        try:
            document = requests.decode(_text(raw))
            request_id = requests.take_id(document)
            kind = requests.take_type(document)
        except ControlError as exc:
            self._control.count(kind, exc.code)
            return self._refuse(exc, request_id)
        try:
            flush = self._control.ask(self._stream, kind, document)
        except ControlError as exc:
            return self._refuse(exc, request_id)
        if flush is None:
            self.post(wire.encode_ack(kind, request_id))
        else:
            self._start_flush(flush, request_id)
        return None

    def _refuse(self, error: ControlError, request_id: RequestId) -> str | None:
        self.post(wire.encode_refusal(error, request_id))
        return self._conduct.malformed() if error.code == requests.BAD else None

    def _start_flush(
        self, flush: Coroutine[Any, Any, bool], request_id: RequestId
    ) -> None:
        task = self.start(self._answer_flush(flush, request_id))
        if task is None:
            flush.close()
        else:
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)

    async def _answer_flush(
        self, flush: Coroutine[Any, Any, bool], request_id: RequestId
    ) -> None:
        try:
            done = await flush
        except ControlError as exc:
            self._refuse(exc, request_id)
        else:
            self.post(wire.encode_ack("flush", request_id, done=done))


class _Subscriber(Subscriber):
    """Looks for the stream's session whenever the stream says something."""

    def __init__(
        self,
        cursor: Cursor,
        outlet: Controller,
        *,
        mailbox: int,
        look: Callable[[], None],
    ) -> None:
        super().__init__(cursor, outlet, mailbox=mailbox)
        self._look = look

    def notify(self) -> None:
        self._look()
        super().notify()


def _text(raw: str | bytes) -> str:
    if isinstance(raw, bytes):
        raise requests.bad_request("a request is a text frame, not a binary one")
    return raw
