"""
vLLM's realtime endpoint, which shares little with OpenAI's but its names.

A commit starts a generation; audio is queued for it, and a final commit ends the
queue. One generation runs at a time: a commit while one runs is ignored, and what came
between the final commit and the end of the generation is thrown away with the queue.
A final commit without a generation ends the next one at once. The model is named by a
session update that isn't acknowledged, and must come first.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping
from typing import Any

from tests.servers.openai_hearing import Hearing, PeerSetup

RATE = 16_000

MAX_QUEUED = 100_000


def refuse(authorization: str | None, key: str) -> int | None:
    """Return the HTTP status with which a handshake is refused, if it is."""
    return 401 if key and authorization != f"Bearer {key}" else None


class VllmPeer:
    """
    The server's side of one connection.

    Args:
        setup: Of the connection.

    """

    def __init__(self, setup: PeerSetup) -> None:
        self._setup = setup
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED)
        self._generation: asyncio.Task[None] | None = None
        self._validated = False
        self._bytes = 0

    @property
    def seconds(self) -> float:
        """Return how much audio came."""
        return self._bytes / (2 * RATE)

    async def open(self) -> bool:
        """Begin; return whether there is a session."""
        await self._send("session.created", id="sess-0001", created=int(time.time()))
        return True

    async def receive(self, message: Mapping[str, Any]) -> None:
        """Take a message from the client."""
        kind = message.get("type")
        if kind == "session.update":
            if "model" not in message:
                await self._error("'model'", "processing_error")
                return
            self._validated = True
        elif kind == "input_audio_buffer.append":
            await self._append(message.get("audio"))
        elif kind == "input_audio_buffer.commit":
            await self._commit(final=message.get("final") is True)
        else:
            await self._error(f"Unknown event type: {kind}", "unknown_event")

    async def _append(self, audio: object) -> None:
        try:
            pcm = base64.b64decode(str(audio), validate=True)
        except binascii.Error:
            pcm = b""
        if not pcm or len(pcm) % 2:
            await self._error("Invalid audio data", "invalid_audio")
            return
        self._bytes += len(pcm)
        self._queue.put_nowait(pcm)

    async def _commit(self, *, final: bool) -> None:
        if not self._validated:
            await self._error(
                "Model not validated. Make sure to validate the model by sending a "
                "session.update event.",
                "model_not_validated",
            )
        elif final:
            self._queue.put_nowait(None)
        elif self._generation is None or self._generation.done():
            self._generation = self._setup.tasks.create_task(self._generate())

    async def _generate(self) -> None:
        hearing = Hearing(self._setup.programme, rate=RATE)
        tokens = 0
        while (pcm := await self._queue.get()) is not None:
            # Each step tells a piece, most of the time an empty one.
            piece = "".join(f" {word}" for word in await hearing.feed(pcm))
            tokens += 1
            await self._send("transcription.delta", delta=piece)
        await hearing.finish()
        text = "".join(f" {word}" for word in hearing.words)
        await asyncio.sleep(self._setup.latency)
        faults = self._setup.faults
        if faults.take("fail_items"):
            await self._error("The engine died.", "processing_error")
            return
        if not faults.take("never_completed"):
            usage = {
                "prompt_tokens": 39,
                "completion_tokens": tokens,
                "total_tokens": 39 + tokens,
            }
            for _ in range(2 if faults.take("completed_twice") else 1):
                await self._send("transcription.done", text=text, usage=usage)
        while not self._queue.empty():
            self._queue.get_nowait()

    async def _error(self, message: str, code: str) -> None:
        await self._send("error", error=message, code=code)

    async def _send(self, kind: str, **fields: object) -> None:
        await self._setup.send({"type": kind, **fields})
