"""Tests of the test server for OpenAI's own dialect."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.servers.openai import KEY, OpenAiServer
from tests.servers.openai_client import (
    COMMIT,
    COMPLETED,
    DELTA,
    refused,
    talk,
    words,
)
from tests.servers.programme import RATE, Programme
from tests.servers.tls import Certificate


@pytest.fixture(scope="module")
def programme() -> Programme:
    """The packaged reading."""
    return Programme.packaged()


@pytest.fixture
async def openai(programme: Programme) -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer(programme, dialect="openai") as server:
        yield server


class TestOpenAi:
    """The dialect of the service itself."""

    async def test_streaming_model(
        self, openai: OpenAiServer, programme: Programme
    ) -> None:
        """Deltas come while there is speech, and the transcript after the commit."""
        async with talk(openai) as client:
            assert client.heard[0]["session"]["type"] == "transcription"
            updated = await client.update("gpt-live-transcribe", turn_detection=None)
            await client.speak(programme.between(0, 5))
            await client.until(DELTA, count=8)
            await client.send(**COMMIT)
            completed = await client.until(COMPLETED)

        assert updated["session"]["audio"]["input"]["turn_detection"] is None
        assert completed["transcript"] == "".join(d["delta"] for d in client.of(DELTA))
        assert completed["transcript"].startswith("it was the best of times")
        committed = client.of("input_audio_buffer.committed")
        assert [each["item_id"] for each in committed] == [completed["item_id"]]

    async def test_turns_of_the_server(
        self, openai: OpenAiServer, programme: Programme
    ) -> None:
        """Speech and items are told with their times, and where each follows."""
        async with talk(openai) as client:
            await client.update("gpt-4o-transcribe")
            await client.speak(programme.pcm + bytes(2 * RATE))
            await client.until("input_audio_buffer.committed", count=3)
            await client.until(COMPLETED)
            items = [e["item_id"] for e in client.of("input_audio_buffer.committed")]
            previous = [
                event["previous_item_id"]
                for event in client.of("input_audio_buffer.committed")
            ]
            starts = client.of("input_audio_buffer.speech_started")
            stops = client.of("input_audio_buffer.speech_stopped")

        assert previous == [None, *items[:-1]]
        assert [event["item_id"] for event in stops] == items
        for start, stop in zip(starts, stops, strict=False):
            assert 0 <= start["audio_start_ms"] < stop["audio_end_ms"] <= 45_000

    async def test_every_word(self, openai: OpenAiServer, programme: Programme) -> None:
        """All the audio makes all the words, whoever ends the items."""
        async with talk(openai) as client:
            await client.update("gpt-4o-transcribe")
            await client.speak(programme.pcm + bytes(2 * RATE))
            await client.send(**COMMIT)
            last = programme.words[-1].text
            while not client.of(COMPLETED) or not words(client.of(COMPLETED)).endswith(
                last
            ):
                await client.next()

        assert words(client.of(COMPLETED)) == programme.text

    @pytest.mark.parametrize(
        ("model", "settings", "code", "param"),
        [
            ("gpt-5-hears", {}, "model_not_found", "transcription.model"),
            (
                "gpt-live-transcribe",
                {"turn_detection": {"type": "server_vad"}},
                "invalid_value",
                "turn_detection",
            ),
            ("whisper-1", {"language": "en"}, "unknown_parameter", "language"),
            (
                "whisper-1",
                {"format": {"type": "audio/pcm", "rate": 16_000}},
                "invalid_value",
                "format.rate",
            ),
            (
                "whisper-1",
                {"noise_reduction": {"type": "loud"}},
                "invalid_value",
                "noise_reduction.type",
            ),
        ],
    )
    async def test_rejected_settings(
        self,
        openai: OpenAiServer,
        model: str,
        settings: dict[str, Any],
        code: str,
        param: str,
    ) -> None:
        """An error says what isn't allowed, and the session stays."""
        async with talk(openai) as client:
            error = (await client.update(model, **settings))["error"]
            again = await client.update("whisper-1")

        assert error["type"] == "invalid_request_error"
        assert error["code"] == code
        assert error["param"] == f"session.audio.input.{param}"
        assert error["event_id"] == "e1"
        assert again["type"] == "session.updated"

    @pytest.mark.parametrize(
        ("model", "field", "value"),
        [
            ("gpt-live-transcribe", "language", "en"),
            ("whisper-1", "languages", ["en"]),
            ("whisper-1", "keywords", ["Dickens"]),
            ("gpt-transcribe", "keywords", ["<b>"]),
            ("gpt-realtime-whisper", "prompt", "A reading."),
            ("gpt-transcribe", "delay", "low"),
            ("gpt-live-transcribe", "delay", "tiny"),
        ],
    )
    async def test_fields_of_models(
        self, openai: OpenAiServer, model: str, field: str, value: object
    ) -> None:
        """Each model takes its own fields."""
        async with talk(openai) as client:
            changes = {"model": model, field: value}
            answer = await client.update(
                model, transcription=changes, turn_detection=None
            )

        assert answer["type"] == "error"
        assert answer["error"]["param"].endswith(f"transcription.{field}")

    async def test_short_commit(
        self, openai: OpenAiServer, programme: Programme
    ) -> None:
        """Less than a tenth of a second makes no item."""
        async with talk(openai) as client:
            await client.update("gpt-transcribe", turn_detection=None)
            await client.speak(programme.between(2, 2.05))
            await client.send(**COMMIT, event_id="c1")
            error = (await client.until("error"))["error"]

        assert error["code"] == "input_audio_buffer_commit_empty"
        assert error["event_id"] == "c1"

    async def test_clear(self, openai: OpenAiServer, programme: Programme) -> None:
        """What was cleared is in no item."""
        async with talk(openai) as client:
            await client.update("gpt-transcribe", turn_detection=None)
            await client.speak(programme.between(0, 4.8))
            await client.send(type="input_audio_buffer.clear")
            await client.speak(programme.between(4.8, 8.5))
            await client.send(**COMMIT)
            completed = await client.until(COMPLETED)

        assert client.of("input_audio_buffer.cleared")
        assert completed["transcript"].startswith("it was the age of wisdom")

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("?intent=transcription&model=gpt-4o-transcribe", "cannot be used as"),
            ("", "must provide a model"),
        ],
    )
    async def test_model_in_the_address(
        self, openai: OpenAiServer, query: str, message: str
    ) -> None:
        """A transcription model belongs into the session."""
        async with talk(openai, query) as client:
            assert message in client.heard[0]["error"]["message"]
            with pytest.raises(ConnectionClosed):
                await client.next()

    async def test_conversation(self, openai: OpenAiServer) -> None:
        """A session for conversations doesn't become one for transcription."""
        async with talk(openai, "?model=gpt-realtime") as client:
            answer = await client.update("gpt-live-transcribe")

        assert client.heard[0]["session"]["type"] == "realtime"
        assert "not allowed" in answer["error"]["message"]

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ({"type": "input_audio_buffer.append"}, "missing_required_parameter"),
            (
                {"type": "input_audio_buffer.append", "audio": "not base64!"},
                "invalid_value",
            ),
            ({"type": "response.create"}, "invalid_value"),
            ({"type": "session.update"}, "missing_required_parameter"),
            (
                {"type": "session.update", "session": {"type": "realtime"}},
                "invalid_parameter",
            ),
            (
                {
                    "type": "session.update",
                    "session": {"type": "transcription", "audio": {"output": {}}},
                },
                "unknown_parameter",
            ),
        ],
    )
    async def test_other_errors(
        self, openai: OpenAiServer, message: dict[str, Any], code: str
    ) -> None:
        """Whatever can't be understood gets an error event."""
        async with talk(openai) as client:
            await client.send(**message)
            error = (await client.next())["error"]

        assert error["code"] == code

    async def test_key(self, openai: OpenAiServer) -> None:
        """The right key is needed, on the right path."""
        assert await refused(openai.url + "?intent=transcription", "sk-wrong") == 401
        assert await refused(openai.url + "/other", KEY) == 404

    async def test_expiry(self, programme: Programme) -> None:
        """A session that is too old ends with an error and a close code."""
        async with (
            OpenAiServer(programme, session_seconds=0.1) as server,
            talk(server) as client,
        ):
            error = (await client.next())["error"]
            with pytest.raises(ConnectionClosed) as caught:
                await client.next()

        assert error["code"] == "session_expired"
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001

    async def test_tls(self, programme: Programme, tmp_path: Path) -> None:
        """It serves wss too."""
        certificate = Certificate.in_folder(tmp_path)
        tls = certificate.server_context()
        async with OpenAiServer(programme, tls=tls) as server:
            headers = {"Authorization": f"Bearer {KEY}"}
            async with connect(
                server.url + "?intent=transcription",
                additional_headers=headers,
                ssl=certificate.client_context(),
            ) as socket:
                assert json.loads(await socket.recv())["type"] == "session.created"
