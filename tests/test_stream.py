"""Tests of a stream's life: publishers that come and go, engines that fail."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from captiond import stream as stream_module
from captiond.clock import utc_now
from captiond.config import Config, EngineSection, StreamSection
from captiond.egress.wire import encode
from captiond.events import Caption, Event, Gap, Status
from captiond.hub.hub import Hub
from captiond.live import absence as absence_module
from captiond.live import breaker as breaker_module
from captiond.live.session import SessionError
from captiond.metrics import Metrics
from captiond.stream import Stream
from tests.fakes import ScriptedEngine, chunk, roster
from tests.harness import until


@dataclasses.dataclass(eq=False)
class Publisher:
    """What a stream knows of a publisher."""

    reason: str | None = None

    def finish(self) -> None:
        """Nothing is left."""

    def end(self, reason: str) -> None:
        """Note why it was ended."""
        self.reason = reason


class Scene:
    """A stream with its log, and the tasks that it started."""

    def __init__(self, engine: ScriptedEngine, tasks: asyncio.TaskGroup) -> None:
        config = Config(
            stream=StreamSection(linger=60.0),
            engine=EngineSection(stall_timeout=60.0),
        )
        metrics = Metrics()
        hub = Hub(config, metrics, encode=encode, wall=utc_now)
        self.engine = engine
        self.tasks = tasks
        self.stream = Stream(
            hub.open("demo"), hub, roster(engine), config=config, metrics=metrics
        )

    def connect(self, peer: Publisher) -> None:
        """Let a publisher speak."""
        self.stream.connect(peer, self.tasks.create_task)  # type: ignore[arg-type]

    def speak(self, peer: Publisher, *numbers: int) -> None:
        """Let it say its words."""
        self.stream.receive(peer, [chunk(n) for n in numbers])  # type: ignore[arg-type]

    async def leave(self, peer: Publisher, reason: str = "left") -> None:
        """Let it go."""
        await self.stream.disconnect(peer, reason)  # type: ignore[arg-type]

    @property
    def events(self) -> list[Event]:
        """The durable events."""
        log = self.stream.channel.log
        return [log.durable(number).event for number in range(1, log.seq + 1)]

    @property
    def states(self) -> list[str]:
        """The states told to readers."""
        return [each.state.value for each in self.events if isinstance(each, Status)]

    @property
    def finals(self) -> list[str]:
        """The texts of the finals."""
        return [each.text for each in self.events if isinstance(each, Caption)]

    def fail_session(self) -> None:
        """Let the engine's newest session fail."""
        self.engine.sessions[-1].emit(
            SessionError(code="scripted", reason="as told", retryable=True)
        )


@contextlib.asynccontextmanager
async def scene(engine: ScriptedEngine | None = None) -> AsyncIterator[Scene]:
    """Set a stream up, and end it afterwards."""
    async with asyncio.TaskGroup() as tasks:
        found = Scene(engine or ScriptedEngine(), tasks)
        yield found
        found.stream.end()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing that only bounds a wait take long."""
    monkeypatch.setattr(absence_module, "DEGRADED_AFTER", 0.05)
    monkeypatch.setattr(breaker_module, "LAST_PAUSE", 0.05)


async def test_programme_is_live_paused_live_and_ended() -> None:
    """Readers see what happens, and every word."""
    first, second = Publisher(), Publisher()
    async with scene() as it:
        it.connect(first)
        it.speak(first, 0, 1, 2)
        await it.leave(first)
        it.connect(second)
        it.speak(second, 10, 11)
        await it.leave(second)

    assert it.states == ["live", "paused", "live", "paused", "ended"]
    assert it.finals == ["0 1 2", "10 11"]
    assert it.stream.lag == 0.0


async def test_publisher_that_was_replaced_changes_nothing_by_leaving() -> None:
    """The one that took over keeps the stream."""
    older, newer = Publisher(), Publisher()
    async with scene() as it:
        it.connect(older)
        it.connect(newer)
        it.speak(older, 0)
        it.speak(newer, 1)
        await it.leave(older)
        states = it.states
        await it.leave(newer)

    assert older.reason == "replaced by a newer publisher"
    assert states == ["live"]
    assert it.finals == ["1"]


async def test_engine_that_fails_and_returns_is_told() -> None:
    """Without an engine a stream is degraded; then live again, and nothing is lost."""
    peer = Publisher()
    async with scene() as it:
        it.connect(peer)
        it.speak(peer, 0, 1)
        await until(lambda: it.engine.sessions)
        it.engine.refuse = 1000
        it.fail_session()
        await until(lambda: it.states[-1] == "degraded")
        it.speak(peer, 2)
        it.engine.refuse = 0
        await until(lambda: it.states[-1] == "live")
        await it.leave(peer)

    assert it.states == ["live", "degraded", "live", "paused", "ended"]
    assert it.finals == ["0 1 2"]


async def test_engine_that_returns_wakes_no_paused_stream() -> None:
    """Live means that somebody publishes."""
    peer = Publisher()
    async with scene() as it:
        it.connect(peer)
        await it.leave(peer)
        it.engine.refuse = 3
        it.fail_session()
        await until(lambda: len(it.engine.sessions) == 2)

    assert it.states == ["live", "paused", "ended"]


async def test_takeover_during_an_outage_stays_degraded() -> None:
    """A new publisher doesn't make an engine."""
    older, newer = Publisher(), Publisher()
    async with scene(ScriptedEngine(refuse=1000)) as it:
        it.connect(older)
        await until(lambda: it.states[-1] == "degraded")
        it.connect(newer)
        states = it.states
        it.engine.refuse = 0
        await until(lambda: it.states[-1] == "live")

    assert states == ["live", "degraded"]


async def test_stream_that_ends_during_an_outage_tells_what_nobody_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its audio is a gap, its lag is zero, and no engine brings it back."""
    monkeypatch.setattr(stream_module, "FLUSH_TIMEOUT", 0.1)
    peer = Publisher()
    async with scene(ScriptedEngine(refuse=1000)) as it:
        it.connect(peer)
        it.speak(peer, 0, 1, 2)
        await it.leave(peer)

    (gap,) = [each for each in it.events if isinstance(each, Gap)]
    assert (gap.start, round(gap.end, 3), gap.reason) == (
        0.0,
        0.3,
        "engine_unavailable",
    )
    assert it.states[-1] == "ended"
    assert it.stream.lag == 0.0


async def test_late_words_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that takes too long leaves the cue open for the engine to finish."""
    monkeypatch.setattr(stream_module, "FLUSH_TIMEOUT", 0.05)
    peer = Publisher()
    async with scene() as it:
        it.connect(peer)
        it.speak(peer, 0, 1)
        await until(lambda: it.stream.channel.log.interim)
        it.engine.refuse = 3
        it.fail_session()
        await it.leave(peer)
        await until(lambda: it.finals)

    assert it.finals == ["0 1"]
    assert it.states[-2:] == ["paused", "ended"]


async def test_next_life_hears_nothing_of_the_last() -> None:
    """A session that closes late doesn't speak on the new publisher's cue."""
    first, second = Publisher(), Publisher()
    async with scene() as it:
        it.connect(first)
        it.speak(first, 0)
        await until(lambda: it.stream.channel.log.interim)
        it.stream.end()
        await until(lambda: not it.stream.running)
        it.connect(second)
        it.speak(second, 10)
        await until(lambda: len(it.engine.sessions) == 2)
        await it.leave(second)

    assert it.finals == ["0", "10"]
    assert first.reason == "the stream ended: nobody publishes"
    assert it.states == ["live", "ended", "live", "paused", "ended"]


async def test_publisher_that_comes_as_the_stream_ends_is_kept() -> None:
    """The linger time running out and a publisher connecting may meet."""
    first, second = Publisher(), Publisher()
    async with scene() as it:
        it.connect(first)
        await it.leave(first)
        it.stream.end()
        it.connect(second)
        it.speak(second, 1)
        await it.leave(second)

    assert second.reason is None
    assert it.finals == ["1"]


async def test_stream_that_fails_ends_its_publisher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault of ours is told, and the sender may come again."""

    def broken(_: object) -> None:
        raise ZeroDivisionError

    peer = Publisher()
    async with scene() as it:
        monkeypatch.setattr(it.stream, "_on_hypothesis", broken)
        it.connect(peer)
        it.speak(peer, 0)
        await until(lambda: peer.reason)

    assert peer.reason == "the stream ended: failed"
    assert it.states == ["live", "ended"]
