"""The unmodified google-genai client, pointed at a test server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

from google import genai
from google.genai import types
from google.genai.live import AsyncSession

from tests.servers.gemini import API_KEY, GeminiServer

TRANSCRIBER = "gemini-3.5-transcribe-live"
SPEAKER = "gemini-3.8-live"
WRITER = "gemini-2.0-flash-live-001"

Message = types.LiveServerMessage

CHUNK = 3200
"""Bytes of a tenth of a second."""


def client(
    server: GeminiServer, *, key: str = API_KEY, **arguments: Any
) -> genai.Client:
    """Return a client of a server; arguments are those of its websockets."""
    options = {"proxy": None, "compression": None, "ping_interval": None}
    return genai.Client(
        api_key=key,
        http_options=types.HttpOptions(
            base_url=server.url,
            api_version="v1beta",
            async_client_args={
                "ssl": server.client_ssl,
                "close_timeout": 1,
                **options,
                **arguments,
            },
        ),
    )


@contextlib.asynccontextmanager
async def session(
    server: GeminiServer,
    model: str = TRANSCRIBER,
    *,
    key: str = API_KEY,
    arguments: dict[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[AsyncSession]:
    """Open a session; the other arguments are fields of its configuration."""
    config.setdefault("response_modalities", ["AUDIO" if model == SPEAKER else "TEXT"])
    config.setdefault("input_audio_transcription", types.AudioTranscriptionConfig())
    live = client(server, key=key, **arguments or {}).aio.live
    async with live.connect(
        model=model, config=types.LiveConnectConfig(**config)
    ) as opened:
        yield opened


def detection(**fields: Any) -> types.RealtimeInputConfig:
    """Return the configuration of the server's activity detection."""
    return types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(**fields)
    )


async def send(opened: AsyncSession, pcm: bytes, *, rate: int = 16_000) -> None:
    """Send audio in chunks, as fast as it goes."""
    for start in range(0, len(pcm), CHUNK):
        await opened.send_realtime_input(
            audio=types.Blob(
                data=pcm[start : start + CHUNK], mime_type=f"audio/pcm;rate={rate}"
            )
        )


async def until(
    opened: AsyncSession, wanted: Callable[[Message], object], *, count: int = 1
) -> list[Message]:
    """Receive until so many messages were wanted ones; return all of them."""
    messages: list[Message] = []
    async with asyncio.timeout(20):
        while True:
            # It is a generator; left half-way it must be closed.
            generator = cast(AsyncGenerator[Message, None], opened.receive())
            async with contextlib.aclosing(generator) as received:
                async for message in received:
                    messages.append(message)
                    count -= bool(wanted(message))
                    if count == 0:
                        return messages


def content(message: Message) -> types.LiveServerContent:
    """Return what a message says, if anything."""
    return message.server_content or types.LiveServerContent()


def final(message: Message) -> str:
    """Return the text of a final, else nothing."""
    transcription = content(message).input_transcription
    return (transcription.text if transcription else None) or ""


def interim(message: Message) -> str:
    """Return the text of an interim, else nothing."""
    transcription = content(message).interim_input_transcription
    return (transcription.text if transcription else None) or ""


def written(message: Message) -> str:
    """Return the text of a part of an answer, else nothing."""
    turn = content(message).model_turn
    return "".join(part.text or "" for part in (turn.parts or [])) if turn else ""


def activity(message: Message) -> str:
    """Return START or END, else nothing."""
    voice = message.voice_activity
    if voice is None or voice.voice_activity_type is None:
        return ""
    return voice.voice_activity_type.value.removeprefix("ACTIVITY_")


def completed(message: Message) -> bool:
    """Return whether an utterance or answer is complete."""
    return bool(content(message).generation_complete)


def turned(message: Message) -> bool:
    """Return whether a turn is complete."""
    return bool(content(message).turn_complete)


def words(text: str) -> list[str]:
    """Return the words of a text as the programme has them."""
    return text.lower().replace(".", "").split()
