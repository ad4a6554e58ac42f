"""A bare client for the OpenAI-like test servers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.servers.openai import KEY, OpenAiServer
from tests.servers.programme import RATE

TIMEOUT = 20.0
"""Bound of every wait."""

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FAILED = "conversation.item.input_audio_transcription.failed"
COMMIT = {"type": "input_audio_buffer.commit"}


class Client:
    """A client that keeps what the server said."""

    def __init__(self, socket: ClientConnection, rate: int) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self._rate = rate

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def speak(self, pcm: bytes) -> None:
        """Send 16 kHz audio, a tenth of a second at once."""
        data = resampled(pcm, self._rate)
        size = self._rate // 10 * 2
        for at in range(0, len(data), size):
            audio = base64.b64encode(data[at : at + size]).decode()
            await self.send(type="input_audio_buffer.append", audio=audio)

    async def speak_on(self, pcm: bytes) -> None:
        """Send audio again and again."""
        while True:
            await self.speak(pcm)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT):
            event: dict[str, Any] = json.loads(await self.socket.recv())
        self.heard.append(event)
        return event

    async def until(self, kind: str, *, count: int = 1) -> dict[str, Any]:
        """Read until the last of so many events of a type."""
        while True:
            event = await self.next()
            if event["type"] == kind:
                count -= 1
                if not count:
                    return event

    async def update(self, model: str, **settings: Any) -> dict[str, Any]:
        """Configure a session of OpenAI's and return the answer."""
        changes = {"transcription": {"model": model}, **settings}
        session = {"type": "transcription", "audio": {"input": changes}}
        await self.send(type="session.update", event_id="e1", session=session)
        return await self.next()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.heard if event["type"] == kind]


def resampled(pcm: bytes, rate: int) -> bytes:
    """Return 16 kHz audio at another rate."""
    if rate == RATE:
        return pcm
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    samples = np.frombuffer(pcm, dtype=np.int16).reshape(1, -1)
    frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = RATE
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(each.to_ndarray().tobytes() for each in frames)


def words(events: Iterable[dict[str, Any]]) -> str:
    """Return the text of transcripts."""
    return " ".join(event["transcript"] for event in events if event["transcript"])


@asynccontextmanager
async def talk(
    server: OpenAiServer, query: str = "?intent=transcription", *, rate: int = 24_000
) -> AsyncIterator[Client]:
    """Connect to a server and read its first event."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with connect(
        server.url + query,
        additional_headers=headers,
        compression=None,
        max_size=None,
        # A client that doesn't read everything must be able to close.
        max_queue=None,
    ) as socket:
        client = Client(socket, rate)
        await client.next()
        yield client


async def refused(url: str, key: str) -> int:
    """Return the status with which a handshake is refused."""
    headers = {"Authorization": f"Bearer {key}"}
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, additional_headers=headers)
    return caught.value.response.status_code
