"""The Gemini server's agents, talked to through the real SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from google.genai import types

from tests.servers.gemini import GeminiServer, Script, Settings
from tests.servers.programme import Programme
from tests.servers.sdk import (
    SPEAKER,
    WRITER,
    Message,
    completed,
    content,
    final,
    send,
    session,
    turned,
    until,
    words,
    written,
)

TOOLS = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="get_title"),
        types.FunctionDeclaration(name="get_weather"),
    ]
)


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


@pytest.fixture
async def server(programme: Programme) -> AsyncIterator[GeminiServer]:
    async with GeminiServer(programme) as running:
        yield running


@pytest.fixture
async def slow(programme: Programme) -> AsyncIterator[GeminiServer]:
    """A server whose answers last until they are interrupted."""
    script = Script(part_delay=0.05, answer="{question} " * 400)
    async with GeminiServer(programme, settings=Settings(script=script)) as running:
        yield running


def jpeg() -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = 64, 48
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    picture = av.VideoFrame.from_ndarray(
        np.full((48, 64, 3), 127, dtype=np.uint8), format="rgb24"
    )
    packets = [*encoder.encode(picture.reformat(format="yuvj420p")), *encoder.encode()]
    return b"".join(bytes(packet) for packet in packets)


def interrupted(message: Message) -> bool:
    return bool(content(message).interrupted)


async def test_a_question_is_answered_in_parts(server: GeminiServer) -> None:
    """Text parts, generationComplete, turnComplete with the usage, in this order."""
    async with session(server, WRITER) as opened:
        await opened.send_realtime_input(text="what is the time")
        messages = await until(opened, turned)

    parts = [written(m) for m in messages if written(m)]
    assert "".join(parts) == "You said: what is the time."
    assert len(parts) == 3
    assert completed(messages[-2])
    usage = messages[-1].usage_metadata
    assert usage is not None
    assert usage.total_token_count == (usage.prompt_token_count or 0) + 6


async def test_client_content_is_a_question_once_it_is_complete(
    server: GeminiServer,
) -> None:
    """Turns that don't complete are remembered, the one that does is answered."""

    def turn(text: str) -> types.Content:
        return types.Content(role="user", parts=[types.Part(text=text)])

    async with session(server, WRITER) as opened:
        await opened.send_client_content(turns=turn("the dog"), turn_complete=False)
        await opened.send_client_content(turns=turn("please recall"))
        messages = await until(opened, turned)

    answer = "".join(map(written, messages))
    assert answer == "Before that you said: the dog."


async def test_speech_is_transcribed_in_deltas_and_answered(
    server: GeminiServer, programme: Programme
) -> None:
    """Each word comes with a leading space, the answer after the silence."""
    pcm = programme.between(0, 4.8) + bytes(64_000)
    async with session(server, WRITER) as opened:
        await send(opened, pcm)
        messages = await until(opened, turned)

    deltas = [final(m) for m in messages if final(m)]
    expected = [w.text for w in programme.words_between(0, 4.8)]
    assert deltas == [f" {word}" for word in expected]
    assert " ".join(expected) in "".join(map(written, messages))


async def test_a_speaker_sends_audio_and_its_transcription(
    server: GeminiServer,
) -> None:
    """The native audio model answers with PCM at 24 kHz, and text beside it."""
    transcription = types.AudioTranscriptionConfig()
    async with session(
        server, SPEAKER, output_audio_transcription=transcription
    ) as opened:
        await opened.send_realtime_input(text="hello")
        messages = await until(opened, turned)

    spoken = [
        part.inline_data
        for m in messages
        if (turn := content(m).model_turn)
        for part in turn.parts or []
    ]
    said = [t.text for m in messages if (t := content(m).output_transcription)]
    assert {blob.mime_type for blob in spoken if blob} == {"audio/pcm;rate=24000"}
    assert len(spoken) == len(said) == 2
    assert "".join(text or "" for text in said) == "You said: hello."


async def test_text_interrupts_the_answer(slow: GeminiServer) -> None:
    """The turn ends without generationComplete, and the next question is answered."""
    async with session(slow, WRITER) as opened:
        await opened.send_realtime_input(text="first")
        await until(opened, written)
        await opened.send_realtime_input(text="second")
        messages = await until(opened, turned)
        after = await until(opened, written)

    assert any(map(interrupted, messages))
    assert not any(map(completed, messages))
    assert "second" in written(after[-1])


async def test_speech_interrupts_the_answer(
    slow: GeminiServer, programme: Programme
) -> None:
    """As soon as speech begins, before any word is known."""
    async with session(slow, WRITER) as opened:
        await opened.send_realtime_input(text="first")
        await until(opened, written)
        await send(opened, programme.between(1.2, 1.4))
        messages = await until(opened, turned)

    assert any(map(interrupted, messages))
    assert not any(map(final, messages))


async def test_speech_may_be_told_not_to_interrupt(
    slow: GeminiServer, programme: Programme
) -> None:
    """With NO_INTERRUPTION the answer goes on while somebody speaks."""
    config = types.RealtimeInputConfig(
        activity_handling=types.ActivityHandling.NO_INTERRUPTION
    )
    async with session(slow, WRITER, realtime_input_config=config) as opened:
        await opened.send_realtime_input(text="first")
        await until(opened, written)
        await send(opened, programme.between(1.2, 3.5))
        messages = await until(opened, final, count=5)
        messages += await until(opened, written)

    assert not any(map(interrupted, messages))


async def test_a_function_is_called_and_its_response_used(
    server: GeminiServer,
) -> None:
    """The model waits for the response, then answers with it."""
    async with session(server, WRITER, tools=[TOOLS]) as opened:
        await opened.send_realtime_input(text="use the tool get_weather")
        messages = await until(opened, lambda m: m.tool_call)
        call = messages[-1].tool_call
        assert call is not None
        [function] = call.function_calls or []
        assert (function.id, function.name) == ("call-1", "get_weather")
        await opened.send_tool_response(
            function_responses=types.FunctionResponse(
                id=function.id, name=function.name, response={"sky_colour": "grey"}
            )
        )
        messages = await until(opened, turned)

    assert "".join(map(written, messages)) == 'The tool says {"sky_colour": "grey"}.'
    assert server.log.received("toolResponse")[0].content == {
        "call-1": {"sky_colour": "grey"}
    }


async def test_a_call_is_cancelled_by_an_interruption(server: GeminiServer) -> None:
    """Who speaks while the model waits for a function cancels the call."""
    async with session(server, WRITER, tools=[TOOLS]) as opened:
        await opened.send_realtime_input(text="use the tool")
        await until(opened, lambda m: m.tool_call)
        await opened.send_realtime_input(text="never mind")
        messages = await until(opened, completed)

    cancelled = [c.ids for m in messages if (c := m.tool_call_cancellation)]
    assert cancelled == [["call-1"]]
    assert any(map(interrupted, messages))
    assert "".join(map(written, messages)) == "You said: never mind."


async def test_a_function_that_nobody_declared_is_not_called(
    server: GeminiServer,
) -> None:
    """Without tools the keyword is a word like any other."""
    async with session(server, WRITER) as opened:
        await opened.send_realtime_input(text="use the tool")
        messages = await until(opened, turned)

    assert not any(m.tool_call for m in messages)


async def test_images_are_seen(server: GeminiServer) -> None:
    """Each JPEG is counted, and logged without its content."""
    picture = jpeg()
    async with session(server, WRITER) as opened:
        for _ in range(2):
            await opened.send_realtime_input(
                video=types.Blob(data=picture, mime_type="image/jpeg")
            )
        await opened.send_realtime_input(text="hello")
        messages = await until(opened, turned)

    assert "".join(map(written, messages)).endswith("I have seen 2 images.")
    assert [r.size for r in server.log.received("video")] == [len(picture)] * 2


async def test_a_resumed_session_remembers(
    server: GeminiServer, programme: Programme
) -> None:
    """With the handle of a closed one a session knows what was said in it."""
    resumption = types.SessionResumptionConfig()
    async with session(server, WRITER, session_resumption=resumption) as opened:
        await opened.send_realtime_input(text="the cat is grey")
        messages = await until(opened, lambda m: m.session_resumption_update)
    update = messages[-1].session_resumption_update
    assert update is not None
    await server.log.until("closed")

    again = types.SessionResumptionConfig(handle=update.new_handle)
    async with session(server, WRITER, session_resumption=again) as opened:
        await opened.send_realtime_input(text="recall")
        messages = await until(opened, turned)

    assert words("".join(map(written, messages)))[-4:] == ["the", "cat", "is", "grey"]
