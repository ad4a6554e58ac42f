"""
Keeps one stream in conversation with an engine, whatever happens to its sessions.

The supervisor owns the audio ring. When a session fails it opens another one and sends
again what had not been settled; what was final before is not said twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable

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
        self._flushes: list[asyncio.Future[None]] = []
        self._flush_sent = False
        self._stopping = False
        self._heard = MediaTime(0.0)
        self._final_until = MediaTime(float("-inf"))
        self._replaying = False
        self._unheard: Gap | None = None
        """Audio that fell out of the ring, told when an engine hears again."""
        self._degraded = False
        self._degrade_timer: asyncio.TimerHandle | None = None
        self._overflow = logs.Throttle(
            lambda count: self._log.warning("audio ring is full", chunks_lost=count)
        )

    @property
    def lag(self) -> float:
        """Seconds of audio that the engine has not processed."""
        return max(0.0, min(self._ring.depth, self._ring.end - self._heard))

    @property
    def ring_depth(self) -> float:
        """Seconds of audio in the ring."""
        return self._ring.depth

    def push(self, chunk: AudioChunk) -> None:
        """Take audio. Never waits: what the ring can't hold falls out, counted."""
        for lost in self._ring.push(chunk):
            self._metrics.audio_discarded_seconds.labels("ring_full").inc(lost.duration)
            self._overflow.hit()
            start = lost.start if self._unheard is None else self._unheard.start
            self._unheard = Gap(start=start, end=lost.end, reason="engine_unavailable")
        self._wake.set()

    async def flush(self, *, timeout: float) -> bool:
        """Wait until everything pushed was answered; return False if it took longer."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushes.append(done)
        self._flush_sent = False
        self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError:
            self._flushes.remove(done)
            return False
        return True

    def stop(self) -> None:
        """Close the session; :meth:`run` returns."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Hold sessions until :meth:`stop`. Never raises."""
        retry = FIRST_RETRY
        while not self._stopping:
            began = monotonic()
            try:
                await self._converse(await self._open())
            except EngineError as error:
                self._lost(error)
                if not error.retryable:
                    break
                if monotonic() - began > STEADY:
                    retry = FIRST_RETRY
                # Jitter, so that streams of a lost worker don't return in step.
                await asyncio.sleep(retry * random.uniform(0.5, 1.0))
                retry = min(2 * retry, LAST_RETRY)
        self._cancel_degrade_timer()

    async def _open(self) -> LiveSession:
        session = await self._engine.open(stream=self._stream)
        self._metrics.sessions_opened.labels(self._engine.name).inc()
        self._log.info("session opened", engine=self._engine.name)
        replayed = self._ring.rewind()
        if replayed:
            self._metrics.audio_replayed_seconds.inc(replayed)
        self._replaying = replayed > 0
        self._flush_sent = False
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
        self._log.info("session closed", reason="stopped")

    async def _send(self, session: LiveSession) -> None:
        stage = self._metrics.stage_seconds.labels("decode_engine")
        while True:
            while (chunk := self._ring.next()) is not None:
                await session.send_audio(chunk)
                stage.observe(monotonic() - chunk.decoded)
            if self._flushes and not self._flush_sent:
                self._flush_sent = True
                await session.flush()
            if self._stopping:
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
        if not self._stopping:
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
                self._resolve_flushes()
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

    def _repeats(self, event: Hypothesis) -> bool:
        """Whether a replayed session says again what was final before."""
        if not self._replaying:
            return False
        if event.end <= self._final_until + REPEAT_MARGIN:
            return True
        self._replaying = False
        return False

    def _resolve_flushes(self) -> None:
        for done in self._flushes:
            if not done.done():
                done.set_result(None)
        self._flushes.clear()

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
