"""
What the operator reads of each fault, and that the captions go on.

The supervisor with the real engine against the test server: audio of known words goes
in several times faster than it is spoken, and every word has to come out.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from captiond.cli.align import tokens
from captiond.config import EngineSection
from captiond.engines.gemini.options import GeminiOptions
from captiond.events import MediaTime
from captiond.live.changes import Degraded, SupervisorEvent
from captiond.live.engine import Engine
from captiond.live.roster import Roster
from captiond.live.session import Hypothesis
from captiond.live.supervisor import Supervisor
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics
from tests.engines.gemini.conftest import make_engine
from tests.harness import until
from tests.servers.gemini import DEADLINE, Faults, GeminiServer
from tests.servers.programme import Programme

SECONDS = 10.6
"""How much of the programme is said; a pause is there."""

CHUNK = 0.04
SPEED = 4
CANARY = "canary-key-7f3a"

CONFIG = EngineSection(
    fallback_after=0.3, open_timeout=2.0, send_timeout=1.0, stall_timeout=2.5
)


@dataclasses.dataclass(slots=True)
class Outcome:
    """What came of a programme."""

    events: list[SupervisorEvent]
    metrics: Metrics
    logs: list[Mapping[str, Any]]

    @property
    def words(self) -> list[str]:
        finals = [e for e in self.events if isinstance(e, Hypothesis) and e.final]
        return tokens(" ".join(final.text for final in finals))

    @property
    def statuses(self) -> list[str]:
        return [
            event.reason
            for event in self.events
            if isinstance(event, Degraded) and event.degraded
        ]

    def failures(self, code: str) -> float:
        value = self.metrics.registry.get_sample_value(
            "captiond_sessions_failed_total", {"engine": "gemini", "reason": code}
        )
        return value or 0.0

    def reasons(self, code: str) -> list[str]:
        return [line["reason"] for line in self.logs if line.get("code") == code]


@contextlib.asynccontextmanager
async def supervised(
    *engines: Engine, config: EngineSection = CONFIG
) -> AsyncIterator[tuple[Supervisor, Outcome]]:
    """Run a supervisor; the second engine is the fallback."""
    roster = Roster(
        dict(zip(("gemini", "spare"), engines, strict=False)),
        fallback="spare" if len(engines) > 1 else "",
    )
    events: list[SupervisorEvent] = []
    metrics = Metrics()
    with capture_logs() as logs:
        outcome = Outcome(events, metrics, logs)  # type: ignore[arg-type]
        async with roster, asyncio.TaskGroup() as tasks:
            supervisor = Supervisor(
                roster, "news", config=config, metrics=metrics, on_event=events.append
            )
            tasks.create_task(supervisor.run())
            yield supervisor, outcome
            supervisor.stop()


async def speak(
    supervisor: Supervisor,
    programme: Programme,
    start: float = 0.0,
    end: float = SECONDS,
) -> None:
    """Push a part of the programme."""
    for number in range(round(start / CHUNK), round(end / CHUNK)):
        supervisor.push(
            AudioChunk(
                start=MediaTime(number * CHUNK),
                pcm=programme.between(number * CHUNK, (number + 1) * CHUNK),
                arrival=0.0,
                decoded=0.0,
            )
        )
        await asyncio.sleep(CHUNK / SPEED)


def spoken(programme: Programme, end: float = SECONDS) -> list[str]:
    """Return the words that should be heard."""
    return [word.text for word in programme.words_between(0.0, end)]


def engine_for(server: GeminiServer, key: str = CANARY, **options: Any) -> Engine:
    """Return an engine that isn't started."""
    usual: dict[str, Any] = {
        "base_url": server.url,
        "ca_file": server.certificate.pem,
        "finalise_timeout": 1.0,
    }
    return make_engine(
        GeminiOptions(**{**usual, **options}), environ={"GEMINI_API_KEY": key}
    )


@pytest.fixture
async def spare(programme: Programme, server: GeminiServer) -> AsyncIterator[Engine]:
    """An engine at a server to which nothing happens."""
    async with GeminiServer(programme, certificate=server.certificate) as other:
        yield make_engine(
            GeminiOptions(base_url=other.url, ca_file=other.certificate.pem)
        )


REFUSALS: dict[str, tuple[Faults, dict[str, Any], str, str]] = {
    "bad key": (Faults(), {}, "unauthorised", "GEMINI_API_KEY"),
    "unknown model": (
        Faults(),
        {"model": "gemini-9", "profile": "transcribe"},
        "not_found",
        "engines.gemini.model",
    ),
    "refused field": (
        Faults(),
        {"profile": "agent", "instruction": "Be brief."},
        "refused",
        "invalid argument",
    ),
    "HTTP 401": (Faults(http_status=401), {}, "unauthorised", "GEMINI_API_KEY"),
    "HTTP 403": (Faults(http_status=403), {}, "unauthorised", "GEMINI_API_KEY"),
}


@pytest.mark.parametrize("fault", REFUSALS)
async def test_refusal_is_told_once_and_the_fallback_captions(
    fault: str, programme: Programme, server: GeminiServer, spare: Engine
) -> None:
    """The reason says what to check, nobody tries again, and no word is missing."""
    faults, options, code, hint = REFUSALS[fault]
    server.faults = faults
    key = CANARY if fault == "bad key" else server.settings.api_key
    async with supervised(engine_for(server, key, **options), spare) as (it, outcome):
        await speak(it, programme)
        assert await it.flush(timeout=20)

    assert outcome.words == spoken(programme)
    assert outcome.failures(code) == 1
    (reason,) = outcome.reasons(code)
    assert hint.lower() in reason.lower()
    assert outcome.statuses == []
    assert key not in repr(outcome.logs)


async def test_refusal_without_a_fallback_is_the_streams_status(
    programme: Programme, server: GeminiServer
) -> None:
    """Readers are told at once, with the reason, and flush() doesn't wait."""
    async with supervised(engine_for(server)) as (it, outcome):
        await until(lambda: outcome.statuses)
        await speak(it, programme, end=1.0)

        assert not await it.flush(timeout=20)

    (status,) = outcome.statuses
    assert status.startswith("gemini: ")
    assert "GEMINI_API_KEY" in status
    assert CANARY not in repr(outcome.logs) + status


UNREACHABLE: dict[str, tuple[Faults, dict[str, Any], str]] = {
    "HTTP 429": (Faults(http_status=429), {}, "quota"),
    "HTTP 503": (Faults(http_status=503), {}, "unavailable"),
    "no answer to setup": (Faults(no_setup=True), {}, "open_timeout"),
    "error as first message": (
        Faults(setup_error={"error": {"code": 500, "message": "Internal"}}),
        {},
        "refused",
    ),
    "DNS": (Faults(), {"base_url": "https://captiond-test.invalid"}, "dns"),
    "TLS": (Faults(), {"ca_file": None}, "tls"),
}


@pytest.mark.parametrize("fault", UNREACHABLE)
async def test_service_out_of_reach_is_replaced_by_the_fallback(
    fault: str, programme: Programme, server: GeminiServer, spare: Engine
) -> None:
    """The words come from the fallback, and the failures are counted by reason."""
    faults, options, code = UNREACHABLE[fault]
    server.faults = faults
    engine = engine_for(server, server.settings.api_key, **options)
    async with supervised(engine, spare) as (it, outcome):
        await speak(it, programme)
        assert await it.flush(timeout=20)

    assert outcome.words == spoken(programme)
    codes = {line["code"] for line in outcome.logs if "code" in line}
    assert codes == {code}
    assert outcome.failures(code) >= 1
    assert all(
        len(reason) > 20 or code == "open_timeout" for reason in (outcome.reasons(code))
    )


async def _go_away(server: GeminiServer) -> None:
    await server.connections[0].go_away(left=1.0)


async def _abort(server: GeminiServer) -> None:
    server.connections[0].abort()


async def _stop_reading(server: GeminiServer) -> None:
    server.connections[0].stop_reading()


async def _mute(server: GeminiServer) -> None:
    server.connections[0].mute()


async def _close(server: GeminiServer) -> None:
    await server.connections[0].close(code=1011, reason=DEADLINE)


async def _unknown(server: GeminiServer) -> None:
    await server.connections[0].send({"neverHeardOf": {"it": 1}})


async def _huge(server: GeminiServer) -> None:
    part = {"text": "x" * 1_100_000}
    await server.connections[0].send(
        {"serverContent": {"modelTurn": {"parts": [part]}}}
    )


SESSION_FAULTS: dict[str, tuple[Callable[[GeminiServer], Awaitable[None]], str]] = {
    "go-away, then 1011": (_go_away, ""),
    "TCP reset": (_abort, "connection_lost"),
    "stops reading": (_stop_reading, "stalled"),
    "reads and says nothing": (_mute, "stalled"),
    "1011": (_close, "connection_lost"),
    "unknown message": (_unknown, ""),
    "message over 1 MiB": (_huge, ""),
}


@pytest.mark.parametrize("fault", SESSION_FAULTS)
@pytest.mark.parametrize("at", [2.0, 6.4])
async def test_session_that_fails_is_resumed_with_no_word_lost(
    fault: str, at: float, programme: Programme, server: GeminiServer
) -> None:
    """Without any fallback: what wasn't settled is heard by the next session."""
    do, code = SESSION_FAULTS[fault]
    async with supervised(engine_for(server, server.settings.api_key)) as (it, outcome):
        await speak(it, programme, end=at)
        await do(server)
        await speak(it, programme, start=at)
        assert await it.flush(timeout=20)

    assert outcome.words == spoken(programme)
    codes = [line["code"] for line in outcome.logs if "code" in line]
    assert set(codes) == ({code} if code else set())
    if code:
        assert outcome.failures(code) == 1


ODD_ANSWERS = {
    "interim never finalised": Faults(unfinalised="silent"),
    "end told, final not": Faults(unfinalised="complete"),
    "final twice": Faults(duplicate_final_after=0.5),
    "final and interim in one": Faults(joined_final=True),
    "text frames": Faults(text_frames=True),
    "invalid JSON": Faults(invalid_json_after=3.0),
}


@pytest.mark.parametrize("fault", ODD_ANSWERS)
async def test_odd_answers_cost_no_word(
    fault: str, programme: Programme, server: GeminiServer
) -> None:
    """Each word is final once, whatever the service does about its finals."""
    server.faults = ODD_ANSWERS[fault]
    async with supervised(engine_for(server, server.settings.api_key)) as (it, outcome):
        await speak(it, programme)
        assert await it.flush(timeout=20)

    assert outcome.words == spoken(programme)
