"""What the Gemini server refuses, as the real SDK shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import websockets
from google.genai import types
from google.genai.errors import APIError
from google.genai.live import AsyncSession
from websockets.asyncio.client import ClientConnection

from tests.servers.gemini import API_KEY, Faults, GeminiServer
from tests.servers.programme import Programme
from tests.servers.sdk import (
    SPEAKER,
    TRANSCRIBER,
    WRITER,
    detection,
    send,
    session,
    turned,
    until,
)

INVALID = "Request contains an invalid argument."
PATH = "/ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
SETUP = {
    "setup": {
        "model": f"models/{TRANSCRIBER}",
        "generationConfig": {"responseModalities": ["TEXT"]},
        "inputAudioTranscription": {},
    }
}


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


@pytest.fixture
async def server(programme: Programme) -> AsyncIterator[GeminiServer]:
    async with GeminiServer(programme) as running:
        yield running


def plain(
    server: GeminiServer,
    path: str = PATH.format("v1beta"),
    *,
    headers: Sequence[tuple[str, str]] = (("x-goog-api-key", API_KEY),),
) -> websockets.connect:
    """Return a connection without the SDK, to be opened."""
    url = server.url.replace("https", "wss") + path
    return websockets.connect(
        url,
        ssl=server.client_ssl,
        additional_headers=list(headers),
        proxy=None,
        compression=None,
        close_timeout=1,
    )


async def closing(connection: ClientConnection) -> tuple[int | None, str | None]:
    """Wait until the server closes; return code and reason."""
    async with asyncio.timeout(10):
        await connection.wait_closed()
    return connection.close_code, connection.close_reason


async def answer(connection: ClientConnection, message: Any) -> Any:
    """Send a message and return the answer, which must be a binary frame."""
    await connection.send(json.dumps(message))
    async with asyncio.timeout(10):
        frame = await connection.recv()
    assert isinstance(frame, bytes)
    return json.loads(frame)


async def test_a_wrong_key_is_closed_with_1007(server: GeminiServer) -> None:
    """The SDK's connect() raises an APIError with the code and the reason."""
    with pytest.raises(APIError, match=r"1007 .*API key not valid") as caught:
        async with session(server, key="wrong"):
            pass

    assert caught.value.code == 1007


async def test_an_unknown_model_is_closed_with_1008(server: GeminiServer) -> None:
    """The reason names the model and the version of the API."""
    wording = (
        "models/gemini-nope is not found for API version v1beta, or is not supported "
        "for bidiGenerateContent"
    )
    with pytest.raises(APIError, match=wording) as caught:
        async with session(server, "gemini-nope"):
            pass

    assert caught.value.code == 1008


@pytest.mark.parametrize(
    ("model", "config"),
    [
        (TRANSCRIBER, {"system_instruction": "Be brief."}),
        (TRANSCRIBER, {"tools": [types.Tool(google_search=types.GoogleSearch())]}),
        (TRANSCRIBER, {"speech_config": types.SpeechConfig(language_code="en-US")}),
        (TRANSCRIBER, {"temperature": 0.5}),
        (TRANSCRIBER, {"output_audio_transcription": types.AudioTranscriptionConfig()}),
        (TRANSCRIBER, {"response_modalities": ["AUDIO"]}),
        (
            TRANSCRIBER,
            {
                "input_audio_transcription": types.AudioTranscriptionConfig(
                    word_timestamp=True
                )
            },
        ),
        (
            TRANSCRIBER,
            {
                "input_audio_transcription": types.AudioTranscriptionConfig(
                    custom_vocabulary=["word"] * 1001
                )
            },
        ),
        (TRANSCRIBER, {"session_resumption": {"handle": "never given"}}),
        (SPEAKER, {"response_modalities": ["TEXT"]}),
        (WRITER, {"response_modalities": ["TEXT", "AUDIO"]}),
    ],
)
async def test_what_a_model_does_not_take_is_closed_with_1007(
    server: GeminiServer, model: str, config: dict[str, Any]
) -> None:
    """The connection ends without setupComplete."""
    with pytest.raises(APIError, match=INVALID) as caught:
        async with session(server, model, **config):
            pass

    assert caught.value.code == 1007
    assert server.log.sent("setupComplete") == []


async def test_all_that_a_transcriber_takes_is_taken(server: GeminiServer) -> None:
    """Hints, vocabulary, mode, detection, compression and resumption are no fault."""
    async with session(
        server,
        input_audio_transcription=types.AudioTranscriptionConfig(
            language_codes=["en-US"],
            custom_vocabulary=["captiond"],
            mode=types.AudioTranscriptionConfigMode.VERBATIM,
        ),
        realtime_input_config=detection(
            prefix_padding_ms=20,
            silence_duration_ms=300,
            start_of_speech_sensitivity=types.StartSensitivity.START_SENSITIVITY_LOW,
        ),
        context_window_compression=types.ContextWindowCompressionConfig(
            sliding_window=types.SlidingWindow()
        ),
        session_resumption=types.SessionResumptionConfig(),
    ) as opened:
        assert opened.setup_complete is not None


async def refused(opened: AsyncSession) -> APIError:
    with pytest.raises(APIError) as caught:
        await until(opened, lambda _: False)
    return caught.value


async def test_a_transcriber_takes_audio_only(server: GeminiServer) -> None:
    """Text, images and turns close the session."""
    picture = types.Blob(data=b"\xff\xd8\xff", mime_type="image/jpeg")
    for said in ({"text": "hello"}, {"video": picture}):
        async with session(server) as opened:
            await opened.send_realtime_input(**said)
            assert (await refused(opened)).code == 1007
    async with session(server) as opened:
        await opened.send_client_content(turns=types.Content(role="user", parts=[]))
        assert (await refused(opened)).code == 1007


async def test_activity_marks_belong_to_the_manual_mode(server: GeminiServer) -> None:
    """By hand in automatic mode, or the stream's end in manual mode, is refused."""
    async with session(server) as opened:
        await opened.send_realtime_input(activity_start=types.ActivityStart())
        error = await refused(opened)
    assert error.code == 1007
    assert "Explicit activity control" in str(error)

    async with session(
        server, realtime_input_config=detection(disabled=True)
    ) as opened:
        await opened.send_realtime_input(audio_stream_end=True)
        assert (await refused(opened)).code == 1007


@pytest.mark.parametrize("mime", ["audio/opus", "audio/pcm;rate=fast", "audio/wav"])
async def test_audio_must_be_pcm(server: GeminiServer, mime: str) -> None:
    """Other media types are refused."""
    async with session(server) as opened:
        await opened.send_realtime_input(audio=types.Blob(data=b"1234", mime_type=mime))
        assert (await refused(opened)).code == 1007


async def test_the_rate_may_not_change(
    server: GeminiServer, programme: Programme
) -> None:
    """A session's audio is at one rate."""
    async with session(server) as opened:
        await send(opened, programme.between(0, 0.2))
        await send(opened, programme.between(0, 0.2), rate=24_000)
        assert (await refused(opened)).code == 1007


async def test_resuming_while_the_first_socket_is_open_is_1011(
    server: GeminiServer,
) -> None:
    """Once it is closed the same handle is taken."""
    resumption = types.SessionResumptionConfig()
    async with session(server, WRITER, session_resumption=resumption) as opened:
        await opened.send_realtime_input(text="hello")
        messages = await until(opened, lambda m: m.session_resumption_update)
        update = messages[-1].session_resumption_update
        assert update is not None
        again = types.SessionResumptionConfig(handle=update.new_handle)
        with pytest.raises(APIError) as caught:
            async with session(server, WRITER, session_resumption=again):
                pass
        assert caught.value.code == 1011
    await server.log.until("closed", connection=1)

    async with session(server, WRITER, session_resumption=again) as opened:
        assert opened.setup_complete is not None


async def test_the_first_frame_must_be_setup(server: GeminiServer) -> None:
    """Anything else closes the connection."""
    async with plain(server) as connection:
        await connection.send('{"realtimeInput":{"audioStreamEnd":true}}')
        assert await closing(connection) == (1007, INVALID)


async def test_nothing_may_be_sent_before_setup_is_answered(
    server: GeminiServer,
) -> None:
    """Audio that comes too early closes the connection."""
    server.faults = Faults(setup_delay=5.0)
    async with plain(server) as connection:
        await connection.send(json.dumps(SETUP))
        await connection.send('{"realtimeInput":{"audioStreamEnd":true}}')
        assert await closing(connection) == (1007, INVALID)


@pytest.mark.parametrize(
    "frame", ["not json", "[1]", '{"realtimeInput":{"noise":1}}', '{"novelty":{}}']
)
async def test_what_is_not_in_the_protocol_is_refused(
    server: GeminiServer, frame: str
) -> None:
    """Broken JSON and unknown fields close the connection."""
    async with plain(server) as connection:
        await answer(connection, SETUP)
        await connection.send(frame)
        code, reason = await closing(connection)

    assert code == 1007
    assert (reason or "").startswith("Invalid JSON payload received.")
    assert len(server.log.received("invalid")) == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH.format("v1"), [("x-goog-api-key", API_KEY)]),
        ("/" + PATH.format("v1alpha"), [("x-goog-api-key", API_KEY)]),
        ("/some/proxy" + PATH.format("v1beta"), [("x-goog-api-key", API_KEY)]),
        (PATH.format("v1beta") + f"?key={API_KEY}", []),
        (
            PATH.format("v1beta") + "Constrained",
            [("Authorization", f"Token {API_KEY}")],
        ),
        (
            "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
            [("Authorization", f"Bearer {API_KEY}")],
        ),
    ],
)
async def test_every_address_and_kind_of_key_is_known(
    server: GeminiServer, path: str, headers: list[tuple[str, str]]
) -> None:
    """Versions, prefixes, a double slash, and the key in header or query."""
    async with plain(server, path, headers=headers) as connection:
        assert await answer(connection, SETUP) == {"setupComplete": {}}


async def test_another_address_is_404(server: GeminiServer) -> None:
    """The handshake is refused."""
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        async with plain(server, "/ws/elsewhere"):
            pass

    assert caught.value.response.status_code == 404


async def test_snake_case_and_camel_case_are_the_same(server: GeminiServer) -> None:
    """At every level, and base64 of both alphabets."""
    setup = {
        "setup": {
            "model": f"models/{WRITER}",
            "generation_config": {"response_modalities": ["TEXT"]},
            "inputAudioTranscription": {"language_codes": ["en"]},
            "realtime_input_config": {
                "automaticActivityDetection": {"silence_duration_ms": 300}
            },
        }
    }
    async with plain(server) as connection:
        await answer(connection, setup)
        for key, data in (("mimeType", "-__-AD-_"), ("mime_type", "+//+AD+/")):
            audio = {"data": data, key: "audio/pcm;rate=16000"}
            await connection.send(json.dumps({"realtime_input": {"audio": audio}}))
        message = {"clientContent": {"turns": [], "turn_complete": True}}
        await answer(connection, message)

    assert [r.size for r in server.log.received("audio")] == [6, 6]


async def test_agents_take_what_transcribers_do_not(server: GeminiServer) -> None:
    """Instructions, tools, voice and temperature are fine for them."""
    async with session(
        server,
        SPEAKER,
        system_instruction="Be brief.",
        tools=[types.Tool(google_search=types.GoogleSearch())],
        speech_config=types.SpeechConfig(language_code="en-US"),
        temperature=0.5,
        media_resolution=types.MediaResolution.MEDIA_RESOLUTION_LOW,
    ) as opened:
        await opened.send_realtime_input(text="hello")
        await until(opened, turned)
