"""
Keeps one stream in conversation with an engine, whatever happens to its sessions.

The supervisor owns the audio ring and the succession of sessions. One session speaks:
its events are the stream's. Before it ends, or when a better engine can be had, a
successor is opened, hears what isn't settled, and takes over once it has caught up;
until then it speaks to nobody. When a session fails the next one hears again what was
not settled, and what was final before is not said twice.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable

from captiond import logs
from captiond.clock import monotonic
from captiond.config import EngineSection
from captiond.errors import ControlError, EngineError, NotSupported
from captiond.events import Gap, MediaTime
from captiond.live.absence import Absence
from captiond.live.changes import Degraded, Rotated, SessionLost, SupervisorEvent
from captiond.live.continuity import Continuity
from captiond.live.conversation import Conversation, Flush, engine_call, resolve
from captiond.live.engine import SessionContext
from captiond.live.inputs import Input, Inputs, Text, capability_for
from captiond.live.roster import Roster
from captiond.live.session import (
    Capabilities,
    GoingAway,
    Hypothesis,
    LiveSession,
    Resumable,
    SessionEvent,
    Settled,
    TextPurpose,
)
from captiond.live.succession import Open, Succession
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics

CAUGHT_UP = 0.5
"""Seconds that a successor may be behind when it takes over."""

QUIET = 1.6
"""Seconds of audio not settled: with no more than that nobody speaks, as engines keep
up to a second of silence in case that speech begins in it."""

LAST_WORDS = 3.0
"""Seconds for the last words of a session that must end before the next may begin."""

STEADY = 5.0
"""Seconds after which a session that fails had been a good one."""

LONGEST_SLEEP = 1.0
"""Seconds between two looks at what is due."""

MAX_BACKLOG = 4096
"""Events of a successor that wait until it takes over."""


@dataclasses.dataclass(slots=True)
class _Candidate:
    """A session that is open and doesn't speak yet."""

    conversation: Conversation
    reason: str
    events: collections.deque[SessionEvent] = dataclasses.field(
        default_factory=collections.deque
    )


class Supervisor:
    """
    One stream's line to its engines.

    Args:
        roster: The engines.
        stream: The stream's name.
        config: Ring and time-outs.
        metrics: Where sessions and words are counted.
        on_event: Called with every event, on the event loop.

    """

    def __init__(
        self,
        roster: Roster,
        stream: str,
        *,
        config: EngineSection,
        metrics: Metrics,
        on_event: Callable[[SupervisorEvent], None],
    ) -> None:
        self._roster = roster
        self._stream = stream
        self._config = config
        self._metrics = metrics
        self._on_event = on_event
        self._log = logs.get("supervisor", stream=stream)
        self._continuity = Continuity(ring_seconds=config.ring_seconds, metrics=metrics)
        self._ring = self._continuity.ring
        self._succession = Succession(
            roster.order,
            roster.breakers,
            fallback_after=config.fallback_after,
            now=monotonic(),
        )
        self._context = SessionContext()
        self._handles: dict[str, str | None] = {}
        self._inputs = Inputs()
        self._speaking: Conversation | None = None
        self._candidates: list[_Candidate] = []
        self._held: dict[Conversation, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._dead = False
        """No session will be opened any more."""
        self._flushes: list[Flush] = []
        """Asked while nobody speaks."""
        self._absence = Absence(monotonic())
        self._last_failure = "no engine yet"
        self._overflow = logs.Throttle(
            lambda count: self._log.warning("audio ring is full", chunks_lost=count)
        )

    @property
    def lag(self) -> float:
        """Seconds of audio that the engine has not processed."""
        if self._speaking is None:
            return self._ring.depth
        return self._speaking.unheard

    @property
    def ring_depth(self) -> float:
        """Seconds of audio whose text is not final."""
        return self._ring.depth

    @property
    def engine(self) -> str:
        """Name of the engine that speaks, as captions carry it; empty if none does."""
        return "" if self._speaking is None else self._speaking.engine.name

    @property
    def capabilities(self) -> Capabilities | None:
        """What the session that speaks can do; None if none does."""
        return None if self._speaking is None else self._speaking.capabilities

    def push(self, chunk: AudioChunk) -> None:
        """Take audio. Never waits: what the ring can't hold falls out, counted."""
        sent_until = None if self._speaking is None else self._speaking.sent_until
        for _ in range(self._continuity.push(chunk, sent_until=sent_until)):
            self._overflow.hit()
        for conversation in self._held:
            conversation.wake()

    async def flush(self, *, timeout: float) -> bool:
        """Wait until everything pushed was answered; return False if it took longer."""
        if self._dead or self._succession.hopeless:
            return False
        done: Flush = asyncio.get_running_loop().create_future()
        if self._speaking is None:
            self._flushes.append(done)
        else:
            self._speaking.flush([done])
        try:
            async with asyncio.timeout(timeout):
                return await done
        except TimeoutError:
            return False

    def send(self, item: Input) -> None:
        """
        Say something to the engine besides audio. Never waits.

        Raises:
            NotSupported: If the engine can't take it.
            ControlError: If no session is there, or too much waits.

        """
        capability = capability_for(item)
        if isinstance(item, Text):
            self._context = self._context.with_text(item.text, item.purpose)
        if self._speaking is None:
            if isinstance(item, Text) and item.purpose is not TextPurpose.QUESTION:
                return  # the next session begins with it
            raise ControlError("not_live", "no engine session is open at the moment")
        if not getattr(self._speaking.capabilities, capability):
            raise NotSupported(
                capability, self.engine, self._roster.that_have(capability)
            )
        if self._inputs.put(item):
            self._metrics.inputs_discarded.labels("newer_picture").inc()
        self._speaking.wake_inputs()

    def switch(self, engine: str) -> None:
        """
        Speak to another engine as soon as it can be had.

        Raises:
            ControlError: If there is none of that name.

        """
        self._roster.get(engine)
        self._log.info("engine requested", engine=engine)
        self._succession.prefer(engine)
        self._wake.set()

    def give_up_unheard(self) -> Gap | None:
        """Forget the audio that no engine heard; return where it was, if any."""
        heard = self._ring.start if self._speaking is None else self._speaking.heard
        return self._continuity.give_up(heard, self.lag)

    def stop(self) -> None:
        """Close the session; :meth:`run` returns."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Hold sessions until :meth:`stop`. Raises only what is a bug."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stopping:
                    self._step(tasks)
                    await self._sleep()
                self._close()
        finally:
            self._dead = True
            self._count_degraded()
            resolve(self._flushes, answered=False)
            discarded = self._inputs.clear()
            self._metrics.inputs_discarded.labels("stream_ended").inc(discarded)

    def _step(self, tasks: asyncio.TaskGroup) -> None:
        """Do what is due now."""
        self._hand_over_if_ready()
        self._follow_absence()
        wanted = self._succession.next(
            monotonic(), quiet=self._ring.depth <= QUIET and self.lag <= QUIET
        )
        if wanted is not None:
            self._succession.opening(wanted.engine, monotonic())
            task = tasks.create_task(self._hold(wanted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _sleep(self) -> None:
        seconds = min(self._succession.wake_in(monotonic()), LONGEST_SLEEP)
        try:
            async with asyncio.timeout(max(seconds, 0.01)):
                await self._wake.wait()
        except TimeoutError:
            pass  # the ordinary case: something may be due
        self._wake.clear()

    def _close(self) -> None:
        """End what is held: the session that speaks in good order."""
        speaking = None
        if self._speaking is not None:
            self._speaking.close()
            speaking = self._held[self._speaking]
        for task in self._tasks - {speaking}:
            task.cancel()

    async def _hold(self, wanted: Open) -> None:
        """Open a session and keep it to its end."""
        handle = self._handles.get(wanted.engine)
        conversation: Conversation | None = None
        try:
            await self._make_way(wanted)
            conversation = await self._open(wanted, handle)
            await conversation.run()
        except EngineError as error:
            if conversation is None and handle is not None:
                # What the handle stood for is gone; a session without it may be had.
                self._handles[wanted.engine] = None
                error = EngineError("not_resumed", error.reason, retryable=True)
            self._failed(conversation, wanted.engine, error)
        else:
            self._log.info("session closed", engine=wanted.engine, reason="stopped")
        finally:
            if conversation is not None:
                self._forget(conversation)
            self._wake.set()

    async def _make_way(self, wanted: Open) -> None:
        """End a session first whose state the next one takes over."""
        old = self._speaking
        if old is None or old.key != wanted.engine or not old.capabilities.resumable:
            return
        done: Flush = asyncio.get_running_loop().create_future()
        old.flush([done])
        try:
            async with asyncio.timeout(LAST_WORDS):
                await done
        except TimeoutError:
            self._log.warning("session ended before its last words", engine=old.key)
        if self._speaking is old:
            self._silence(old, wanted.reason, expected=True)
            self._held[old].cancel()

    async def _open(self, wanted: Open, handle: str | None) -> Conversation:
        engine = self._roster.get(wanted.engine)
        context = dataclasses.replace(self._context, handle=handle)
        async with engine_call("open_timeout", self._config.open_timeout):
            session = await engine.open(stream=self._stream, context=context)
        self._metrics.sessions_opened.labels(wanted.engine).inc()
        self._log.info("session opened", engine=wanted.engine, reason=wanted.reason)
        return self._take_in(session, wanted)

    def _take_in(self, session: LiveSession, wanted: Open) -> Conversation:
        conversation = Conversation(
            wanted.engine,
            self._roster.get(wanted.engine),
            session,
            self._ring,
            config=self._config,
            metrics=self._metrics,
            on_event=self._take,
        )
        task = asyncio.current_task()
        assert task is not None
        self._held[conversation] = task
        self._candidates.append(_Candidate(conversation, wanted.reason))
        self._hand_over_if_ready()
        return conversation

    def _hand_over_if_ready(self) -> None:
        """Let a successor speak that has caught up; without a voice, any."""
        for candidate in tuple(self._candidates):
            conversation = candidate.conversation
            if self._may_speak(conversation):
                self._hand_over(candidate)
            elif not self._is_wanted(conversation):
                # The preferred engine came back while the fallback was being opened.
                self._succession.dropped(conversation.key)
                self._held[conversation].cancel()

    def _is_wanted(self, successor: Conversation) -> bool:
        old = self._speaking
        return old is None or successor.key in (old.key, self._succession.preferred)

    def _may_speak(self, successor: Conversation) -> bool:
        old = self._speaking
        if old is None:
            return True
        if not self._is_wanted(successor):
            return False
        if self._succession.must_switch(monotonic()) and successor.key == old.key:
            return True
        # Where there is something to hear it must have heard some of it.
        proven = successor.worked or not self._ring.depth
        return proven and successor.heard >= old.heard - CAUGHT_UP

    def _hand_over(self, candidate: _Candidate) -> None:
        conversation, old = candidate.conversation, self._speaking
        self._candidates.remove(candidate)
        if old is not None:
            self._silence(old, candidate.reason)
            self._held[old].cancel()
        self._speaking = conversation
        self._succession.speaks(
            conversation.key,
            monotonic(),
            limit=_limit(conversation),
        )
        self._recovered()
        gap = self._continuity.begins(conversation.heard_from)
        if gap is not None:
            self._on_event(gap)
        conversation.take_inputs(self._inputs)
        conversation.flush(self._flushes)
        self._flushes = []
        while candidate.events:
            self._tell(conversation, candidate.events.popleft())

    def _silence(
        self, old: Conversation, reason: str, *, expected: bool = False
    ) -> None:
        """Let the session that speaks speak no more: another one will."""
        self._take_voice_from(old)
        if expected:
            self._succession.lost_voice(monotonic(), expected=True)
        self._metrics.sessions_rotated.labels(old.key, reason).inc()
        self._log.info("session replaced", engine=old.key, reason=reason)
        self._on_event(Rotated(engine=old.key, reason=reason))

    def _failed(
        self, conversation: Conversation | None, key: str, error: EngineError
    ) -> None:
        self._log.warning(
            "session failed", engine=key, code=error.code, reason=error.reason
        )
        self._metrics.sessions_failed.labels(key, error.code).inc()
        self._last_failure = f"{key}: {error.reason}"
        self._succession.failed(
            key,
            monotonic(),
            error.reason,
            retryable=error.retryable,
            retry_after=error.retry_after,
            worked=conversation is not None and _is_steady(conversation),
        )
        if conversation is None or conversation is not self._speaking:
            return
        self._take_voice_from(conversation)
        self._succession.lost_voice(monotonic())
        self._on_event(SessionLost(engine=key, reason=error.code))

    def _take_voice_from(self, conversation: Conversation) -> None:
        self._flushes += conversation.take_back_flushes()
        self._continuity.ends(conversation.sent_until)
        self._speaking = None

    def _forget(self, conversation: Conversation) -> None:
        self._held.pop(conversation, None)
        self._candidates = [
            each for each in self._candidates if each.conversation is not conversation
        ]
        if conversation is self._speaking:
            self._speaking = None

    def _take(self, conversation: Conversation, event: SessionEvent) -> None:
        """Take an event of any session that is open."""
        if isinstance(event, Settled) and _is_steady(conversation):
            self._succession.worked(conversation.key)
        if conversation is self._speaking:
            self._tell(conversation, event)
            return
        for candidate in self._candidates:
            if candidate.conversation is conversation:
                if len(candidate.events) >= MAX_BACKLOG:
                    raise EngineError("backlog", "never caught up", retryable=True)
                candidate.events.append(event)
        self._hand_over_if_ready()

    def _tell(self, conversation: Conversation, event: SessionEvent) -> None:
        """Pass on an event of the session that speaks."""
        match event:
            case Hypothesis():
                new = self._continuity.trim(event)
                if new is None:
                    return
                event = new
            case Settled():
                # What it wasn't sent it can't have heard.
                self._continuity.settle(
                    MediaTime(min(event.time, conversation.sent_until))
                )
            case GoingAway():
                self._succession.going_away(monotonic(), event.time_left)
                self._wake.set()
            case Resumable():
                self._handles[conversation.key] = event.handle
            case _:
                pass  # for whoever listens
        self._on_event(event)

    def _follow_absence(self) -> None:
        """Tell readers when nobody has spoken for too long."""
        self._count_degraded()
        if self._speaking is not None:
            return
        self._absence.begins(monotonic())
        hopeless = self._succession.hopeless
        if self._absence.lasts(monotonic(), hopeless=hopeless):
            self._on_event(Degraded(degraded=True, reason=self._last_failure))
        if hopeless:
            resolve(self._flushes, answered=False)
            self._flushes = []

    def _recovered(self) -> None:
        self._count_degraded()
        if self._absence.ends():
            self._on_event(Degraded(degraded=False, reason="engine is back"))

    def _count_degraded(self) -> None:
        self._metrics.degraded_seconds.inc(self._absence.count(monotonic()))


def _is_steady(conversation: Conversation) -> bool:
    return conversation.worked and monotonic() - conversation.began >= STEADY


def _limit(conversation: Conversation) -> float | None:
    """Return the seconds that the session has left to live."""
    limit = conversation.capabilities.max_session_seconds
    return None if limit is None else limit - (monotonic() - conversation.began)
