"""Sessions over real connections: every word, in time, and orderly ends."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest

from captiond.engines.openai_realtime import session as session_module
from captiond.errors import EngineError
from captiond.live.mailbox import SessionMailbox
from captiond.live.session import (
    Closed,
    Flushed,
    GoingAway,
    Hypothesis,
    LiveSession,
    SessionError,
    SpeechEnded,
    SpeechStarted,
    TextPurpose,
    Usage,
)
from tests.engines.conformance import SILENCE, TIMEOUT, chunks, read_until, say
from tests.engines.openai_realtime.conftest import (
    WAYS,
    open_session,
    served,
    speak_on,
    started,
    wait_for,
)
from tests.servers.openai import Faults, OpenAiServer
from tests.servers.programme import Programme
from tests.servers.tls import Certificate


@pytest.mark.parametrize("options", WAYS)
async def test_every_word(programme: Programme, options: dict[str, Any]) -> None:
    """Not one is lost, cut or said twice, though the server takes its time."""
    async with served(programme, server={"latency": 0.2}, **options) as (_, engine):
        session = await open_session(engine)
        heard = await say(session, chunks(programme.pcm + SILENCE), last=Closed)

    assert heard.text == programme.text
    assert heard.events[-1] == Closed()
    assert [e for e in heard.events if isinstance(e, Usage)]


@pytest.mark.parametrize("options", [WAYS[0], WAYS[3], WAYS[5]])
async def test_long_utterances_are_cut_in_pauses(
    programme: Programme, options: dict[str, Any]
) -> None:
    """No word suffers where the speaker never pauses for long."""
    options = {**options, "silence_ms": 2500, "max_utterance": 6.0}
    async with served(programme, **options) as (_, engine):
        session = await open_session(engine)
        heard = await say(session, chunks(programme.pcm + SILENCE), last=Closed)

    assert heard.text == programme.text
    assert len(heard.finals) >= 6
    assert all(final.end - final.start <= 8 for final in heard.finals)


async def test_times(programme: Programme) -> None:
    """Finals lie where their words were spoken."""
    async with served(programme) as (_, engine):
        session = await open_session(engine)
        heard = await say(session, chunks(programme.pcm + SILENCE), last=Closed)
    spoken = iter(programme.words)
    for final in heard.finals:
        words = [next(spoken) for _ in final.text.split()]

        assert final.start == pytest.approx(words[0].start, abs=0.6)
        assert final.end == pytest.approx(words[-1].end, abs=0.8)


async def test_interims_grow(programme: Programme) -> None:
    """Each is what was believed so far, while there is speech."""
    async with served(programme) as (_, engine):
        session = await open_session(engine)
        reading = asyncio.create_task(read_until(session, Flushed))
        for chunk in chunks(programme.between(0, 4.9)):
            await session.send_audio(chunk)
            await asyncio.sleep(0.002)  # what is told at once is told as one
        await session.flush()
        heard = await reading
    texts = [each.text for each in heard.hypotheses]

    assert texts[:4] == ["it", "it was", "it was the", "it was the best"]
    assert heard.of(SpeechStarted)
    assert heard.finals[-1].text == "it was the best of times it was the worst of times"


async def test_partials(programme: Programme) -> None:
    """A server that tells what it believes is listened to."""
    async with served(programme, server={"partials": True}, **WAYS[4]) as (_, engine):
        session = await open_session(engine)
        heard = await say(session, chunks(programme.between(0, 12)), last=Flushed)

    assert [each for each in heard.hypotheses if not each.final]


async def test_speech_is_told(programme: Programme) -> None:
    """Where the local detector hears it, in order."""
    async with served(programme) as (_, engine):
        session = await open_session(engine)
        heard = await say(session, chunks(programme.pcm + SILENCE), last=Flushed)
    marks = [e for e in heard.events if isinstance(e, SpeechStarted | SpeechEnded)]

    assert [type(mark) for mark in marks[::2]] == [SpeechStarted] * len(marks[::2])
    assert [type(mark) for mark in marks[1::2]] == [SpeechEnded] * len(marks[1::2])


async def test_audio_goes_in_tenths(programme: Programme) -> None:
    """At the rate of the dialect, and all of it."""
    async with served(programme) as (server, engine):
        session = await open_session(engine)
        await say(session, chunks(programme.between(0, 5)), last=Flushed)
        session.abandon()
        sizes = [
            each["audio_bytes"] for each in server.messages("input_audio_buffer.append")
        ]

    assert max(sizes) == 4800
    assert sizes.count(4800) > 45
    assert sum(sizes) == pytest.approx(5 * 48_000, abs=200)


async def test_vocabulary(programme: Programme) -> None:
    """It is configured, comes from earlier sessions, and changes on the way."""
    async with served(programme, vocabulary=["Dickens"]) as (server, engine):
        session = await open_session(engine, "Paris")
        await session.send_text("London\n\n  Carton ", TextPurpose.VOCABULARY)
        heard = await say(session, chunks(programme.between(0, 4.9)), last=Flushed)
        session.abandon()
        keywords = [
            each["session"]["audio"]["input"]["transcription"]["keywords"]
            for each in server.messages("session.update")
        ]

    assert keywords == [["Dickens", "Paris"], ["Dickens", "London", "Carton"]]
    assert heard.text


async def test_two_flushes(programme: Programme) -> None:
    """Each is answered."""
    async with served(programme) as (_, engine):
        session = await open_session(engine)
        for chunk in chunks(programme.between(0, 4.9)):
            await session.send_audio(chunk)
        await session.flush()
        await session.flush()
        first = await read_until(session, Flushed)
        second = await read_until(session, Flushed)
        session.abandon()

    assert first.text
    assert second.events[-1] == Flushed()


async def test_end_of_life(programme: Programme) -> None:
    """A session says that its server ends it soon."""
    async with served(programme) as (_, engine):
        engine.capabilities = dataclasses.replace(
            engine.capabilities, max_session_seconds=0.5
        )
        session = await open_session(engine)
        heard = await read_until(session, GoingAway)
        session.abandon()

    [going] = [e for e in heard.events if isinstance(e, GoingAway)]
    assert 0 <= going.time_left <= 0.1


async def test_expiry(programme: Programme) -> None:
    """A session that the server ends may be had again."""
    async with served(programme, server={"session_seconds": 0.2}) as (_, engine):
        session = await open_session(engine)
        heard = await read_until(session, SessionError)

    error = heard.events[-1]
    assert isinstance(error, SessionError)
    assert (error.code, error.retryable) == ("session_expired", True)
    assert "60 minutes" in error.reason


async def test_nobody_reads(
    programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that leaves too much behind loses the session."""
    mailbox = functools.partial(SessionMailbox, max_events=20)
    monkeypatch.setattr(session_module, "SessionMailbox", mailbox)
    async with served(programme) as (server, engine):
        session = await open_session(engine)
        with pytest.raises(EngineError) as caught:
            await speak_on(session, programme)
        await wait_for(lambda: not server.open_connections)

    assert caught.value.code == "slow_reader"


async def test_stop_ends_sessions(programme: Programme) -> None:
    """An engine that stops lets its sessions fail, and opens no more."""
    async with served(programme) as (_, engine):
        session = await open_session(engine)
        await engine.stop()
        heard = await read_until(session, SessionError)
        with pytest.raises(EngineError, match="isn't started"):
            await open_session(engine)

    assert isinstance(heard.events[-1], SessionError)
    assert heard.events[-1].code == "stopped"


async def test_cancelled_opening_leaves_nothing(programme: Programme) -> None:
    """The connection is gone."""
    async with served(programme) as (server, engine):
        server.faults = Faults(no_session_created=True)
        opening = asyncio.create_task(open_session(engine))
        await wait_for(lambda: server.connections > 0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await wait_for(lambda: not server.open_connections)


async def test_tls(programme: Programme, tmp_path: Path) -> None:
    """A certificate of one's own must be named."""
    certificate = Certificate.in_folder(tmp_path)
    tls = certificate.server_context()
    async with OpenAiServer(programme, tls=tls) as server:
        async with started(url=server.url, ca_file=certificate.pem) as engine:
            session = await open_session(engine)
            heard = await say(session, chunks(programme.between(0, 3)), last=Closed)
        async with started(url=server.url) as engine:
            with pytest.raises(EngineError) as caught:
                await open_session(engine)

    assert heard.text
    assert (caught.value.code, caught.value.retryable) == ("tls", True)


async def test_unreachable() -> None:
    """Nobody listens there."""
    async with started(url="ws://127.0.0.1:9/v1/realtime") as engine:
        with pytest.raises(EngineError) as caught:
            await open_session(engine)

    assert caught.value.retryable
    assert caught.value.code == "unreachable"


async def test_backpressure(programme: Programme) -> None:
    """Who sends too much waits, and goes on when there is room."""
    async with served(programme, **WAYS[5]) as (_, engine):
        session = await open_session(engine)
        sending = asyncio.create_task(send_all(session, programme))
        heard: list[Hypothesis] = []
        async with asyncio.timeout(TIMEOUT):
            async for event in session.receive():
                if isinstance(event, Hypothesis) and event.final:
                    heard.append(event)
                if isinstance(event, Closed):
                    break
        await sending

    assert " ".join(each.text for each in heard if each.text).count("best") == 3


async def send_all(session: LiveSession, programme: Programme) -> None:
    """Send the programme three times, far faster than time."""
    for start in (0.0, 100.0, 200.0):
        for chunk in chunks(programme.pcm, start=start):
            await session.send_audio(chunk)
    await session.close()
