"""Tests of the supervisor: no word lost, none twice, whatever sessions do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from captiond.config import EngineSection
from captiond.events import Gap
from captiond.live.session import Hypothesis
from captiond.live.supervisor import Degraded, SessionLost, Supervisor, SupervisorEvent
from captiond.metrics import Metrics
from tests.fakes import ScriptedEngine, chunk, roster


def new_supervisor(
    engine: ScriptedEngine,
    events: list[SupervisorEvent],
    config: EngineSection | None = None,
) -> Supervisor:
    """Return a supervisor that writes its events down."""
    return Supervisor(
        roster(engine),
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

    gap = supervisor.give_up_unheard()
    assert gap is not None
    assert (gap.start, round(gap.end, 3)) == (0.0, 0.1)
    assert supervisor.lag == 0.0
