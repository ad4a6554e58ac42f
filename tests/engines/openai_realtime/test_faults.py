"""What goes wrong on the way: the right error, or the session goes on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from captiond.engines.openai_realtime import connection
from captiond.errors import EngineError
from captiond.live.session import (
    Closed,
    Flushed,
    LiveSession,
    SessionError,
    Settled,
)
from tests.engines.conformance import SILENCE, TIMEOUT, Heard, chunks, read_until, say
from tests.engines.openai_realtime.conftest import (
    WAYS,
    open_session,
    served,
    speak_on,
    wait_for,
)
from tests.servers.openai import KEY, Faults
from tests.servers.programme import Programme

STREAMING, COMMITTED, VLLM = WAYS[0], WAYS[2], WAYS[5]


PART = " ".join(Programme.packaged().text.split()[:48])
"""Words of a part of the programme, which ends in a pause."""


def part(programme: Programme) -> bytes:
    """Return the audio of that part."""
    return programme.between(0, programme.words[47].end + 0.3)


async def speak_until_it_fails(session: LiveSession, programme: Programme) -> Heard:
    """Send audio until nobody takes it; return what was heard."""

    async def speak() -> None:
        for chunk in chunks(programme.pcm + SILENCE):
            await session.send_audio(chunk)
            await asyncio.sleep(0)

    reading = asyncio.create_task(read_until(session, SessionError))
    with contextlib.suppress(EngineError):  # the reader is told too
        await speak()
    return await reading


@pytest.mark.parametrize(
    ("faults", "code", "retryable", "retry_after"),
    [
        (Faults(http_status=401), "unauthorised", False, None),
        (Faults(http_status=403), "unauthorised", False, None),
        (Faults(http_status=404), "not_found", False, None),
        (Faults(http_status=429, retry_after=77), "quota", True, 77.0),
        (Faults(http_status=503, retry_after=5), "unavailable", True, 5.0),
        (Faults(first_error="invalid_api_key"), "unauthorised", False, None),
        (Faults(first_error="insufficient_quota"), "quota", True, 30.0),
        (Faults(first_error="server_error"), "service_error", True, None),
        (Faults(first_error="invalid_value"), "refused", False, None),
    ],
)
async def test_no_session(
    programme: Programme,
    faults: Faults,
    code: str,
    retryable: bool,
    retry_after: float | None,
) -> None:
    """The error says whether another try may help, and never shows the key."""
    async with served(programme) as (server, engine):
        server.faults = faults
        with pytest.raises(EngineError) as caught:
            await open_session(engine)
        server.faults = Faults()
        (await open_session(engine)).abandon()
    error = caught.value

    assert (error.code, error.retryable) == (code, retryable)
    assert error.retry_after == retry_after
    assert KEY not in str(error)


@pytest.mark.parametrize(
    "faults", [Faults(no_session_created=True), Faults(no_session_updated=True)]
)
async def test_silence_at_the_start(
    programme: Programme, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that says nothing is given up."""
    monkeypatch.setattr(connection, "OPEN_TIMEOUT", 0.2)
    async with served(programme) as (server, engine):
        server.faults = faults
        with pytest.raises(EngineError) as caught:
            await open_session(engine)

    assert (caught.value.code, caught.value.retryable) == ("timeout", True)


async def test_unknown_model(programme: Programme) -> None:
    """The error names the option."""
    async with served(programme, model="gpt-5-hears") as (_, engine):
        with pytest.raises(EngineError) as caught:
            await open_session(engine)

    assert (caught.value.code, caught.value.retryable) == ("not_found", False)
    assert "engines.openai_realtime.model" in caught.value.reason


@pytest.mark.parametrize(
    "faults",
    [
        Faults(unknown_events=True, after=1.0),
        Faults(huge_event=True, after=1.0),
        Faults(invalid_json=True, after=1.0),
        Faults(binary_frame=True, after=1.0),
        Faults(error="server_error", after=1.0),
        Faults(error="invalid_value", after=1.0),
        Faults(completed_twice=True),
    ],
)
@pytest.mark.parametrize("options", [STREAMING, COMMITTED, WAYS[3]])
async def test_what_does_not_matter(
    programme: Programme, faults: Faults, options: dict[str, Any]
) -> None:
    """The session goes on, and every word is there."""
    async with served(programme, **options) as (server, engine):
        server.faults = faults
        session = await open_session(engine)
        heard = await say(session, chunks(part(programme)), last=Closed)

    assert heard.text == PART
    assert heard.of(SessionError) == []


@pytest.mark.parametrize(
    "faults",
    [
        Faults(unknown_events=True, after=1.0),
        Faults(invalid_json=True, after=1.0),
        Faults(binary_frame=True, after=1.0),
        Faults(completed_twice=True),
    ],
)
async def test_what_does_not_matter_to_vllm(
    programme: Programme, faults: Faults
) -> None:
    """The session goes on, and every word is there."""
    async with served(programme, **VLLM) as (server, engine):
        server.faults = faults
        session = await open_session(engine)
        heard = await say(session, chunks(part(programme)), last=Closed)

    assert heard.text == PART


async def test_out_of_order(programme: Programme) -> None:
    """Transcripts that change places are told in the order of speech."""
    async with served(programme, **COMMITTED) as (server, engine):
        server.faults = Faults(out_of_order=True)
        session = await open_session(engine)
        heard = await say(session, chunks(part(programme)), last=Closed)

    assert heard.text == PART


@pytest.mark.parametrize(
    "faults", [Faults(fail_items=True), Faults(never_completed=True)]
)
async def test_items_without_transcript(programme: Programme, faults: Faults) -> None:
    """What was shown has to do; with a streaming model that's all of it."""
    async with served(programme, finalise_timeout=0.5) as (server, engine):
        server.faults = faults
        session = await open_session(engine)
        heard = await say(session, chunks(part(programme)), last=Closed)

    assert heard.text == PART
    assert heard.events[-1] == Closed()


@pytest.mark.parametrize(
    "faults",
    [Faults(fail_items=True, once=True), Faults(never_completed=True, once=True)],
)
async def test_a_lost_item(programme: Programme, faults: Faults) -> None:
    """Only its words are missing, and it holds nothing up for long."""
    options = {**COMMITTED, "finalise_timeout": 0.5}
    async with served(programme, **options) as (server, engine):
        session = await open_session(engine)
        first = await say(session, chunks(programme.between(0, 4.9)), last=Flushed)
        server.faults = faults
        second = await say(
            session, chunks(programme.between(4.9, 10.6), start=4.9), last=Flushed
        )
        rest = chunks(programme.between(10.6, 44.0) + SILENCE, start=10.6)
        third = await say(session, rest, last=Closed)

    assert first.text.endswith("worst of times")
    assert len(second.text.split()) < 24
    assert third.text == " ".join(
        word.text for word in programme.words_between(10.6, 44.0)
    )


@pytest.mark.parametrize(
    ("faults", "code", "retryable"),
    [
        (Faults(close=(1000, ""), after=2.0), "connection_lost", True),
        (Faults(close=(1001, "bye"), after=2.0), "connection_lost", True),
        (Faults(close=(1011, "oops"), after=2.0), "connection_lost", True),
        (Faults(close=(1008, "invalid api key"), after=2.0), "unauthorised", False),
        (Faults(close=(4000, "quota exceeded"), after=2.0), "quota", True),
        (Faults(reset=True, after=2.0), "connection_lost", True),
        (Faults(error="session_expired", after=2.0), "session_expired", True),
        (Faults(error="rate_limit_exceeded", after=2.0), "quota", True),
        (Faults(error="invalid_api_key", after=2.0), "unauthorised", False),
    ],
)
async def test_ends(
    programme: Programme, faults: Faults, code: str, retryable: bool
) -> None:
    """The session fails, and says whether another one may be had."""
    async with served(programme) as (server, engine):
        server.faults = faults
        session = await open_session(engine)
        heard = await speak_until_it_fails(session, programme)
        async with asyncio.timeout(TIMEOUT):
            await session.close()
        with pytest.raises(EngineError) as caught:
            await session.send_audio(chunks(SILENCE)[0])
    error = heard.events[-1]

    assert isinstance(error, SessionError)
    assert (error.code, error.retryable) == (code, retryable)
    assert caught.value.code == code
    assert KEY not in error.reason


async def test_vllm_generation_fails(programme: Programme) -> None:
    """Its audio isn't settled: the next session shall hear it."""
    async with served(programme, **VLLM) as (server, engine):
        server.faults = Faults(fail_items=True, once=True)
        session = await open_session(engine)
        heard = await speak_until_it_fails(session, programme)
    settled = [e.time for e in heard.events if isinstance(e, Settled)]

    assert isinstance(heard.events[-1], SessionError)
    assert heard.events[-1].code == "service_error"
    assert heard.events[-1].retryable
    assert max(settled, default=0.0) < programme.words[0].start


async def test_vllm_generation_hangs(programme: Programme) -> None:
    """What it said is final, and the session is given up."""
    options = {**VLLM, "finalise_timeout": 0.5, "max_utterance": 3.0}
    async with served(programme, **options) as (server, engine):
        server.faults = Faults(never_completed=True)
        session = await open_session(engine)
        heard = await speak_until_it_fails(session, programme)

    assert isinstance(heard.events[-1], SessionError)
    assert (heard.events[-1].code, heard.events[-1].retryable) == ("silent", True)


@pytest.mark.parametrize("options", [STREAMING, VLLM])
async def test_server_that_stops_reading(
    programme: Programme, options: dict[str, Any]
) -> None:
    """Closing takes no longer than the last final may, and gives what there is."""
    options = {**options, "finalise_timeout": 0.5}
    async with served(programme, **options) as (server, engine):
        server.faults = Faults(stop_reading=True, after=3.0)
        session = await open_session(engine)
        heard = await say(session, chunks(programme.between(0, 8)), last=Closed)

    assert heard.text.startswith("it was the best")
    assert heard.events[-1] == Closed()


async def test_abandoning_a_server_that_stopped_reading(programme: Programme) -> None:
    """It is over at once, whatever waits to be sent."""
    async with served(programme) as (server, engine):
        server.faults = Faults(stop_reading=True, after=1.0)
        session = await open_session(engine)

        async with asyncio.timeout(TIMEOUT):
            speaking = asyncio.create_task(speak_on(session, programme))
            await wait_for(lambda: server.seconds >= 1.0 and is_stuck(session))
            session.abandon()
            with pytest.raises(EngineError, match="closed"):
                await speaking
            assert [event async for event in session.receive()] == []


def is_stuck(session: LiveSession) -> bool:
    """Whether so much waits that the sender waits too."""
    waiting: float = session._seconds  # type: ignore[attr-defined]
    return waiting > 60.0


async def test_losses_are_logged_and_counted(
    programme: Programme, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what and why; the key isn't in it."""
    async with served(programme) as (server, engine):
        server.faults = Faults(fail_items=True, invalid_json=True, once=True)
        session = await open_session(engine)
        await say(session, chunks(programme.between(0, 4.9)), last=Closed)
        metrics = engine.metrics
    captured = capsys.readouterr()
    value = metrics.registry.get_sample_value

    assert value("captiond_events_discarded_total", {"reason": "unreadable"}) == 3
    assert value("captiond_events_discarded_total", {"reason": "item_failed"}) == 1
    assert "left out" in captured.out + captured.err
    assert KEY not in captured.out + captured.err
