"""The Gemini server's transcriber, heard through the real SDK."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from google.genai import types

from tests.servers.gemini import Faults, GeminiServer, Script, Settings
from tests.servers.programme import Programme
from tests.servers.sdk import (
    activity,
    completed,
    content,
    detection,
    final,
    interim,
    send,
    session,
    turned,
    until,
    words,
)


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


@pytest.fixture
async def server(programme: Programme) -> AsyncIterator[GeminiServer]:
    async with GeminiServer(programme) as running:
        yield running


def said(programme: Programme, start: float, end: float) -> list[str]:
    return [word.text for word in programme.words_between(start, end)]


async def test_a_programme_is_one_utterance_whole(
    server: GeminiServer, programme: Programme
) -> None:
    """Interims grow, one final has every word, and the turn is never complete."""
    async with session(server) as opened:
        sending = asyncio.create_task(send(opened, programme.pcm))
        messages = await until(opened, completed)
        await sending

    interims = [interim(m) for m in messages if interim(m)]
    finals = [final(m) for m in messages if final(m)]
    assert words(finals[0]) == [word.text for word in programme.words]
    assert len(finals) == 1
    assert finals[0].startswith("It was the best")
    assert len(interims) > 100
    assert all(b.startswith(a) for a, b in itertools.pairwise(interims))
    assert [activity(m) for m in messages if activity(m)] == ["START", "END"]
    assert not any(turned(m) for m in messages)
    voices = [m.voice_activity for m in messages if m.voice_activity]
    assert voices[-1].audio_offset == "41.7s"


async def test_the_silence_that_the_client_chose_ends_utterances(
    server: GeminiServer, programme: Programme
) -> None:
    """With 200 ms there are many utterances, together the whole programme."""
    config = detection(silence_duration_ms=200)
    async with session(server, realtime_input_config=config) as opened:
        sending = asyncio.create_task(send(opened, programme.pcm))
        messages = await until(opened, completed)
        while len(words(" ".join(map(final, messages)))) < len(programme.words):
            messages += await until(opened, completed)
        await sending

    ends = [m for m in messages if activity(m) == "END"]
    finals = [final(m) for m in messages if final(m)]
    assert len(ends) >= len(finals) > 5
    assert words(" ".join(finals)) == [word.text for word in programme.words]


async def test_audio_stream_end_finalises_at_once(
    server: GeminiServer, programme: Programme
) -> None:
    """What was said is final without a silence, and more audio goes on."""
    async with session(server) as opened:
        await send(opened, programme.between(0, 6.4))
        await opened.send_realtime_input(audio_stream_end=True)
        first = await until(opened, completed)
        await send(opened, programme.between(6.4, 12))
        await opened.send_realtime_input(audio_stream_end=True)
        second = await until(opened, completed)

    assert words("".join(map(final, first))) == said(programme, 0, 6.4)
    assert words("".join(map(final, second)))[-10:] == said(programme, 6.4, 12)[-10:]
    log = server.log
    assert [r.size for r in log.received("audio")] == [3200] * 120
    assert {r.mime for r in log.received("audio")} == {"audio/pcm;rate=16000"}
    assert log.received("audio")[-1].seconds == pytest.approx(12.0)
    assert len(log.received("audioStreamEnd")) == 2


async def test_after_silence_audio_stream_end_says_nothing(
    server: GeminiServer,
) -> None:
    """Where nobody spoke there is nothing to finalise."""
    async with session(server) as opened:
        await send(opened, bytes(64_000))
        await opened.send_realtime_input(audio_stream_end=True)
        await server.log.until("audioStreamEnd")

    assert {r.kind for r in server.log.sent()} <= {"setupComplete", "close"}


async def test_manual_activities_are_what_is_heard(
    server: GeminiServer, programme: Programme
) -> None:
    """Audio between the marks is heard, audio outside of them discarded."""
    async with session(
        server, realtime_input_config=detection(disabled=True)
    ) as opened:
        await send(opened, programme.between(0, 10))
        await opened.send_realtime_input(activity_start=types.ActivityStart())
        await send(opened, programme.between(10, 15))
        await opened.send_realtime_input(activity_end=types.ActivityEnd())
        messages = await until(opened, completed)

    expected = said(programme, 10, 15)
    assert words("".join(map(final, messages)))[-len(expected) :] == expected
    offsets = [m.voice_activity.audio_offset for m in messages if m.voice_activity]
    assert offsets == ["10s", "15s"]


async def test_a_silent_manual_activity_is_its_echo_only(server: GeminiServer) -> None:
    """There is no final and no generationComplete to wait for."""
    async with session(
        server, realtime_input_config=detection(disabled=True)
    ) as opened:
        await opened.send_realtime_input(activity_start=types.ActivityStart())
        await send(opened, bytes(32_000))
        await opened.send_realtime_input(activity_end=types.ActivityEnd())
        messages = await until(opened, lambda m: activity(m) == "END")

    kinds = {r.kind for r in server.log.sent()} - {"close"}
    assert kinds == {"setupComplete", "voiceActivity"}
    assert len(messages) == 2


async def test_what_is_lost_or_doubled_on_the_way_shows(
    server: GeminiServer, programme: Programme
) -> None:
    """The text has exactly what was sent."""
    pcm = (
        programme.between(0, 10) + programme.between(5, 10) + programme.between(12, 18)
    )
    async with session(server) as opened:
        await send(opened, pcm)
        await opened.send_realtime_input(audio_stream_end=True)
        messages = await until(opened, completed)

    heard = words("".join(map(final, messages)))
    expected = said(programme, 0, 10) + said(programme, 5, 10) + said(programme, 12, 18)
    assert len(heard) - len(expected) in (0, 1, 2, 3)
    assert heard[-10:] == expected[-10:]


async def test_the_rate_in_the_media_type_counts(
    server: GeminiServer, programme: Programme
) -> None:
    """Audio at another rate than was said is another voice, which isn't known."""
    pcm = programme.between(0, 6)
    async with session(server) as opened:
        await send(opened, pcm, rate=24_000)
        await opened.send_realtime_input(audio_stream_end=True)
        await until(opened, lambda m: activity(m) == "END")

    assert server.log.sent("inputTranscription") == []
    assert server.log.received("audio")[-1].seconds == pytest.approx(4.0)


async def test_a_final_may_revise_the_interims(programme: Programme) -> None:
    """A word that interims had wrong is right in the final."""
    script = Script(misheard={"wisdom": "wise dome"})
    async with (
        GeminiServer(programme, settings=Settings(script=script)) as server,
        session(server) as opened,
    ):
        await send(opened, programme.between(0, 9))
        await opened.send_realtime_input(audio_stream_end=True)
        messages = await until(opened, completed)

    assert "wise dome" in [interim(m) for m in messages if interim(m)][-1]
    assert "wisdom" in "".join(map(final, messages))


async def test_without_transcription_nothing_is_transcribed(
    server: GeminiServer, programme: Programme
) -> None:
    """Only the activity is told to who didn't ask for text."""
    async with session(server, input_audio_transcription=None) as opened:
        await send(opened, programme.between(0, 4.8))
        await opened.send_realtime_input(audio_stream_end=True)
        messages = await until(opened, lambda m: activity(m) == "END")

    assert not any(final(m) or interim(m) for m in messages)


@pytest.mark.parametrize("unfinalised", ["silent", "complete"])
async def test_an_utterance_may_stay_interim(
    server: GeminiServer, programme: Programme, unfinalised: str
) -> None:
    """It ends with nothing at all, or with generationComplete only."""
    complete = unfinalised == "complete"
    server.faults = Faults(unfinalised="complete" if complete else "silent")
    async with session(server) as opened:
        await send(opened, programme.between(0, 4.8))
        await opened.send_realtime_input(audio_stream_end=True)
        ended = completed if complete else lambda m: activity(m) == "END"
        messages = await until(opened, ended)

    assert any(map(interim, messages))
    assert not any(map(final, messages))
    assert bool(server.log.sent("generationComplete")) == complete


async def test_a_final_may_come_twice(
    server: GeminiServer, programme: Programme
) -> None:
    """The second comes with later audio."""
    server.faults = Faults(duplicate_final_after=0.5)
    async with session(server) as opened:
        await send(opened, programme.between(0, 4.8))
        await opened.send_realtime_input(audio_stream_end=True)
        messages = await until(opened, completed)
        await send(opened, bytes(32_000))
        messages += await until(opened, final)

    finals = [final(m) for m in messages if final(m)]
    assert len(finals) == 2
    assert finals[0] == finals[1]


async def test_a_final_may_carry_the_next_interim(
    server: GeminiServer, programme: Programme
) -> None:
    """One message has both, and no word is lost."""
    server.faults = Faults(joined_final=True)
    async with session(server) as opened:
        await send(opened, programme.between(0, 4.8))
        await opened.send_realtime_input(audio_stream_end=True)
        messages = await until(opened, completed)

    joined = [m for m in messages if final(m) and interim(m)]
    assert len(joined) == 1
    heard = words(" ".join(final(m) for m in messages))
    assert heard == said(programme, 0, 4.8)


async def test_handles_are_given_when_asked_for(
    server: GeminiServer, programme: Programme
) -> None:
    """In mid-utterance there is none, after it a new one."""
    resumption = types.SessionResumptionConfig()
    async with session(server, session_resumption=resumption) as opened:
        await send(opened, programme.between(0, 4.8))
        await opened.send_realtime_input(audio_stream_end=True)
        messages = await until(
            opened, lambda m: (u := m.session_resumption_update) and u.new_handle
        )

    updates = [
        (u.resumable, bool(u.new_handle))
        for m in messages
        if (u := m.session_resumption_update)
    ]
    assert updates == [(False, False), (True, True)]
    assert content(messages[-1]).generation_complete is None
