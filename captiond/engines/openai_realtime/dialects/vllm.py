"""
The dialect of vLLM's realtime endpoint.

A commit starts a generation, a final commit ends its audio, and its text comes when it
has worked that off. There is one generation at a time and no name for it: a commit
while one runs is ignored, and what is sent between the final commit and the text is
thrown away. So a generation is an utterance, it is started with the first audio, and
no audio is sent while one is being finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from captiond.engines.openai_realtime.dialects import Malformed, Message, fields
from captiond.engines.openai_realtime.dialects.said import (
    Committed,
    Completed,
    Created,
    Interim,
    Said,
    Trouble,
)
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions
from captiond.media.chunk import SAMPLE_RATE

_COMMIT: Message = {"type": "input_audio_buffer.commit"}

_HARMLESS = ("unknown_event", "invalid_json", "invalid_audio")
"""Codes of complaints that leave the generation as it is."""


class VllmDialect:
    """
    One session's messages, as :class:`..Dialect` says.

    Args:
        options: Of the engine.

    """

    rate = SAMPLE_RATE
    query: Mapping[str, str] = {}
    acknowledges = False

    def __init__(self, options: OpenAiRealtimeOptions) -> None:
        self._model = options.model
        self._generation = 0
        self._running = False
        self._finishing = False

    @property
    def ready(self) -> bool:
        """Whether no generation is being finished."""
        return not self._finishing

    def configure(self, vocabulary: Sequence[str]) -> list[Message]:
        """Return what sets the session up."""
        return [{"type": "session.update", "model": self._model}]

    def audio(self, pcm: bytes) -> list[Message]:
        """Return what sends audio, and starts a generation for it if none runs."""
        messages: list[Message] = []
        if not self._running:
            self._running = True
            self._generation += 1
            messages.append(_COMMIT)
        return [*messages, fields.append(pcm)]

    def commit(self, name: str) -> list[Message]:
        """Return what ends the generation's audio."""
        if not self._running or self._finishing:
            # A final commit without a generation would end the next one at once.
            return []
        self._finishing = True
        return [{**_COMMIT, "final": True}]

    def clear(self) -> None:
        """Nothing makes it forget audio."""

    def decode(self, message: Mapping[str, Any]) -> list[Said]:
        """Return what a message says."""
        match message.get("type"):
            case "session.created":
                return [Created()]
            case "transcription.delta":
                text = fields.text(message, "delta")
                return [Interim(item=self._item, text=text, adds=True)] if text else []
            case "transcription.done":
                return self._done(message)
            case "error":
                return [_trouble(message)]
            case str():
                return []
            case _:
                raise Malformed("a message without a type")

    @property
    def _item(self) -> str:
        return f"generation {self._generation}"

    def _done(self, message: Mapping[str, Any]) -> list[Said]:
        if not self._running:
            return []  # twice
        if not self._finishing:
            # What it hadn't worked off is lost with its queue: another session must
            # hear it again.
            return [
                Trouble(
                    code="ended_early",
                    message="the generation ended before its audio did",
                    fatal=True,
                    retryable=True,
                )
            ]
        self._running = self._finishing = False
        usage = message.get("usage")
        return [
            Committed(item=self._item, previous=None),
            Completed(
                item=self._item,
                text=fields.text(message, "text"),
                input_tokens=fields.count(usage, "prompt_tokens"),
                output_tokens=fields.count(usage, "completion_tokens"),
            ),
        ]


def _trouble(message: Mapping[str, Any]) -> Trouble:
    code = str(message.get("code") or "unknown")[: fields.MAX_ID]
    return Trouble(
        code=code,
        message=f"{message.get('error') or 'no message'} ({code})",
        fatal=code not in _HARMLESS,
        retryable=code != "model_not_validated",
    )
