"""Tests of what the OpenAI-like test servers do wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.servers.openai import KEY, Faults, OpenAiServer
from tests.servers.openai_client import (
    COMMIT,
    COMPLETED,
    FAILED,
    refused,
    talk,
)
from tests.servers.programme import Programme


@pytest.fixture(scope="module")
def programme() -> Programme:
    """The packaged reading."""
    return Programme.packaged()


@pytest.fixture
async def openai(programme: Programme) -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer(programme, dialect="openai") as server:
        yield server


class TestFaults:
    """What goes wrong when it is told to."""

    async def test_status(self, openai: OpenAiServer) -> None:
        """The handshake is refused, one time if once."""
        openai.faults = Faults(http_status=503, once=True)
        url = openai.url + "?intent=transcription"

        assert await refused(url, KEY) == 503
        async with talk(openai) as client:
            assert client.heard[0]["type"] == "session.created"

    async def test_first_error(self, openai: OpenAiServer) -> None:
        """An error comes in place of the session."""
        openai.faults = Faults(first_error="invalid_api_key")
        async with talk(openai) as client:
            assert client.heard[0]["error"]["code"] == "invalid_api_key"

    async def test_disturbances(
        self, openai: OpenAiServer, programme: Programme
    ) -> None:
        """All kinds of messages come in between."""
        openai.faults = Faults(
            unknown_events=True, huge_event=True, error="server_error", after=0.5
        )
        async with talk(openai) as client:
            await client.speak(programme.between(0, 1))
            error = await client.until("error")

        assert error["error"]["type"] == "server_error"
        assert len(client.of("tada")) == 2
        assert max(len(json.dumps(event)) for event in client.heard) > 1 << 20

    async def test_garbage(self, openai: OpenAiServer, programme: Programme) -> None:
        """Neither JSON nor text."""
        openai.faults = Faults(invalid_json=True, binary_frame=True)
        async with talk(openai) as client:
            await client.speak(programme.between(0, 0.1))
            async with asyncio.timeout(20):
                received = [await client.socket.recv() for _ in range(4)]

        assert received[0] == '{"type": '
        assert isinstance(received[3], bytes)

    @pytest.mark.parametrize(
        ("faults", "code"),
        [
            (Faults(close=(4000, "enough"), after=0.5), 4000),
            (Faults(reset=True, after=0.5), None),
        ],
    )
    async def test_ends(
        self,
        openai: OpenAiServer,
        programme: Programme,
        faults: Faults,
        code: int | None,
    ) -> None:
        """The connection ends after so much audio, and may be had again."""
        openai.faults = faults
        async with talk(openai) as client:
            with pytest.raises(ConnectionClosed) as caught:
                await client.speak_on(programme.between(0, 1))
        openai.faults = Faults()
        async with talk(openai):
            pass

        assert (caught.value.rcvd and caught.value.rcvd.code) == code

    @pytest.mark.parametrize(
        ("faults", "kinds"),
        [
            (Faults(completed_twice=True, once=True), [COMPLETED] * 3),
            (Faults(fail_items=True, once=True), [FAILED, COMPLETED]),
            (Faults(never_completed=True, once=True), [COMPLETED]),
            (Faults(out_of_order=True, once=True), [COMPLETED] * 2),
        ],
    )
    async def test_items(
        self,
        openai: OpenAiServer,
        programme: Programme,
        faults: Faults,
        kinds: list[str],
    ) -> None:
        """Transcripts come twice, not, as failures, or in another order."""
        openai.faults = faults
        async with talk(openai) as client:
            await client.update("gpt-transcribe", turn_detection=None)
            for start, end in ((0, 4.8), (4.8, 8.5)):
                await client.speak(programme.between(start, end))
                await client.send(**COMMIT)
            ends: list[dict[str, Any]] = []
            while len(ends) < len(kinds):
                event = await client.next()
                if event["type"] in (COMPLETED, FAILED):
                    ends.append(event)

        assert [event["type"] for event in ends] == kinds
        order = [event["item_id"] for event in ends]
        assert (order == sorted(order)) is not faults.out_of_order

    async def test_log_has_no_audio(
        self, openai: OpenAiServer, programme: Programme
    ) -> None:
        """The log keeps messages, and of audio its length."""
        async with talk(openai) as client:
            await client.update("whisper-1")
            await client.speak(programme.between(0, 0.2))
            await client.send(**COMMIT)
            await client.until("input_audio_buffer.committed")

        appended = openai.messages("input_audio_buffer.append")
        assert sum(each["audio_bytes"] for each in appended) == 9600
        assert all("audio" not in each for each in appended)
        assert openai.handshakes[0].query == {"intent": "transcription"}
        assert openai.seconds == pytest.approx(0.2)
