"""
One live session over a WebSocket.

Three tasks belong to it: one sends what waits, one receives, one watches the clock.
They end together, and with the first failure. Audio waits in one queue until it is
sent; when too much waits there, whoever sends audio waits too.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
from collections.abc import AsyncIterator, Iterable
from typing import NoReturn, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from captiond import logs
from captiond.clock import monotonic
from captiond.engines.openai_realtime.dialects import Dialect, Malformed
from captiond.engines.openai_realtime.exchange import Exchange
from captiond.engines.openai_realtime.steps import (
    End,
    ExchangeSetup,
    Expect,
    Fatal,
    Flush,
    Loss,
    ToSend,
)
from captiond.engines.openai_realtime.wire import decode, fatal
from captiond.engines.remote.faults import Faults
from captiond.engines.remote.outgoing import AudioMessage, Outgoing
from captiond.errors import EngineError
from captiond.live.mailbox import SessionMailbox
from captiond.live.session import (
    Capabilities,
    Closed,
    GoingAway,
    SessionEvent,
    TextPurpose,
    ToolResponse,
    VideoImage,
)
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics

MAX_WAITING = 60.0
"""Seconds of audio that may wait to be sent: a server that takes none while it
finishes an utterance holds up a replay, which must not be taken for a stall."""

MAX_STEPS = 4096
"""Steps of all kinds that may wait."""

TICK = 0.1
"""Seconds between two looks at the clock."""

NOTICE = 60.0
"""Seconds before its end at which a session says so, at most a fifth of its life."""

CLOSING = 1.0
"""Seconds that closing may take longer than the last final."""

Error = TypeVar("Error", bound=Exception)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionSetup:
    """What a session is made with."""

    socket: ClientConnection
    dialect: Dialect
    exchange: ExchangeSetup
    outgoing: Outgoing
    faults: Faults
    log: logs.Logger
    metrics: Metrics
    """Where what is left out is counted."""

    capabilities: Capabilities


class OpenAiRealtimeSession:
    """
    One live session: see :class:`captiond.live.session.LiveSession`.

    Args:
        setup: The connection, and what is said over it.

    """

    def __init__(self, setup: SessionSetup) -> None:
        self._socket = setup.socket
        self._exchange = Exchange(setup.dialect, setup.exchange, lost=self._lost)
        self._outgoing = setup.outgoing
        self._faults = setup.faults
        self._log = setup.log
        self._timeout = setup.exchange.finalise_timeout
        self.capabilities = setup.capabilities
        self._mailbox = SessionMailbox()
        self._waiting: collections.deque[ToSend] = collections.deque()
        self._seconds = 0.0
        """Seconds of audio in ``_waiting``."""
        self._more = asyncio.Event()
        """Something waits, or may be sent now."""
        self._room = asyncio.Event()
        self._began = monotonic()
        self._warned = False
        """Whether the session's end was told."""
        self._finish_by: float | None = None
        """Monotonic time at which closing ends; None while the session is open."""
        self._discarded = setup.metrics.events_discarded
        self._repeats = 0
        self._last_loss = ("", "")
        self._losses = logs.Throttle(
            lambda count: self._log.warning(
                "left out", what=self._last_loss[0], why=self._last_loss[1], count=count
            )
        )
        self._task: asyncio.Task[None] | None = None

    def start(self, opened: SessionEvent) -> None:
        """Begin: from now on there are tasks that must be ended by the session."""
        self._mailbox.put(opened)
        self._task = asyncio.create_task(self._run())

    async def send_audio(self, chunk: AudioChunk) -> None:
        """
        Send audio; wait while too much waits to be sent.

        Raises:
            EngineError: If the session has ended.

        """
        self._mailbox.check()
        await self._add(self._outgoing.push(chunk))

    async def send_video(self, image: VideoImage) -> None:
        """Answer that pictures are not supported."""
        self._mailbox.refuse("video")

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        """Take words to expect, if the model does; answer else that it can't."""
        if purpose is not TextPurpose.VOCABULARY:
            self._mailbox.refuse("text")
        elif not self.capabilities.vocabulary:
            self._mailbox.refuse("vocabulary")
        else:
            self._mailbox.check()
            await self._add([Expect(tuple(text.splitlines()))])

    async def send_tool_response(self, response: ToolResponse) -> None:
        """Answer that tools are not supported."""
        self._mailbox.refuse("tools")

    async def interrupt(self) -> None:
        """Answer that there is nothing to interrupt."""
        self._mailbox.refuse("interrupt")

    async def flush(self) -> None:
        """
        Ask for finals of everything sent.

        Raises:
            EngineError: If the session has ended.

        """
        self._mailbox.check()
        await self._add([*self._outgoing.flush(), Flush()])

    def receive(self) -> AsyncIterator[SessionEvent]:
        """Iterate over the events until the session ends."""
        return self._mailbox.receive()

    async def close(self) -> None:
        """Finish what was sent; return when the last final can be received."""
        if self._mailbox.begin_closing():
            self._put([*self._outgoing.flush(), End()])
            patience = self._seconds + 2 * self._timeout + CLOSING
            self._finish_by = monotonic() + patience
        await self._mailbox.wait_ended()

    def abandon(self) -> None:
        """End at once, without answers; never raises, also after the end."""
        self._mailbox.abandon()
        self.drop()

    def fail(self, error: EngineError) -> None:
        """End the session from outside."""
        self._mailbox.fail(error)
        self.drop()

    def drop(self) -> None:
        """Stop everything; what was said can still be received."""
        self._room.set()
        if self._task is not None:
            self._task.cancel()
        # Nothing orderly: a server that doesn't read wouldn't hear it.
        self._socket.transport.abort()

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left that must be ended."""
        return self._task is None or self._task.done()

    async def wait_gone(self) -> None:
        """Wait until nothing of it is left."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _add(self, steps: Iterable[ToSend]) -> None:
        self._put(steps)
        while self._seconds > MAX_WAITING or len(self._waiting) > MAX_STEPS:
            if self._mailbox.ended:
                self._mailbox.check()
            self._room.clear()
            await self._room.wait()

    def _put(self, steps: Iterable[ToSend]) -> None:
        for step in steps:
            self._waiting.append(step)
            if isinstance(step, AudioMessage):
                self._seconds += step.seconds
        self._more.set()

    async def _run(self) -> None:
        error: EngineError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                tasks.create_task(self._receive())
                tasks.create_task(self._watch())
        except* _Finished:
            pass  # in good order, or nobody listens any more
        except* EngineError as group:
            error = _first(group)
        except* Fatal as group:
            error = fatal(self._faults, _first(group))
        except* Exception as group:  # noqa: BLE001 - logged
            self._log.exception("a bug")
            what = type(_first(group)).__name__
            error = EngineError("bug", f"see the log: {what}", retryable=True)
        if error is None:
            self._tell(self._exchange.finish(monotonic()))
            self._mailbox.put(Closed())
        else:
            self._mailbox.fail(error)
            self._socket.transport.abort()
        self._room.set()
        await self._hang_up()

    async def _hang_up(self) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()

    async def _send(self) -> None:
        try:
            while True:
                while self._waiting and self._exchange.ready:
                    await self._send_step(self._waiting.popleft())
                self._more.clear()
                await self._more.wait()
        except ConnectionClosed as exc:
            raise self._faults.classify(exc) from exc

    async def _send_step(self, step: ToSend) -> None:
        if isinstance(step, AudioMessage):
            self._seconds -= step.seconds
        self._room.set()
        out = self._exchange.send(step, monotonic())
        self._tell(out.events)
        for message in out.messages:
            await self._socket.send(json.dumps(message))

    async def _receive(self) -> None:
        try:
            while True:
                data = await self._socket.recv()
                try:
                    self._tell(self._exchange.receive(decode(data), monotonic()))
                except Malformed as exc:
                    self._lost(Loss.UNREADABLE, str(exc))
                if self._exchange.ready:
                    self._more.set()
        except ConnectionClosed as exc:
            raise self._faults.classify(exc) from exc

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = monotonic()
            self._tell(self._exchange.tick(now))
            self._tell_of_the_end(now)
            self._count_repeats()
            if self._mailbox.ended:
                _finished()  # nobody reads
            if self._finish_by is not None and (
                now >= self._finish_by or not (self._waiting or self._exchange.pending)
            ):
                _finished()

    def _tell_of_the_end(self, now: float) -> None:
        limit = self.capabilities.max_session_seconds
        if limit is None or self._warned:
            return
        left = self._began + limit - now
        if left <= min(NOTICE, limit / 5):
            self._warned = True
            reason = f"the server ends sessions after {limit:g} s"
            self._tell([GoingAway(time_left=max(0.0, left), reason=reason)])

    def _lost(self, loss: Loss, reason: str) -> None:
        if loss is not Loss.REFUSED:
            self._discarded.labels(loss.value).inc()
        self._last_loss = (loss.value, self._faults.scrub(reason))
        self._losses.hit()

    def _count_repeats(self) -> None:
        repeats = self._exchange.repeats - self._repeats
        if repeats:
            self._repeats += repeats
            self._discarded.labels("repeated").inc(repeats)

    def _tell(self, events: Iterable[SessionEvent]) -> None:
        for event in events:
            self._mailbox.put(event)


class _Finished(Exception):
    """The session has ended, and nothing went wrong."""


def _finished() -> NoReturn:
    raise _Finished


def _first(group: BaseExceptionGroup[Error]) -> Error:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
