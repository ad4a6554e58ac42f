"""
One live session from its opening to its end, on its own tasks.

Audio goes from the ring to the session, inputs beside it, and events come back, each
independent of the others. The session ends in one place, with one reason.
"""

from __future__ import annotations

import asyncio
import collections
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import assert_never

from captiond import logs
from captiond.clock import monotonic
from captiond.config import EngineSection
from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.engine import Engine
from captiond.live.inputs import Input, Inputs, Interrupt, Text
from captiond.live.ring import AudioRing
from captiond.live.session import (
    Closed,
    Flushed,
    Hypothesis,
    LiveSession,
    SessionError,
    SessionEvent,
    Settled,
    ToolResponse,
    VideoImage,
)
from captiond.metrics import Metrics

STEADY = 5.0
"""Seconds after which a session had been a good one, also without finals."""

Flush = asyncio.Future[bool]
"""Set to True when what was pushed before it has been answered."""


class Conversation:
    """
    One session with an engine.

    Args:
        key: Name of the engine in the configuration.
        engine: The engine.
        session: The session, just opened.
        ring: Where its audio comes from.
        config: Time-outs.
        metrics: Where audio sent is counted.
        on_event: Called with each event of the session, in order.

    """

    def __init__(
        self,
        key: str,
        engine: Engine,
        session: LiveSession,
        ring: AudioRing,
        *,
        config: EngineSection,
        metrics: Metrics,
        on_event: Callable[[Conversation, SessionEvent], None],
    ) -> None:
        self.key = key
        self.engine = engine
        self.capabilities = session.capabilities
        self.began = monotonic()
        self.heard = ring.start
        """Media time before which the session has processed all audio."""
        self.settled = ring.start
        """Media time before which it won't need any again."""
        self.heard_from = ring.start
        """Media time at which it began to hear."""
        self.finals = 0
        """Utterances that it has finished."""
        self._session = session
        self._ring = ring
        self._cursor = ring.cursor()
        self._config = config
        self._stage = metrics.stage_seconds.labels("decode_engine")
        self._sent = metrics.engine_audio_sent_seconds.labels(key)
        self._on_event = on_event
        self._inputs: Inputs | None = None
        self._wake = asyncio.Event()
        self._wake_inputs = asyncio.Event()
        self._closing = False
        self._flushes: list[Flush] = []
        """Not yet asked of the session."""
        self._asked: collections.deque[list[Flush]] = collections.deque()
        """Asked, one entry for each answer to come."""

    @property
    def worked(self) -> bool:
        """Whether the session has heard audio: it is a good one."""
        return self.heard > self.heard_from

    @property
    def steady(self) -> bool:
        """Whether it has done enough work for its failure to be bad luck."""
        lasted = monotonic() - self.began >= STEADY
        return self.worked and (lasted or self.finals > 0)

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

    def take_inputs(self, inputs: Inputs) -> None:
        """Send inputs too, from now on."""
        self._inputs = inputs
        self._wake_inputs.set()

    def wake_inputs(self) -> None:
        """Look for new inputs."""
        self._wake_inputs.set()

    def flush(self, flushes: Iterable[Flush]) -> None:
        """Ask the session to answer everything, and tell these when it has."""
        self._flushes += flushes
        self._wake.set()

    def close(self) -> None:
        """Finish what was pushed, then end in good order."""
        self._closing = True
        self._wake.set()

    def take_back_flushes(self) -> list[Flush]:
        """Return who still waits for an answer: another session must give it."""
        waiting = [each for asked in self._asked for each in asked] + self._flushes
        self._asked.clear()
        self._flushes = []
        return [each for each in waiting if not each.done()]

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
            self._session.abandon()

    async def _send_audio(self) -> None:
        while True:
            while (chunk := self._cursor.next()) is not None:
                async with self._in_time():
                    await self._session.send_audio(chunk)
                self._stage.observe(monotonic() - chunk.decoded)
                self._sent.inc(chunk.duration)
            if self._flushes:
                self._asked.append(self._flushes)
                self._flushes = []
                async with self._in_time():
                    await self._session.flush()
                continue
            if self._closing:
                await self._session.close()
                return
            self._wake.clear()
            await self._wake.wait()

    async def _send_inputs(self) -> None:
        while True:
            self._wake_inputs.clear()
            item = None if self._inputs is None else self._inputs.next()
            if item is None:
                await self._wake_inputs.wait()
                continue
            try:
                async with self._in_time():
                    await self._send_input(item)
            except BaseException:
                # The next session shall have it.
                if self._inputs is not None:
                    self._inputs.put_back(item)
                raise

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
        events = aiter(self._session.receive())
        while True:
            async with engine_call("silent", math.inf):
                event = await anext(events, None)
            match event:
                case None | Closed():
                    break
                case SessionError():
                    raise EngineError(
                        event.code,
                        event.reason,
                        retryable=event.retryable,
                        retry_after=event.retry_after,
                    )
                case Settled():
                    self.heard = MediaTime(max(self.heard, event.heard))
                    self.settled = MediaTime(max(self.settled, event.time))
                case Hypothesis(final=True):
                    self.finals += 1
                case _:
                    pass  # for whoever listens
            # What was said before is told before a flush is answered.
            self._on_event(self, event)
            if isinstance(event, Flushed) and self._asked:
                resolve(self._asked.popleft(), answered=True)
        if not self._closing:
            raise EngineError("ended", "the session ended by itself", retryable=True)

    async def _watch(self) -> None:
        """Give the session up when audio goes in and nothing comes out."""
        heard, since = self.heard, monotonic()
        limit = self._config.stall_timeout
        while True:
            await asyncio.sleep(limit / 10)
            if self.heard != heard or self.unheard < 1.0:
                heard, since = self.heard, monotonic()
            elif monotonic() - since > limit:
                raise EngineError(
                    "stalled",
                    f"{self.unheard:.1f} s of audio not heard for {limit:g} s",
                    retryable=True,
                )


@asynccontextmanager
async def engine_call(code: str, seconds: float) -> AsyncIterator[None]:
    """
    Around what an engine does: its time-outs and bugs are its failures.

    Raises:
        EngineError: With this code if it takes longer; with ``bug`` for what an engine
            must not raise.

    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except EngineError:
        raise
    except TimeoutError:
        raise EngineError(
            code, f"the engine didn't answer for {seconds:g} s", retryable=True
        ) from None
    except Exception as exc:
        logs.get("engine").exception("an engine has a bug")
        reason = f"{type(exc).__name__}: {exc}"
        raise EngineError("bug", reason, retryable=True) from exc


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
