"""
Sessions that fail under a supervisor: the next one hears what wasn't settled.

Audio of known words goes in several times faster than it is spoken, and every word has
to come out, once.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from captiond.config import EngineSection
from captiond.engines.openai_realtime.engine import OpenAiRealtimeEngine
from captiond.events import MediaTime
from captiond.live.changes import SupervisorEvent
from captiond.live.roster import Roster
from captiond.live.session import Hypothesis
from captiond.live.supervisor import Supervisor
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics
from tests.engines.openai_realtime.conftest import WAYS, served
from tests.servers.openai import KEY, Faults
from tests.servers.programme import Programme

SECONDS = 10.6
"""How much of the programme is said; a pause is there."""

CHUNK = 0.04
SPEED = 6

CONFIG = EngineSection(
    fallback_after=0.3, open_timeout=2.0, send_timeout=1.0, stall_timeout=2.5
)

FAULTS: dict[str, tuple[Faults, str]] = {
    "closed": (Faults(close=(1011, "oops"), after=2.0, once=True), "connection_lost"),
    "reset": (Faults(reset=True, after=6.4, once=True), "connection_lost"),
    "stops reading": (Faults(stop_reading=True, after=5.0, once=True), "stalled"),
}


async def caption(
    engine: OpenAiRealtimeEngine, programme: Programme
) -> tuple[list[str], list[str]]:
    """Let an engine caption a part of the programme; return words and failures."""
    events: list[SupervisorEvent] = []
    with capture_logs() as logs:
        async with Roster({"it": engine}) as roster, asyncio.TaskGroup() as tasks:
            supervisor = Supervisor(
                roster, "news", config=CONFIG, metrics=Metrics(), on_event=events.append
            )
            tasks.create_task(supervisor.run())
            for number in range(round(SECONDS / CHUNK)):
                at = number * CHUNK
                supervisor.push(
                    AudioChunk(
                        start=MediaTime(at),
                        pcm=programme.between(at, at + CHUNK),
                        arrival=0.0,
                        decoded=0.0,
                    )
                )
                await asyncio.sleep(CHUNK / SPEED)
            assert await supervisor.flush(timeout=20)
            supervisor.stop()
    assert KEY not in repr(logs)
    finals = [e for e in events if isinstance(e, Hypothesis) and e.final]
    codes = [line["code"] for line in logs if "code" in line]
    return " ".join(final.text for final in finals).split(), codes


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("options", [WAYS[0], WAYS[1], WAYS[3], WAYS[5]])
async def test_no_word_is_lost(
    programme: Programme, options: dict[str, Any], fault: str
) -> None:
    """Nor said twice, wherever the session breaks."""
    faults, code = FAULTS[fault]
    async with served(programme, **options) as (server, engine):
        server.faults = faults
        words, codes = await caption(engine, programme)

    assert words == [word.text for word in programme.words_between(0.0, SECONDS)]
    assert codes == [code]


async def test_a_session_that_is_too_old(programme: Programme) -> None:
    """The next one goes on where it ended."""
    async with served(programme) as (server, engine):
        server.faults = Faults(error="session_expired", after=4.0, once=True)
        words, codes = await caption(engine, programme)

    assert words == [word.text for word in programme.words_between(0.0, SECONDS)]
    assert codes == ["session_expired"]


async def test_a_generation_that_fails(programme: Programme) -> None:
    """vLLM doesn't say what it heard: another one hears it again."""
    async with served(programme, **WAYS[5]) as (server, engine):
        server.faults = Faults(fail_items=True, once=True)
        words, codes = await caption(engine, programme)

    assert words == [word.text for word in programme.words_between(0.0, SECONDS)]
    assert codes == ["service_error"]
