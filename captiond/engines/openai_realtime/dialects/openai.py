"""
The dialect of OpenAI's own service.

A session is made a transcription session by the address and its first configuration;
the model is named there and never in the address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from captiond.engines.openai_realtime.dialects import Message, events, fields
from captiond.engines.openai_realtime.dialects.said import Said
from captiond.engines.openai_realtime.models import detects_turns, transcription_of
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions

RATE = 24_000

PREFIX_MS = 300
"""Audio before speech that the server adds to it."""


class OpenAiDialect:
    """
    One session's messages, as :class:`..Dialect` says.

    Args:
        options: Of the engine.

    """

    rate = RATE
    query: Mapping[str, str] = {"intent": "transcription"}
    acknowledges = True
    ready = True

    def __init__(self, options: OpenAiRealtimeOptions) -> None:
        self._options = options
        self._sent: dict[str, Any] = {}
        """Settings of the transcription that the server has."""

    def configure(self, vocabulary: Sequence[str]) -> list[Message]:
        """Return what sets the session up, or changes the words to expect."""
        transcription = transcription_of(self._options, vocabulary)
        settings: dict[str, Any] = {"transcription": transcription}
        if not self._sent:
            settings |= self._once()
        # Who knows whether what isn't named is forgotten: it is taken back by name.
        for name, nothing in (("keywords", []), ("prompt", "")):
            if name in self._sent:
                transcription.setdefault(name, nothing)
        self._sent = transcription
        session = {"type": "transcription", "audio": {"input": settings}}
        return [{"type": "session.update", "event_id": "configure", "session": session}]

    def audio(self, pcm: bytes) -> list[Message]:
        """Return what sends audio."""
        return [fields.append(pcm)]

    def commit(self, name: str) -> list[Message]:
        """Return what ends the utterance."""
        return [{"type": "input_audio_buffer.commit", "event_id": name}]

    def clear(self) -> list[Message]:
        """Return what makes the server forget the buffer."""
        return [{"type": "input_audio_buffer.clear"}]

    def decode(self, message: Mapping[str, Any]) -> list[Said]:
        """Return what a message says."""
        return events.decode(message)

    def _once(self) -> dict[str, Any]:
        reduction = self._options.noise_reduction
        detection = {
            "type": "server_vad",
            "prefix_padding_ms": PREFIX_MS,
            "silence_duration_ms": self._options.silence_ms,
        }
        return {
            "format": {"type": "audio/pcm", "rate": RATE},
            "noise_reduction": {"type": reduction} if reduction else None,
            "turn_detection": detection if detects_turns(self._options) else None,
        }
