"""
Keeps one stream in conversation with an engine, whatever happens to its sessions.

The supervisor owns the audio ring. When a session fails it opens another one and sends
again what had not been settled; what was final before is not said twice.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable

from captiond import logs
from captiond.clock import monotonic
from captiond.config import EngineSection
from captiond.errors import EngineError
from captiond.events import Gap, MediaTime
from captiond.live.ring import AudioRing
from captiond.live.session import (
    Closed,
    Engine,
    Flushed,
    GoingAway,
    Hypothesis,
    LiveSession,
    SessionError,
    SessionEvent,
    Settled,
)
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics

DEGRADED_AFTER = 3.0
"""Seconds without a session before readers are told."""

FIRST_RETRY = 0.1
LAST_RETRY = 5.0
"""Seconds between two attempts to open a session, doubling from first to last."""

STEADY = 10.0
"""Seconds after which a session that fails had been a good one."""

REPEAT_MARGIN = 0.05
"""A final that ends this close to the last one before a replay repeats it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost:
    """A session failed; the next one will say the open utterance again."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """Whether the stream is without an engine for longer than a moment."""

    degraded: bool
    reason: str


SupervisorEvent = SessionEvent | SessionLost | Degraded | Gap


class Supervisor:
    """
    One stream's line to an engine.

    Args:
        engine: Opens the sessions.
        stream: The stream's name.
        config: Ring and stall limits.
        metrics: Where failures and replays are counted.
        on_event: Called with every event, on the event loop.

    """

    def __init__(
        self,
        engine: Engine,
        stream: str,
        *,
        config: EngineSection,
        metrics: Metrics,
        on_event: Callable[[SupervisorEvent], None],
    ) -> None:
        self._engine = engine
        self._stream = stream
        self._config = config
        self._metrics = metrics
        self._on_event = on_event
        self._log = logs.get("supervisor", stream=stream)
        self._ring = AudioRing(limit=config.ring_seconds)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._dead = False
        """No session will be opened any more."""
        self._flushes: list[asyncio.Future[bool]] = []
        """Not yet asked of this session."""
        self._asked: collections.deque[list[asyncio.Future[bool]]] = collections.deque()
        """Asked, one entry for each answer to come."""
        self._heard = MediaTime(0.0)
        """Media time before which this session has processed all audio."""
        self._final_until = MediaTime(float("-inf"))
        self._replaying = False
        self._unheard: Gap | None = None
        """Audio that no engine will hear, told when one hears again."""
        self._degraded = False
        self._degrade_timer: asyncio.TimerHandle | None = None
        self._overflow = logs.Throttle(
            lambda count: self._log.warning("audio ring is full", chunks_lost=count)
        )

    @property
    def lag(self) -> float:
        """Seconds of audio that the engine has not processed."""
        # The media clock jumps where publishers change; the ring counts what is there.
        return max(0.0, min(self._ring.depth, self._ring.end - self._heard))

    def push(self, chunk: AudioChunk) -> None:
        """Take audio. Never waits: what the ring can't hold falls out, counted."""
        for lost in self._ring.push(chunk):
            self._give_up(lost.start, lost.end, lost.duration)
            self._overflow.hit()
        self._wake.set()

    async def flush(self, *, timeout: float) -> bool:
        """Wait until everything pushed was answered; return False if it took longer."""
        if self._dead:
            return False
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._flushes.append(done)
        self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                return await done
        except TimeoutError:
            return False

    def give_up_unheard(self) -> Gap | None:
        """Forget the audio that no engine heard; return where it was, if any."""
        if self.lag > 0:
            start = max(self._ring.start, self._heard)
            self._give_up(start, self._ring.end, self.lag)
        self._ring = AudioRing(limit=self._config.ring_seconds)
        gap, self._unheard = self._unheard, None
        return gap

    def stop(self) -> None:
        """Close the session; :meth:`run` returns."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Hold sessions until :meth:`stop`. Never raises."""
        retry = FIRST_RETRY
        try:
            while not self._stopping.is_set():
                began = monotonic()
                try:
                    await self._converse(await self._open())
                except EngineError as error:
                    self._lost(error)
                    if not error.retryable:
                        return
                    if monotonic() - began > STEADY:
                        retry = FIRST_RETRY
                    # Jitter, so that streams of a lost worker don't return in step.
                    await self._pause(retry * random.uniform(0.5, 1.0))
                    retry = min(2 * retry, LAST_RETRY)
        finally:
            self._dead = True
            self._cancel_degrade_timer()
            _resolve(itertools.chain(self._flushes, *self._asked), answered=False)

    async def _open(self) -> LiveSession:
        session = await self._engine.open(stream=self._stream)
        self._metrics.sessions_opened.labels(self._engine.name).inc()
        self._log.info("session opened", engine=self._engine.name)
        rewound = self._ring.rewind()
        self._metrics.audio_replayed_seconds.inc(rewound.replayed)
        if rewound.missing is not None:
            start, end = rewound.missing
            self._give_up(start, end, end - start)
        self._replaying = rewound.replayed > 0
        self._heard = self._ring.start
        while self._asked:
            self._flushes += self._asked.popleft()
        self._recovered()
        return session

    async def _converse(self, session: LiveSession) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._send(session))
                watchdog = tasks.create_task(self._watch())
                await self._receive(session)
                sender.cancel()
                watchdog.cancel()
        except ExceptionGroup as group:
            failures, others = group.split(EngineError)
            if failures is None or others is not None:
                raise
            raise failures.exceptions[0] from None
        finally:
            session.abandon()
        self._log.info("session closed", reason="stopped")

    async def _send(self, session: LiveSession) -> None:
        stage = self._metrics.stage_seconds.labels("decode_engine")
        while True:
            while (chunk := self._ring.next()) is not None:
                await session.send_audio(chunk)
                stage.observe(monotonic() - chunk.decoded)
            if self._flushes:
                self._asked.append(self._flushes)
                self._flushes = []
                await session.flush()
                continue
            if self._stopping.is_set():
                await session.close()
                return
            self._wake.clear()
            await self._wake.wait()

    async def _receive(self, session: LiveSession) -> None:
        async for event in session.receive():
            if isinstance(event, Closed):
                return
            if isinstance(event, Hypothesis) and self._repeats(event):
                self._metrics.events_discarded.labels("repeated").inc()
                continue
            self._follow(event)
            self._on_event(event)
        if not self._stopping.is_set():
            raise EngineError("ended", "the session ended by itself", retryable=True)

    def _follow(self, event: SessionEvent) -> None:
        """
        Keep the supervisor's own books.

        Raises:
            EngineError: If the event ends the session.

        """
        match event:
            case Hypothesis(final=True):
                self._final_until = event.end
            case Settled():
                self._heard = max(self._heard, event.heard)
                self._ring.settle(event.time)
            case Flushed():
                self._resolve_flush()
            case SessionError():
                raise EngineError(event.code, event.reason, retryable=event.retryable)
            case GoingAway():
                raise EngineError(
                    "going_away", "the engine ends the session", retryable=True
                )
            case _:
                pass  # for whoever listens

    async def _watch(self) -> None:
        """Give the session up when audio goes in and nothing comes out."""
        heard, since = self._heard, monotonic()
        while True:
            await asyncio.sleep(self._config.stall_timeout / 10)
            if self._heard != heard or self.lag < 1.0:
                heard, since = self._heard, monotonic()
            elif monotonic() - since > self._config.stall_timeout:
                raise EngineError(
                    "stalled",
                    f"{self.lag:.1f} s of audio not heard for "
                    f"{self._config.stall_timeout:g} s",
                    retryable=True,
                )

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass  # the ordinary case: nobody stopped it

    def _give_up(self, start: MediaTime, end: MediaTime, seconds: float) -> None:
        self._metrics.audio_discarded_seconds.labels("engine_unavailable").inc(seconds)
        if self._unheard is not None:
            start = min(start, self._unheard.start)
        self._unheard = Gap(start=start, end=end, reason="engine_unavailable")

    def _repeats(self, event: Hypothesis) -> bool:
        """Whether a replayed session says again what was final before."""
        if not self._replaying:
            return False
        if event.end <= self._final_until + REPEAT_MARGIN:
            return True
        self._replaying = False
        return False

    def _resolve_flush(self) -> None:
        if self._asked:
            _resolve(self._asked.popleft(), answered=True)

    def _lost(self, error: EngineError) -> None:
        self._log.warning("session failed", code=error.code, reason=error.reason)
        self._metrics.sessions_failed.labels(error.code).inc()
        self._on_event(SessionLost(reason=error.code))
        if not error.retryable:
            self._degrade(error.reason)
        elif self._degrade_timer is None and not self._degraded:
            self._degrade_timer = asyncio.get_running_loop().call_later(
                DEGRADED_AFTER, self._degrade, error.reason
            )

    def _degrade(self, reason: str) -> None:
        self._cancel_degrade_timer()
        self._degraded = True
        self._on_event(Degraded(degraded=True, reason=reason))

    def _recovered(self) -> None:
        self._cancel_degrade_timer()
        if self._unheard is not None:
            self._on_event(self._unheard)
            self._unheard = None
        if self._degraded:
            self._degraded = False
            self._on_event(Degraded(degraded=False, reason="engine is back"))

    def _cancel_degrade_timer(self) -> None:
        if self._degrade_timer is not None:
            self._degrade_timer.cancel()
            self._degrade_timer = None


def _resolve(flushes: Iterable[asyncio.Future[bool]], *, answered: bool) -> None:
    for done in flushes:
        if not done.done():  # whoever waited may have given up
            done.set_result(answered)
