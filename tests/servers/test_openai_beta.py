"""Tests of the test server for the first schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

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


@pytest.fixture(scope="module")
def programme() -> Programme:
    """The packaged reading."""
    return Programme.packaged()


@pytest.fixture
async def beta(programme: Programme) -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer(programme, dialect="openai-beta", key="") as server:
        yield server


class TestBeta:
    """The first schema, as speaches serves it."""

    QUERY = "?model=whisper&intent=transcription&language=en"

    async def test_session(self, beta: OpenAiServer) -> None:
        """Model and language come from the address, and no key is needed."""
        async with talk(beta, self.QUERY) as client:
            session = client.heard[0]["session"]

        assert session["input_audio_transcription"] == {
            "model": "whisper",
            "language": "en",
        }
        assert session["turn_detection"]["create_response"] is False

    async def test_no_model(self, beta: OpenAiServer) -> None:
        """Without a model there is no connection."""
        assert await refused(beta.url + "?intent=transcription", KEY) == 403

    async def test_every_word(self, beta: OpenAiServer, programme: Programme) -> None:
        """Only transcripts come, and they have all the words."""
        async with talk(beta, self.QUERY) as client:
            await client.speak(programme.pcm + bytes(2 * RATE))
            await client.send(**COMMIT)
            last = programme.words[-1].text
            while not words(client.of(COMPLETED)).endswith(last):
                await client.next()

        assert words(client.of(COMPLETED)) == programme.text
        assert client.of(DELTA) == []

    async def test_times_count_from_the_buffer(
        self, beta: OpenAiServer, programme: Programme
    ) -> None:
        """They are not the session's."""
        async with talk(beta, self.QUERY) as client:
            await client.speak(programme.between(0, 20))
            await client.until("input_audio_buffer.speech_stopped", count=3)

        for stop in client.of("input_audio_buffer.speech_stopped"):
            assert stop["audio_end_ms"] < 10_000

    async def test_turn_detection_off(
        self, beta: OpenAiServer, programme: Programme
    ) -> None:
        """Then the client commits."""
        async with talk(beta, self.QUERY) as client:
            await client.send(type="session.update", session={"turn_detection": None})
            updated = await client.next()
            await client.speak(programme.between(0, 4.8))
            await client.send(**COMMIT)
            completed = await client.until(COMPLETED)

        assert updated["session"]["turn_detection"] is None
        assert completed["transcript"].endswith("worst of times")
        assert client.of("input_audio_buffer.speech_started") == []

    async def test_rejected_fields(self, beta: OpenAiServer) -> None:
        """They get an error each, and the other ones are taken."""
        async with talk(beta, self.QUERY) as client:
            session = {
                "input_audio_format": "pcm16",
                "turn_detection": {"prefix_padding_ms": 1, "silence_duration_ms": 700},
            }
            await client.send(type="session.update", session=session)
            updated = await client.until("session.updated")

        assert len(client.of("error")) == 2
        assert updated["session"]["turn_detection"]["silence_duration_ms"] == 700
        assert updated["session"]["turn_detection"]["prefix_padding_ms"] == 300

    @pytest.mark.parametrize(
        "message",
        [
            {"type": "transcription_session.update", "session": {}},
            {"type": "session.update"},
            COMMIT,
        ],
    )
    async def test_errors(self, beta: OpenAiServer, message: dict[str, Any]) -> None:
        """They have no code."""
        async with talk(beta, self.QUERY) as client:
            await client.send(**message)
            event = await client.next()

        assert event["type"] == "error"
        assert event["error"]["code"] is None

    async def test_partials(self, programme: Programme) -> None:
        """Later releases tell what they believe."""
        async with (
            OpenAiServer(
                programme, dialect="openai-beta", key="", partials=True
            ) as server,
            talk(server, self.QUERY) as client,
        ):
            await client.speak(programme.between(0, 4))
            kind = "input_audio_buffer.partial_transcription"
            partial = await client.until(kind, count=5)

        assert partial["transcript"].startswith("it was the")
