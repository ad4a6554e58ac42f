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
from collections.abc import Callable

from captiond import logs
from captiond.clock import monotonic
from captiond.config import EngineSection
from captiond.errors import ControlError, EngineError, NotSupported
from captiond.events import Gap
from captiond.live.absence import Absence
from captiond.live.changes import Degraded, Rotated, SessionLost, SupervisorEvent
from captiond.live.continuity import Continuity
from captiond.live.conversation import Conversation, Flush, resolve, still_wanted
from captiond.live.floor import Candidate, Floor
from captiond.live.inputs import Input, Inputs, Text, capability_for
from captiond.live.opener import Opener, OpenSession
from captiond.live.roster import Roster
from captiond.live.session import (
    Capabilities,
    GoingAway,
    Hypothesis,
    Resumable,
    SessionEvent,
    Settled,
    TextPurpose,
)
from captiond.live.stalls import Stalls, Verdict
from captiond.live.succession import Open, Succession
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics

QUIET = 1.6
"""Seconds of audio not settled: with no more than that nobody speaks, as engines keep
up to a second of silence in case that speech begins in it."""

LAST_WORDS = 3.0
"""Seconds for the last words of a session that must end before the next may begin."""

STALL_PAUSE = 30.0
"""Seconds for which an engine is left alone that says nothing, twice."""

LONGEST_SLEEP = 1.0
"""Seconds between two looks at what is due."""


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
        self._opener = Opener(
            roster, stream, timeout=config.open_timeout, metrics=metrics
        )
        self._inputs = Inputs()
        self._floor = Floor[Conversation]()
        self._held: dict[Conversation, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._dead = False
        """No session will be opened any more."""
        self._flushes: list[Flush] = []
        """Asked while nobody speaks."""
        self._absence = Absence(monotonic())
        self._stalls = Stalls()
        self._last_failure = "no engine yet"
        self._overflow = logs.Throttle(
            lambda count: self._log.warning("audio ring is full", chunks_lost=count)
        )

    @property
    def lag(self) -> float:
        """Seconds of audio that the engine has not processed."""
        if self._floor.speaker is None:
            return self._ring.depth
        return self._floor.speaker.unheard

    @property
    def ring_depth(self) -> float:
        """Seconds of audio whose text is not final."""
        return self._ring.depth

    @property
    def engine(self) -> str:
        """Name of the engine that speaks, as captions carry it; empty if none does."""
        return "" if self._floor.speaker is None else self._floor.speaker.name

    @property
    def capabilities(self) -> Capabilities | None:
        """What the session that speaks can do; None if none does."""
        return None if self._floor.speaker is None else self._floor.speaker.capabilities

    def push(self, chunk: AudioChunk) -> None:
        """Take audio. Never waits: what the ring can't hold falls out, counted."""
        sent_until = (
            None if self._floor.speaker is None else self._floor.speaker.sent_until
        )
        for lost in self._continuity.push(chunk, sent_until=sent_until):
            self._overflow.hit()
            for conversation in self._held:
                conversation.fell_out(lost)
        for conversation in self._held:
            conversation.wake()

    async def flush(self, *, timeout: float) -> bool:
        """Wait until everything pushed was answered; return False if it took longer."""
        if self._dead or self._succession.hopeless:
            return False
        done: Flush = asyncio.get_running_loop().create_future()
        if self._floor.speaker is None:
            self._flushes.append(done)
        else:
            self._floor.speaker.flush([done])
        try:
            async with asyncio.timeout(timeout):
                return await done
        except TimeoutError:
            return False
        finally:
            self._flushes = still_wanted(self._flushes)

    def send(self, item: Input) -> None:
        """
        Say something to the engine besides audio. Never waits.

        Raises:
            NotSupported: If the engine can't take it.
            ControlError: If no session is there, or too much waits.

        """
        capability = capability_for(item)
        is_lasting = isinstance(item, Text) and item.purpose is not TextPurpose.QUESTION
        if isinstance(item, Text):
            self._opener.remember(item)
        speaker = self._floor.speaker
        if speaker is None:
            if is_lasting:
                return  # the next session has it
            raise ControlError("not_live", "no engine session is open at the moment")
        if not getattr(speaker.capabilities, capability):
            raise NotSupported(
                capability, self.engine, self._roster.that_have(capability)
            )
        if not is_lasting and self._inputs.put(item):
            self._metrics.inputs_discarded.labels("newer_picture").inc()
        for conversation in self._held:
            conversation.wake_inputs(self._opener.context)

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

    def give_up_unheard(self) -> list[Gap]:
        """Forget the audio that no engine heard; return where it was."""
        heard = (
            self._ring.start
            if self._floor.speaker is None
            else self._floor.speaker.heard
        )
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
        wanted = self._succession.next(monotonic(), quiet=self._ring.depth <= QUIET)
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
        if self._floor.speaker is not None:
            self._floor.speaker.close()
            speaking = self._held[self._floor.speaker]
        for task in self._tasks - {speaking}:
            task.cancel()

    async def _hold(self, wanted: Open) -> None:
        """Open a session and keep it to its end."""
        conversation: Conversation | None = None
        try:
            await self._make_way(wanted)
            conversation = self._take_in(await self._opener.open(wanted), wanted)
            await conversation.run()
        except EngineError as error:
            self._failed(conversation, wanted.engine, error)
        else:
            self._log.info("session closed", engine=wanted.engine, reason="stopped")
        finally:
            if conversation is not None:
                self._flushes += conversation.take_back_flushes()
                self._held.pop(conversation, None)
                self._floor.leave(conversation)
            self._wake.set()

    async def _make_way(self, wanted: Open) -> None:
        """End a session first whose state the next one takes over."""
        old = self._floor.speaker
        if old is None or old.key != wanted.engine or not old.capabilities.resumable:
            return
        done: Flush = asyncio.get_running_loop().create_future()
        old.flush([done])
        try:
            async with asyncio.timeout(LAST_WORDS):
                await done
        except TimeoutError:
            self._log.warning("session ended before its last words", engine=old.key)
        task = self._held.get(old)
        if self._floor.speaker is old:
            self._replace(old, wanted.reason, expected=True)
        if task is not None:
            await asyncio.wait({task}, timeout=LAST_WORDS)

    def _take_in(self, opened: OpenSession, wanted: Open) -> Conversation:
        conversation = Conversation(
            opened, self._ring, self, config=self._config, metrics=self._metrics
        )
        conversation.wake_inputs(self._opener.context)
        task = asyncio.current_task()
        assert task is not None
        self._held[conversation] = task
        self._floor.enter(conversation, wanted.reason, monotonic())
        self._hand_over_if_ready()
        return conversation

    def _hand_over_if_ready(self) -> None:
        """Let a successor speak that has caught up; without a voice, any."""
        preferred = self._succession.preferred
        while candidate := self._floor.successor(
            preferred,
            hurry=self._succession.must_switch(monotonic()),
            silent=not self._ring.depth,
            now=monotonic(),
        ):
            self._hand_over(candidate)
        for conversation in self._floor.unwanted(preferred):
            # The preferred engine came back while the fallback was being opened.
            self._succession.dropped(conversation.key)
            self._metrics.sessions_rotated.labels(conversation.key, "unneeded").inc()
            self._log.info("session closed", engine=conversation.key, reason="unneeded")
            self._end(conversation)

    def _hand_over(self, candidate: Candidate[Conversation]) -> None:
        conversation, old = candidate.talker, self._floor.speaker
        if old is not None:
            self._replace(old, candidate.reason)
        self._floor.give(candidate)
        self._succession.speaks(
            conversation.key, monotonic(), limit=conversation.seconds_left
        )
        if not self._ring.depth:
            self._recovered()
        self._tell_gaps(
            self._continuity.begins(conversation.heard_from, conversation.skipped)
        )
        conversation.take_inputs(self._inputs)
        conversation.flush(self._flushes)
        self._flushes = []
        while candidate.events:
            self._tell(conversation, candidate.events.popleft())

    def _replace(
        self, old: Conversation, reason: str, *, expected: bool = False
    ) -> None:
        """End the session that speaks: another one goes on."""
        if reason in ("limit", "going_away") and not old.steady:
            # An engine whose sessions end at once is asked ever more rarely.
            self._succession.failed(
                old.key, monotonic(), f"{reason} at once", retryable=True, opening=False
            )
        self._take_floor_from(old)
        self._end(old)
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
            steady=conversation is not None and conversation.steady,
            opening=conversation is None or conversation is not self._floor.speaker,
        )
        if conversation is None or conversation is not self._floor.speaker:
            return
        self._take_floor_from(conversation)
        self._succession.lost_voice(monotonic())
        self._on_event(SessionLost(engine=key, reason=error.code))

    def _take_floor_from(self, conversation: Conversation) -> None:
        self._flushes += conversation.take_back_flushes()
        item = conversation.take_back_input()
        if item is not None:
            self._inputs.put_back(item)
        self._continuity.ends(conversation.sent_until)
        self._floor.leave(conversation)

    def _end(self, conversation: Conversation) -> None:
        self._floor.leave(conversation)
        self._held[conversation].cancel()

    def take(self, conversation: Conversation, event: SessionEvent) -> None:
        """Take an event of any session that is open."""
        if isinstance(event, Settled) and conversation.steady:
            self._succession.worked(conversation.key, opened_at=conversation.began)
        if conversation is self._floor.speaker:
            self._tell(conversation, event)
        else:
            self._floor.keep(conversation, event)
            self._hand_over_if_ready()

    def _tell(self, conversation: Conversation, event: SessionEvent) -> None:
        """Pass on an event of the session that speaks."""
        match event:
            case Hypothesis():
                new = self._continuity.trim(event)
                if new is None:
                    return
                event = new
                self._stalls.answered()
            case Settled():
                self._tell_gaps(self._continuity.settle(event.time))
                if conversation.has_heard:
                    self._recovered()
            case GoingAway():
                self._succession.going_away(monotonic(), event.time_left)
                self._wake.set()
            case Resumable():
                self._opener.keep_handle(conversation.key, event.handle)
            case _:
                pass  # for whoever listens
        self._on_event(event)

    def _tell_gaps(self, gaps: list[Gap]) -> None:
        for gap in gaps:
            self._on_event(gap)

    def stalled(self, conversation: Conversation) -> None:
        """
        Decide about sound that a session says nothing about.

        Raises:
            EngineError: If the session has to be replaced.

        """
        seconds = conversation.unheard
        verdict = Verdict.REPLACE
        if conversation is self._floor.speaker:
            another = self._succession.has_another(conversation.key)
            verdict = self._stalls.judge(seconds, another=another)
        if verdict is Verdict.NOISE:
            self._log.warning(
                "sound without words", engine=conversation.key, seconds=round(seconds)
            )
            self._metrics.audio_discarded_seconds.labels("unanswered").inc(seconds)
            conversation.excuse()
            self._tell_gaps(self._continuity.settle(conversation.sent_until))
            return
        raise EngineError(
            "stalled",
            f"{seconds:.1f} s of audio not heard for {self._config.stall_timeout:g} s",
            retryable=True,
            retry_after=STALL_PAUSE if verdict is Verdict.ASK_ANOTHER else None,
        )

    def _follow_absence(self) -> None:
        """Tell readers when nobody has heard for too long."""
        self._count_degraded()
        speaker = self._floor.speaker
        if speaker is not None and (speaker.has_heard or not self._ring.depth):
            self._recovered()
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
