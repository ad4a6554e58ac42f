"""Tests of the test server for vLLM's dialect."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.servers.openai import OpenAiServer
from tests.servers.openai_client import (
    COMMIT,
    Client,
    talk,
)
from tests.servers.programme import RATE, Programme


@pytest.fixture(scope="module")
def programme() -> Programme:
    """The packaged reading."""
    return Programme.packaged()


@pytest.fixture
async def vllm(programme: Programme) -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer(programme, dialect="vllm", key="", latency=0.2) as server:
        yield server


class TestVllm:
    """vLLM's endpoint."""

    async def start(self, client: Client) -> None:
        await client.send(type="session.update", model="voxtral")
        await client.send(**COMMIT)

    async def test_every_word(self, vllm: OpenAiServer, programme: Programme) -> None:
        """Pieces come while audio does, and all of it at the end."""
        async with talk(vllm, "", rate=RATE) as client:
            await self.start(client)
            await client.speak(programme.pcm)
            await client.send(**COMMIT, final=True)
            done = await client.until("transcription.done")

        assert done["text"].strip() == programme.text
        pieces = "".join(each["delta"] for each in client.of("transcription.delta"))
        assert done["text"].startswith(pieces)

    async def test_audio_before_the_end_is_told_is_lost(
        self, vllm: OpenAiServer, programme: Programme
    ) -> None:
        """What comes between the final commit and the text is thrown away."""
        async with talk(vllm, "", rate=RATE) as client:
            await self.start(client)
            await client.speak(programme.between(0, 4.8))
            await client.send(**COMMIT, final=True)
            await client.send(**COMMIT)
            await client.speak(programme.between(4.8, 8.5))
            await client.until("transcription.done")
            await client.send(**COMMIT)
            await client.speak(programme.between(8.5, 10.5))
            await client.send(**COMMIT, final=True)
            second = await client.until("transcription.done")

        assert "wisdom" not in second["text"]
        assert second["text"].startswith(" it was the epoch of")

    async def test_final_commit_alone(
        self, vllm: OpenAiServer, programme: Programme
    ) -> None:
        """Without a generation it ends the next one at once."""
        async with talk(vllm, "", rate=RATE) as client:
            await client.send(type="session.update", model="voxtral")
            await client.send(**COMMIT, final=True)
            await client.send(**COMMIT)
            done = await client.until("transcription.done")

        assert done["text"] == ""

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            (COMMIT, "model_not_validated"),
            ({"type": "session.update"}, "processing_error"),
            ({"type": "response.create"}, "unknown_event"),
            ({"type": "input_audio_buffer.append", "audio": ""}, "invalid_audio"),
        ],
    )
    async def test_errors(
        self, vllm: OpenAiServer, message: dict[str, Any], code: str
    ) -> None:
        """An error is a text with a code."""
        async with talk(vllm, "") as client:
            await client.send(**message)
            event = await client.next()

        assert event["type"] == "error"
        assert isinstance(event["error"], str)
        assert event["code"] == code


async def test_process(programme: Programme, tmp_path: Path) -> None:
    """It runs as a process, and ends when it is told to."""
    wav, known = tmp_path / "p.wav", tmp_path / "p.json"
    programme.save(wav, known)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.servers.openai", "--dialect", "vllm"),
        *("--programme", str(wav), "--words", str(known), "--key", ""),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
            async with connect(url) as socket:
                assert json.loads(await socket.recv())["type"] == "session.created"
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
