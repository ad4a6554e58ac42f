"""
One live session from its opening to its end, on its own tasks.

Audio goes from the ring to the session, inputs beside it, and events come back, each
independent of the others. The session ends in one place, with one reason.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, assert_never

from captiond import logs
from captiond.clock import monotonic
from captiond.config import EngineSection
from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.engine import SessionContext
from captiond.live.engine_call import abandon, checked, engine_call
from captiond.live.inputs import Input, Inputs, Interrupt, Text
from captiond.live.opener import OpenSession
from captiond.live.ring import AudioRing, Lost
from captiond.live.session import (
    Closed,
    Flushed,
    Hypothesis,
    SessionError,
    SessionEvent,
    Settled,
    TextPurpose,
    ToolResponse,
    VideoImage,
)
from captiond.metrics import Metrics

STEADY = 5.0
"""Seconds after which a session had been a good one, also without finals."""

Flush = asyncio.Future[bool]
"""Set to True when what was pushed before it has been answered."""


class Listener(Protocol):
    """Who is told what a session says."""

    def take(self, conversation: Conversation, event: SessionEvent) -> None:
        """Take an event; they come in order."""

    def stalled(self, conversation: Conversation) -> None:
        """
        Take note that audio goes in and nothing comes out.

        Raises:
            EngineError: To end the session.

        """


class Conversation:
    """
    One session with an engine.

    Args:
        opened: The session, just opened.
        ring: Where its audio comes from.
        listener: Told what the session says.
        config: Time-outs.
        metrics: Where audio sent is counted.

    """

    def __init__(
        self,
        opened: OpenSession,
        ring: AudioRing,
        listener: Listener,
        *,
        config: EngineSection,
        metrics: Metrics,
    ) -> None:
        self.key = opened.key
        self.name = opened.name
        """Name of its engine as captions carry it."""
        self.capabilities = opened.capabilities
        self.began = monotonic()
        self.heard = ring.start
        """Media time before which the session has processed all audio."""
        self.heard_from = ring.start
        """Media time at which it began to hear."""
        self.skipped: list[Lost] = []
        """What fell out of the ring before it was sent."""
        self._finals = 0
        self._settled = ring.start
        self._session = opened.session
        self._ring = ring
        self._cursor = ring.cursor()
        self._context = self._wanted = opened.context
        self._config = config
        self._metrics = metrics
        self._stage = metrics.stage_seconds.labels("decode_engine")
        self._sent = metrics.engine_audio_sent_seconds.labels(opened.key)
        self._listener = listener
        self._inputs: Inputs | None = None
        self._in_flight: Input | None = None
        self._wake = asyncio.Event()
        self._wake_inputs = asyncio.Event()
        self._closing = False
        self._flushes: list[Flush] = []
        """Not yet asked of the session."""
        self._asked: collections.deque[list[Flush]] = collections.deque()
        """Asked, one entry for each answer to come."""
        self._log = logs.get("conversation", engine=opened.key)

    @property
    def has_heard(self) -> bool:
        """Whether the session has heard audio."""
        return self.heard > self.heard_from

    @property
    def steady(self) -> bool:
        """Whether it has done enough work for its failure to be bad luck."""
        lasted = monotonic() - self.began >= STEADY
        productive = self._finals > 0 and self._settled > self.heard_from
        return productive or (lasted and self.has_heard)

    @property
    def seconds_left(self) -> float | None:
        """Seconds after which its engine ends it; None for never."""
        limit = self.capabilities.max_session_seconds
        return None if limit is None else limit - (monotonic() - self.began)

    @property
    def sent_until(self) -> MediaTime:
        """Media time after the last audio sent."""
        return self._cursor.end

    @property
    def unheard(self) -> float:
        """Seconds of audio in the ring that the session has not processed."""
        # The media clock jumps where publishers change; the ring counts what is there.
        return max(0.0, min(self._ring.depth, self._ring.end - self.heard))

    def wake(self) -> None:
        """Look for new audio."""
        self._wake.set()

    def fell_out(self, lost: Lost) -> None:
        """Note audio that is no longer in the ring."""
        if lost.end > self.sent_until:
            self.skipped.append(lost)

    def excuse(self) -> None:
        """Take what the session says nothing about for heard."""
        self.heard = self.sent_until

    def take_inputs(self, inputs: Inputs) -> None:
        """Send inputs too, from now on."""
        self._inputs = inputs
        self._wake_inputs.set()

    def wake_inputs(self, context: SessionContext) -> None:
        """Look for new inputs, and for context and vocabulary that it doesn't have."""
        self._wanted = context
        self._wake_inputs.set()

    def take_back_input(self) -> Input | None:
        """Return the input that is being sent; another session may have to get it."""
        item, self._in_flight = self._in_flight, None
        self._inputs = None
        if isinstance(item, Text) and item.purpose is not TextPurpose.QUESTION:
            return None  # the next session is opened with it
        return item

    def flush(self, flushes: Iterable[Flush]) -> None:
        """Ask the session to answer everything, and tell these when it has."""
        self._flushes += flushes
        self._wake.set()

    def close(self) -> None:
        """Finish what was pushed, then end; whoever calls bounds how long it takes."""
        self._closing = True
        self._wake.set()

    def take_back_flushes(self) -> list[Flush]:
        """Return who still waits for an answer: another session must give it."""
        waiting = [each for asked in self._asked for each in asked] + self._flushes
        self._asked.clear()
        self._flushes = []
        return still_wanted(waiting)

    async def run(self) -> None:
        """
        Converse until the session ends; returns when it was closed.

        Raises:
            EngineError: If it fails, stalls, or ends by itself.

        """
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._send_audio()),
                    tasks.create_task(self._send_inputs()),
                    tasks.create_task(self._watch()),
                ]
                await self._receive()
                for helper in helpers:
                    helper.cancel()
        except ExceptionGroup as group:
            failures, others = group.split(EngineError)
            if failures is None or others is not None:
                raise
            raise _first(failures) from None
        finally:
            abandon(self._session)

    async def _send_audio(self) -> None:
        while True:
            while (chunk := self._cursor.next()) is not None:
                async with self._in_time():
                    await self._session.send_audio(chunk)
                self._stage.observe(monotonic() - chunk.decoded)
                self._sent.inc(chunk.duration)
                # An engine that takes a whole ring at once shall be heard meanwhile.
                await asyncio.sleep(0)
            if self._flushes:
                self._asked.append(self._flushes)
                self._flushes = []
                async with self._in_time():
                    await self._session.flush()
                continue
            if self._closing:
                async with engine_call("close_timeout", None):
                    await self._session.close()
                return
            self._wake.clear()
            await self._wake.wait()

    async def _send_inputs(self) -> None:
        while True:
            self._wake_inputs.clear()
            item = None if self._closing else self._next_input()
            if item is None:
                await self._wake_inputs.wait()
                continue
            self._in_flight = item
            try:
                async with self._in_time():
                    await self._send_input(item)
            except EngineError as error:
                # It may be the input that is bad: the next session shan't have it.
                self._in_flight = None
                self._metrics.inputs_discarded.labels("failed").inc()
                self._log.warning("input failed", kind=type(item).__name__)
                reason = f"{type(item).__name__} was not taken: {error.reason}"
                raise EngineError(error.code, reason, retryable=True) from error
            self._in_flight = None

    def _next_input(self) -> Input | None:
        """Return what is to be sent next: first what the session should know."""
        known, wanted = self._context, self._wanted
        can = self.capabilities
        if can.vocabulary and known.vocabulary != wanted.vocabulary:
            text = "\n".join(wanted.vocabulary)
            self._context = known.with_text(text, TextPurpose.VOCABULARY)
            return Text(text, TextPurpose.VOCABULARY)
        new = wanted.texts_since(known)
        if can.text and new:
            self._context = known.with_text(new[0], TextPurpose.CONTEXT)
            return Text(new[0], TextPurpose.CONTEXT)
        return None if self._inputs is None else self._inputs.next()

    async def _send_input(self, item: Input) -> None:
        match item:
            case VideoImage():
                await self._session.send_video(item)
            case Text():
                await self._session.send_text(item.text, item.purpose)
            case ToolResponse():
                await self._session.send_tool_response(item)
            case Interrupt():
                await self._session.interrupt()
            case _:
                assert_never(item)

    def _in_time(self) -> AbstractAsyncContextManager[None]:
        return engine_call("send_timeout", self._config.send_timeout)

    async def _receive(self) -> None:
        async with engine_call("receive", None):
            events = aiter(self._session.receive())
        while True:
            async with engine_call("receive", None):
                said = await anext(events, None)
            if said is None or isinstance(said, Closed):
                break
            event = checked(said, sent_until=self.sent_until)
            self._follow(event)
            # What was said before is told before a flush is answered.
            self._listener.take(self, event)
            if isinstance(event, Flushed) and self._asked:
                resolve(self._asked.popleft(), answered=True)
        if not self._closing:
            raise EngineError("ended", "the session ended by itself", retryable=True)

    def _follow(self, event: SessionEvent) -> None:
        match event:
            case SessionError():
                raise EngineError(
                    event.code,
                    event.reason,
                    retryable=event.retryable,
                    retry_after=event.retry_after,
                )
            case Settled():
                self.heard = MediaTime(max(self.heard, event.heard))
                self._settled = MediaTime(max(self._settled, event.time))
            case Hypothesis(final=True):
                self._finals += 1
            case _:
                pass  # for whoever listens

    async def _watch(self) -> None:
        """Notice when audio goes in and nothing comes out."""
        heard, since = self.heard, monotonic()
        limit = self._config.stall_timeout
        while True:
            await asyncio.sleep(limit / 10)
            if self.heard != heard or self.unheard < 1.0:
                heard, since = self.heard, monotonic()
            elif monotonic() - since > limit:
                self._listener.stalled(self)
                heard, since = self.heard, monotonic()


def still_wanted(flushes: list[Flush]) -> list[Flush]:
    """
    Return who still waits; where all gave up, one of them.

    The last words are wanted even if nobody can wait for them any longer.
    """
    return [each for each in flushes if not each.done()] or flushes[-1:]


def resolve(flushes: Iterable[Flush], *, answered: bool) -> None:
    """Answer those who still wait."""
    for done in flushes:
        if not done.done():  # whoever waited may have given up
            done.set_result(answered)


def _first(group: BaseExceptionGroup[EngineError]) -> EngineError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, EngineError)
    return error
