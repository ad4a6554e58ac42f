"""Tests of the supervisor: no word lost, none twice, whatever sessions do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from captiond.config import EngineSection
from captiond.errors import ControlError, NotSupported
from captiond.events import Gap, MediaTime
from captiond.live.changes import Degraded, Rotated, SessionLost, SupervisorEvent
from captiond.live.engine import SessionContext
from captiond.live.inputs import Interrupt, Text
from captiond.live.session import (
    Capabilities,
    GoingAway,
    Hypothesis,
    Resumable,
    SessionError,
    TextPurpose,
    VideoImage,
)
from captiond.live.supervisor import Supervisor
from captiond.metrics import Metrics
from tests.fakes import ScriptedEngine, ScriptedSession, chunk, roster
from tests.harness import until


def new_supervisor(
    engine: ScriptedEngine,
    events: list[SupervisorEvent],
    config: EngineSection | None = None,
    *others: ScriptedEngine,
) -> Supervisor:
    """Return a supervisor that writes its events down."""
    return Supervisor(
        roster(engine, *others),
        "demo",
        config=config or EngineSection(),
        metrics=Metrics(),
        on_event=events.append,
    )


def words_in(events: list[SupervisorEvent]) -> list[int]:
    """Return the words of the finals."""
    finals = [e for e in events if isinstance(e, Hypothesis) and e.final]
    return [int(word) for final in finals for word in final.text.split()]


async def words_of(
    engine: ScriptedEngine,
    *,
    chunks: int,
    pause_at: Sequence[int] = (),
    config: EngineSection | None = None,
) -> tuple[list[int], list[SupervisorEvent]]:
    """Send chunks through a supervisor; return the final words and all events."""
    events: list[SupervisorEvent] = []
    supervisor = new_supervisor(engine, events, config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        for number in range(chunks):
            supervisor.push(chunk(number))
            if number in pause_at:
                await supervisor.flush(timeout=5)
        assert await supervisor.flush(timeout=5)
        supervisor.stop()
    return words_in(events), events


async def test_undisturbed_session_says_every_word() -> None:
    """Everything pushed is heard, the rest at flush()."""
    words, _ = await words_of(ScriptedEngine(), chunks=12)

    assert words == list(range(12))


@pytest.mark.parametrize("fail_after", range(1, 12))
async def test_failed_session_loses_and_doubles_no_word(fail_after: int) -> None:
    """What a session that fails hadn't settled is said by the next one."""
    words, events = await words_of(ScriptedEngine(fail_after=[fail_after]), chunks=12)

    assert words == list(range(12))
    assert any(isinstance(event, SessionLost) for event in events)


async def test_failures_in_a_row_lose_and_double_no_word() -> None:
    """Replays may fail too."""
    engine = ScriptedEngine(fail_after=[7, 2, 1], refuse=1)
    words, _ = await words_of(engine, chunks=23)

    assert words == list(range(23))
    assert len(engine.sessions) == 4


async def test_flush_survives_the_session_that_was_asked() -> None:
    """flush() is asked again of the next session."""
    words, _ = await words_of(ScriptedEngine(fail_after=[3]), chunks=6, pause_at=[2, 3])

    assert words == list(range(6))


async def test_audio_that_no_engine_could_hear_is_told_as_a_gap() -> None:
    """What fell out of the ring is named once an engine hears again."""
    words, events = await words_of(
        ScriptedEngine(refuse=1), chunks=70, config=EngineSection(ring_seconds=5)
    )

    assert words == list(range(20, 70))
    (gap,) = [event for event in events if isinstance(event, Gap)]
    assert (gap.start, round(gap.end, 3)) == (0.0, 2.0)


async def test_silent_engine_is_given_up() -> None:
    """A session that hears nothing for the stall time is replaced."""
    words, events = await words_of(
        ScriptedEngine(deaf=1), chunks=30, config=EngineSection(stall_timeout=0.05)
    )

    assert words == list(range(30))
    assert SessionLost(engine="scripted", reason="stalled") in events
    assert not any(isinstance(event, Degraded) for event in events)


async def test_replay_that_takes_long_is_no_stall() -> None:
    """A new session's progress counts from where its replay begins."""
    words, events = await words_of(
        ScriptedEngine(fail_after=[28], pace=0.02),
        chunks=30,
        config=EngineSection(stall_timeout=0.2),
    )

    assert words == list(range(30))
    assert [e for e in events if isinstance(e, SessionLost)] == [
        SessionLost(engine="scripted", reason="scripted")
    ]


async def test_failed_sessions_are_abandoned() -> None:
    """An engine learns that nobody wants a session any more."""
    engine = ScriptedEngine(fail_after=[3])
    await words_of(engine, chunks=6)

    assert [session.abandoned for session in engine.sessions] == [True, True]


async def test_each_flush_gets_its_own_answer() -> None:
    """A flush is answered when what was pushed before it was, not earlier."""
    events: list[SupervisorEvent] = []
    supervisor = new_supervisor(ScriptedEngine(pace=0.01), events)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        supervisor.push(chunk(0))
        first = tasks.create_task(supervisor.flush(timeout=5))
        await asyncio.sleep(0)
        for number in range(1, 20):
            supervisor.push(chunk(number))
        assert await supervisor.flush(timeout=5)
        heard = words_in(events)
        assert await first
        supervisor.stop()

    assert heard == list(range(20))


async def test_flush_of_an_engine_that_is_gone_fails_at_once() -> None:
    """An error that no retry mends is told once, and nobody waits for it."""
    events: list[SupervisorEvent] = []
    engine = ScriptedEngine(refuse=1, retryable=False)
    supervisor = new_supervisor(engine, events)
    supervisor.push(chunk(0))
    waiting = asyncio.create_task(supervisor.flush(timeout=60))
    running = asyncio.create_task(supervisor.run())

    assert not await waiting
    assert not await supervisor.flush(timeout=60)
    assert Degraded(degraded=True, reason="scripted: as told") in events

    supervisor.stop()
    await running

    (gap,) = supervisor.give_up_unheard()

    assert (gap.start, round(gap.end, 3)) == (0.0, 0.1)
    assert supervisor.lag == 0.0


@contextlib.asynccontextmanager
async def running(
    *engines: ScriptedEngine, config: EngineSection | None = None
) -> AsyncIterator[tuple[Supervisor, list[SupervisorEvent]]]:
    """Run a supervisor over these engines, the second one the fallback."""
    events: list[SupervisorEvent] = []
    supervisor = new_supervisor(engines[0], events, config, *engines[1:])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        yield supervisor, events
        assert await supervisor.flush(timeout=5)
        supervisor.stop()


def push(supervisor: Supervisor, first: int, last: int) -> None:
    """Push the chunks from ``first`` up to ``last``, without it."""
    for number in range(first, last):
        supervisor.push(chunk(number))


async def test_fallback_captions_until_the_engine_is_back() -> None:
    """Every word is said once, whoever heard it."""
    first = ScriptedEngine(name="first")
    second = ScriptedEngine(name="second")
    config = EngineSection(fallback_after=0.05)
    async with running(first, second, config=config) as (it, events):
        await until(lambda: it.engine == "first")
        push(it, 0, 8)
        await until(lambda: first.sessions[0].heard[-1:] == [7])
        first.refuse = 3
        first.sessions[0].emit(SessionError(code="x", reason="y", retryable=True))
        await until(lambda: it.engine == "second")
        push(it, 8, 13)
        await until(lambda: it.engine == "first")
        push(it, 13, 22)

    assert words_in(events) == list(range(22))
    assert SessionLost(engine="first", reason="x") in events
    assert Rotated(engine="second", reason="recovered") in events
    assert not any(isinstance(event, Degraded) for event in events)


async def test_refusal_is_followed_by_the_fallback_for_good() -> None:
    """An engine that refuses is asked once."""
    first = ScriptedEngine(name="first", refuse=1, retryable=False)
    second = ScriptedEngine(name="second")
    async with running(first, second) as (it, events):
        push(it, 0, 7)
        await until(lambda: it.engine == "second")

    assert words_in(events) == list(range(7))
    assert first.sessions == []


@pytest.mark.parametrize("spoken", range(1, 7))
async def test_session_that_goes_away_is_replaced_in_time(spoken: int) -> None:
    """The successor hears what isn't settled, and no word is lost or doubled."""
    engine = ScriptedEngine()
    async with running(engine) as (it, events):
        await until(lambda: it.engine)
        push(it, 0, spoken)
        await until(lambda: len(engine.sessions[0].heard) == spoken)
        engine.sessions[0].emit(GoingAway(time_left=60.0))
        await until(lambda: Rotated(engine="scripted", reason="going_away") in events)
        push(it, spoken, 12)

    assert words_in(events) == list(range(12))
    assert [session.abandoned for session in engine.sessions] == [True, True]
    assert not any(isinstance(event, SessionLost) for event in events)


async def test_session_is_replaced_before_its_limit() -> None:
    """An engine's limit is none of the readers' business."""
    engine = ScriptedEngine(capabilities=Capabilities(max_session_seconds=0.5))
    async with running(engine) as (it, events):
        for number in range(30):
            it.push(chunk(number))
            await until(lambda: it.lag == 0.0)
            await asyncio.sleep(0.05)

    assert words_in(events) == list(range(30))
    assert Rotated(engine="scripted", reason="limit") in events
    assert not any(isinstance(event, SessionLost) for event in events)


async def test_successor_that_never_hears_leaves_the_floor() -> None:
    """A session that speaks isn't given up for one that doesn't."""
    engine = ScriptedEngine()
    async with running(engine) as (it, events):
        await until(lambda: it.engine)
        push(it, 0, 3)
        await until(lambda: len(engine.sessions[0].heard) == 3)
        engine.deaf = 2
        engine.sessions[0].emit(GoingAway(time_left=60.0))
        await until(lambda: len(engine.sessions) == 2)
        push(it, 3, 9)

    assert words_in(events) == list(range(9))
    assert not any(isinstance(event, Rotated) for event in events)


async def test_state_that_is_taken_over_has_one_session_at_a_time() -> None:
    """A resumable session ends before the next begins with its handle."""
    engine = ScriptedEngine(capabilities=Capabilities(resumable=True))
    async with running(engine) as (it, events):
        await until(lambda: it.engine)
        first = engine.sessions[0]
        first.emit(Resumable(handle="h1"))
        push(it, 0, 3)
        await until(lambda: len(first.heard) == 3)
        first.emit(GoingAway(time_left=60.0))
        push(it, 3, 9)
        await until(lambda: len(engine.sessions) == 2 and it.engine)

        assert first.abandoned

    assert engine.sessions[1].context.handle == "h1"
    assert words_in(events) == list(range(9))


async def test_handle_that_is_refused_is_forgotten() -> None:
    """A session that can't be resumed is replaced by a new one."""
    engine = ScriptedEngine(retryable=False)
    async with running(engine) as (it, _):
        await until(lambda: it.engine)
        engine.sessions[0].emit(Resumable(handle="h1"))
        engine.refuse = 1
        engine.sessions[0].emit(SessionError(code="x", reason="y", retryable=True))
        await until(lambda: len(engine.sessions) == 2)

    assert engine.sessions[1].context.handle is None


async def test_controller_switches_engines() -> None:
    """The other engine takes over in mid-speech; unknown ones are named."""
    first, second = ScriptedEngine(name="first"), ScriptedEngine(name="second")
    async with running(first, second) as (it, events):
        await until(lambda: it.engine == "first")
        push(it, 0, 3)
        await until(lambda: len(first.sessions[0].heard) == 3)
        it.switch("second")
        await until(lambda: it.engine == "second")
        push(it, 3, 9)
        with pytest.raises(ControlError, match="there are first, second"):
            it.switch("third")

    assert words_in(events) == list(range(9))
    assert Rotated(engine="first", reason="requested") in events


async def test_inputs_reach_the_session_and_its_successor() -> None:
    """Questions go to who speaks; context and vocabulary are kept for the next."""
    can = Capabilities(text=True, vocabulary=True, interrupt=True)
    engine = ScriptedEngine(capabilities=can)
    async with running(engine) as (it, _):
        it.send(Text("early", TextPurpose.CONTEXT))
        await until(lambda: it.engine)
        it.send(Text("why?", TextPurpose.QUESTION))
        it.send(Text("Ada\n\nBabbage ", TextPurpose.VOCABULARY))
        it.send(Interrupt())
        await until(lambda: len(engine.sessions[0].inputs) == 3)
        engine.sessions[0].emit(SessionError(code="x", reason="y", retryable=True))
        await until(lambda: len(engine.sessions) == 2)

    assert engine.sessions[0].context.text == ("early",)
    # What it should know comes first.
    assert engine.sessions[0].inputs == [
        ("Ada\nBabbage", TextPurpose.VOCABULARY),
        ("why?", TextPurpose.QUESTION),
        "interrupt",
    ]
    assert engine.sessions[1].inputs == []
    assert engine.sessions[1].context.vocabulary == ("Ada", "Babbage")
    assert engine.sessions[1].context.text == ("early",)


async def test_what_an_engine_lacks_is_said_with_those_that_have_it() -> None:
    """Nobody guesses: the error names the capability and the engines."""
    first = ScriptedEngine(name="first")
    second = ScriptedEngine(name="second", capabilities=Capabilities(video=True))
    async with running(first, second) as (it, _):
        with pytest.raises(ControlError, match="no engine session is open"):
            it.send(Interrupt())
        await until(lambda: it.engine)
        with pytest.raises(NotSupported) as caught:
            it.send(VideoImage(time=MediaTime(0), jpeg=b""))

    assert (caught.value.capability, caught.value.engines) == ("video", ("second",))


class Hanging(ScriptedEngine):
    """Opens its first session never, and its second takes no audio."""

    tries = 0

    async def open(self, *, stream: str, context: SessionContext) -> ScriptedSession:
        self.tries += 1
        if self.tries == 1:
            await asyncio.sleep(3600)
        session = await super().open(stream=stream, context=context)
        session.trouble = {2: "hang", 3: "raise"}.get(self.tries)
        return session


async def test_engine_that_hangs_or_has_a_bug_is_given_up() -> None:
    """Opening and sending have their time, and a bug is a failure like others."""
    engine = Hanging()
    config = EngineSection(open_timeout=0.05, send_timeout=0.05)
    async with running(engine, config=config) as (it, events):
        push(it, 0, 4)
        await until(lambda: engine.tries == 4)

    lost = [event.reason for event in events if isinstance(event, SessionLost)]

    assert lost == ["send_timeout", "bug"]
    assert words_in(events) == list(range(4))


async def test_sound_without_words_costs_no_session_after_the_second() -> None:
    """Where there is no other engine to ask it is taken for noise."""
    engine = ScriptedEngine(deaf=2)
    config = EngineSection(stall_timeout=0.1)
    events: list[SupervisorEvent] = []
    supervisor = new_supervisor(engine, events, config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        push(supervisor, 0, 20)
        await until(lambda: len(engine.sessions) == 2)
        await until(lambda: supervisor.lag == 0.0)
        engine.sessions[1].deaf = False
        push(supervisor, 20, 30)
        assert await supervisor.flush(timeout=5)
        supervisor.stop()

    assert len(engine.sessions) == 2
    assert words_in(events) == list(range(20, 30))


async def test_another_engine_is_asked_about_sound_without_words() -> None:
    """It hears the same, and captions it if there are words."""
    first = ScriptedEngine(name="first", deaf=9)
    second = ScriptedEngine(name="second")
    async with running(first, second, config=EngineSection(stall_timeout=0.1)) as (
        it,
        events,
    ):
        push(it, 0, 20)
        await until(lambda: it.engine == "second")

    assert words_in(events) == list(range(20))
    assert len(first.sessions) == 2


async def test_context_comes_to_whoever_is_being_opened() -> None:
    """What is said while a session is opened or catches up isn't lost, nor doubled."""
    can = Capabilities(text=True, vocabulary=True)
    engine = ScriptedEngine(capabilities=can)
    async with running(engine) as (it, _):
        await until(lambda: it.engine)
        push(it, 0, 3)
        await until(lambda: len(engine.sessions[0].heard) == 3)
        engine.deaf = 2
        engine.sessions[0].emit(GoingAway(time_left=60.0))
        await until(lambda: len(engine.sessions) == 2)
        it.send(Text("a title", TextPurpose.CONTEXT))
        await until(lambda: all(each.inputs for each in engine.sessions))

    said = [("a title", TextPurpose.CONTEXT)]

    assert [each.inputs for each in engine.sessions] == [said, said]


async def test_an_input_that_is_bad_is_not_given_to_the_next_session() -> None:
    """It costs one session, and neither another one nor the engine."""
    engine = ScriptedEngine(capabilities=Capabilities(text=True))
    async with running(engine) as (it, events):
        await until(lambda: it.engine)
        engine.sessions[0].trouble = "bad text"
        it.send(Text("why?", TextPurpose.QUESTION))
        await until(lambda: len(engine.sessions) == 2)
        push(it, 0, 7)

    assert words_in(events) == list(range(7))
    assert engine.sessions[1].inputs == []
