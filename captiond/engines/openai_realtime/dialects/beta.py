"""
The dialect of servers that grew up with the first schema: speaches and LocalAI.

They take the model in the address. speaches reads the flat schema, LocalAI has moved
to the nested one, and each ignores the other's fields: so the configuration is written
in both. Neither counts the milliseconds of speech from the start of the session, and
LocalAI gives a transcript another item than the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from captiond.engines.openai_realtime.dialects import Message, events, fields
from captiond.engines.openai_realtime.dialects.said import (
    Committed,
    Interim,
    Said,
    SpeechBegan,
    SpeechStopped,
)
from captiond.engines.openai_realtime.models import (
    detects_turns,
    keywords,
    with_words,
)
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions

RATE = 24_000


class BetaDialect:
    """
    One session's messages, as :class:`..Dialect` says.

    Args:
        options: Of the engine.

    """

    rate = RATE
    acknowledges = True
    ready = True

    def __init__(self, options: OpenAiRealtimeOptions) -> None:
        self._options = options
        language = {"language": options.language} if options.language else {}
        self.query: Mapping[str, str] = {
            "model": options.model,
            "intent": "transcription",
            **language,
        }

    def configure(self, vocabulary: Sequence[str]) -> list[Message]:
        """Return what sets the session up."""
        settings: dict[str, Any] = {}
        if self._options.language:
            settings["language"] = self._options.language
        words = keywords([*self._options.vocabulary, *vocabulary])
        if prompt := with_words(self._options.prompt, words):
            settings["prompt"] = prompt
        detection = None
        if detects_turns(self._options):
            silence = self._options.silence_ms
            detection = {"type": "server_vad", "silence_duration_ms": silence}
        session = {
            "input_audio_transcription": {"model": self._options.model, **settings},
            "turn_detection": detection,
            # LocalAI has the model from the address: naming it again loads it again.
            "type": "transcription",
            "audio": {
                "input": {"transcription": settings, "turn_detection": detection}
            },
        }
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
        if message.get("type") == "input_audio_buffer.partial_transcription":
            text = fields.text(message, "transcript")
            return [Interim(item=fields.item(message), text=text, adds=False)]
        if message.get("type") in _UNNAMED and not message.get("item_id"):
            message = {**message, "item_id": "unnamed"}
        return [_distrust(each) for each in events.decode(message)]


_UNNAMED = ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped")
"""Events that LocalAI doesn't say an item in."""


def _distrust(said: Said) -> Said:
    match said:
        case SpeechBegan(item=item):
            return SpeechBegan(item=item, offset=None)
        case SpeechStopped(item=item):
            return SpeechStopped(item=item, offset=None)
        case Committed(item=item):
            return Committed(item=item, previous=None)
        case _:
            return said
