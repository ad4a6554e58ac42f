"""A session with the test server over the real SDK: what goes in, what comes out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.engine import Engine, SessionContext
from captiond.live.session import (
    Flushed,
    GoingAway,
    Interrupted,
    ModelText,
    Opened,
    Resumable,
    SessionError,
    SpeechEnded,
    TextPurpose,
    ToolCall,
    ToolResponse,
    TurnComplete,
    Unsupported,
    Usage,
    VideoImage,
)
from tests.engines.gemini.conftest import AGENT_MODEL, Start
from tests.engines.gemini.speaking import conversation, silence, speak
from tests.servers.gemini import GeminiServer
from tests.servers.programme import Programme

IMAGE = VideoImage(time=MediaTime(0.0), jpeg=b"\xff\xd8\xff\xd9")


def tools(folder: Path) -> Path:
    """Return a file that declares a function."""
    file = folder / "tools.json"
    file.write_text(json.dumps([{"name": "weather", "description": "Tells it."}]))
    return file


async def test_every_word_once(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """The words of a whole programme, with times where they were spoken."""
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, programme.seconds)
        await ear.close()

    assert ear.events[0] == Opened(engine="gemini/gemini-3.5-transcribe-live")
    assert ear.words == [word.text for word in programme.words]
    spoken = iter(programme.words)
    for final in ear.finals:
        words = [next(spoken) for _ in final.text.split()]
        assert final.start == pytest.approx(words[0].start, abs=0.3)
        assert final.end == pytest.approx(words[-1].end, abs=0.7)


async def test_what_goes_in(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """Audio in messages of 100 ms, and one request for each end of speech."""
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 0.0, 17.4)
        await ear.close()

    audio = server.log.received("audio")
    assert {record.mime for record in audio} == {"audio/pcm;rate=16000"}
    assert all(record.size <= 3200 for record in audio)
    assert sum(record.size == 3200 for record in audio) >= len(audio) - 12
    assert audio[-1].seconds == pytest.approx(17.4, abs=0.05)
    ends = len(ear.of(SpeechEnded))
    # And one when the session is closed.
    assert len(server.log.received("audioStreamEnd")) == ends + 1
    assert server.log.received("activityStart") == []
    closed = await server.log.until("closed")
    assert closed.content == 1000


async def test_flush(
    engine: Engine, server: GeminiServer, programme: Programme
) -> None:
    """The words so far are final before Flushed, and the session goes on."""
    async with conversation(engine) as (session, ear):
        await speak(session, programme, 1.0, 4.8)
        await session.flush()
        await ear.until(lambda: ear.of(Flushed))
        count = len(ear.words)
        await speak(session, programme, 4.8, 8.8)
        await session.flush()
        await ear.until(lambda: len(ear.of(Flushed)) == 2)

    assert count == len(programme.words_between(1.0, 4.8))
    assert ear.words == [word.text for word in programme.words_between(1.0, 8.8)]


async def test_several_senders(engine: Engine, programme: Programme) -> None:
    """Whoever sends has a turn; audio stays in order."""
    async with conversation(engine) as (session, ear):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(speak(session, programme, 0.0, 8.8))
            for _ in range(20):
                tasks.create_task(session.send_text("captiond"))
                await asyncio.sleep(0.01)
        await ear.close()

    assert ear.words == [word.text for word in programme.words_between(0.0, 8.8)]
    assert ear.of(Unsupported) == [Unsupported(capability="text")] * 20


async def test_vocabulary(engine: Engine, server: GeminiServer) -> None:
    """It is set at setup: another one asks for a session that begins with it."""
    context = SessionContext(vocabulary=("captiond", "Dickens"))
    async with conversation(engine, context) as (session, ear):
        await session.send_text("captiond\n Dickens \n\n", TextPurpose.VOCABULARY)
        await session.send_text("captiond\nTwist", TextPurpose.VOCABULARY)
        await session.send_text("captiond\nTwist", TextPurpose.VOCABULARY)
        await ear.close()

    assert ear.of(GoingAway) == [GoingAway(time_left=30, reason="vocabulary changed")]
    (setup,) = server.log.received("setup")
    transcription = setup.content["inputAudioTranscription"]
    assert transcription["customVocabulary"] == ["captiond", "Dickens"]


async def test_what_a_transcriber_lacks(engine: Engine) -> None:
    """Each gets its answer, and none reaches the service."""
    async with conversation(engine) as (session, ear):
        await session.send_video(IMAGE)
        await session.send_text("Who?")
        await session.send_text("A tale.", TextPurpose.CONTEXT)
        await session.send_tool_response(ToolResponse(call="1", result={}))
        await session.interrupt()
        await ear.close()

    refused = [event.capability for event in ear.of(Unsupported)]
    assert refused == ["video", "text", "text", "tools", "interrupt"]
    with pytest.raises(EngineError, match="closed"):
        await session.send_audio(silence(0.0, 0.04)[0])


async def test_questions(start: Start, server: GeminiServer) -> None:
    """An agent answers a question, in pieces."""
    async with (
        start(model=AGENT_MODEL) as engine,
        conversation(engine) as (session, ear),
    ):
        await session.send_text("what is the time")
        await ear.until(lambda: ear.of(TurnComplete))

    text = "".join(piece.text for piece in ear.of(ModelText))
    assert text == "You said: what is the time."
    assert len(ear.of(ModelText)) > 1
    assert ear.of(Usage)


async def test_context(start: Start, server: GeminiServer) -> None:
    """What an agent should know is told at the start and in between."""
    context = SessionContext(text=("The title is A Tale.",))
    async with (
        start(model=AGENT_MODEL) as engine,
        conversation(engine, context) as (session, ear),
    ):
        await session.send_text("The speaker is Ann.", TextPurpose.CONTEXT)
        await session.send_text("", TextPurpose.CONTEXT)
        await session.send_text("recall")
        await ear.until(lambda: ear.of(TurnComplete))

    text = "".join(piece.text for piece in ear.of(ModelText))
    assert text == "Before that you said: The title is A Tale.; The speaker is Ann.."


async def test_pictures(start: Start, server: GeminiServer) -> None:
    """An agent is sent pictures as JPEG."""
    async with (
        start(model=AGENT_MODEL) as engine,
        conversation(engine) as (session, _),
    ):
        await session.send_video(IMAGE)
        record = await server.log.until("video")

    assert (record.mime, record.size) == ("image/jpeg", 4)


async def test_tools(start: Start, server: GeminiServer, tmp_path: Path) -> None:
    """A call is told, and its answer goes back under the function's name."""
    async with (
        start(model=AGENT_MODEL, tools_file=tools(tmp_path)) as engine,
        conversation(engine) as (session, ear),
    ):
        await session.send_text("use the tool weather")
        await ear.until(lambda: ear.of(ToolCall))
        (call,) = ear.of(ToolCall)
        await session.send_tool_response(ToolResponse(call="unknown", result={}))
        await session.send_tool_response(
            ToolResponse(call=call.call, result={"sky": "blue"})
        )
        await ear.until(lambda: ear.of(TurnComplete))

    assert call.name == "weather"
    assert len(server.log.received("toolResponse")) == 1
    text = "".join(piece.text for piece in ear.of(ModelText))
    assert '"sky": "blue"' in text


async def test_interrupt(start: Start, server: GeminiServer) -> None:
    """The rest of the turn isn't told, the next one is."""
    async with (
        start(model=AGENT_MODEL) as engine,
        conversation(engine) as (session, ear),
    ):
        await session.interrupt()
        await session.send_text("count to a hundred, slowly, with a word for each")
        await ear.until(lambda: ear.of(ModelText))
        await session.interrupt()
        said = len(ear.of(ModelText))
        await ear.until(lambda: ear.of(Usage))
        assert len(ear.of(ModelText)) == said
        await session.send_text("stop")
        await ear.until(lambda: ear.of(TurnComplete))

    assert ear.of(Interrupted) == [Interrupted()]
    text = "".join(piece.text for piece in ear.of(ModelText)[said:])
    assert text == "You said: stop."


async def test_resumption(start: Start, server: GeminiServer) -> None:
    """The next session goes on with the state of the last, by its handle."""
    async with start(model=AGENT_MODEL) as engine:
        async with conversation(engine) as (session, ear):
            await session.send_text("my name is Ann")
            await ear.until(lambda: ear.of(Resumable))
            await ear.close()
        handle = ear.of(Resumable)[-1].handle
        context = SessionContext(handle=handle, text=("not told again",))
        async with conversation(engine, context) as (session, ear):
            await session.send_text("recall")
            await ear.until(lambda: ear.of(TurnComplete))

    text = "".join(piece.text for piece in ear.of(ModelText))
    assert text == "Before that you said: my name is Ann."
    assert server.log.received("clientContent") == []


async def test_resumption_while_the_last_session_is_open(
    start: Start, server: GeminiServer
) -> None:
    """The service refuses at first; the state is taken over when it's free."""
    async with start(model=AGENT_MODEL) as engine, conversation(engine) as (first, ear):
        await first.send_text("my name is Ann")
        await ear.until(lambda: ear.of(Resumable))
        context = SessionContext(handle=ear.of(Resumable)[-1].handle)
        opening = asyncio.create_task(engine.open(stream="demo", context=context))
        await server.log.until("setup", count=2)
        first.abandon()
        second = await opening
        second.abandon()

    handles = [
        record.content["sessionResumption"].get("handle")
        for record in server.log.received("setup")
    ]
    assert handles[1:] == [context.handle] * 2


async def test_stop(start: Start, server: GeminiServer) -> None:
    """Open sessions fail, and their connections are gone."""
    async with start() as engine, conversation(engine) as (session, ear):
        assert engine.not_ready is None
        await engine.stop()
        error = await ear.error()
        with pytest.raises(EngineError, match="stopped"):
            await session.flush()
        await server.log.until("closed")

    assert isinstance(ear.events[-1], SessionError)
    assert (error.code, error.retryable) == ("stopped", False)
    assert engine.not_ready is not None


async def test_a_slow_reader(engine: Engine, server: GeminiServer) -> None:
    """A session that nobody reads fails, and its connection goes by itself."""
    session = await engine.open(stream="demo", context=SessionContext())

    async def send() -> None:
        for chunk in silence(0.0, 3000.0):
            await session.send_audio(chunk)

    async with asyncio.timeout(60):
        with pytest.raises(EngineError, match="slow_reader"):
            await send()
        await server.log.until("closed")
