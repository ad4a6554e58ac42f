"""The events that OpenAI's protocol has had from the start, in both schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from captiond.engines.openai_realtime.dialects import Malformed, fields
from captiond.engines.openai_realtime.dialects.said import (
    Committed,
    Completed,
    Created,
    Failed,
    Interim,
    Said,
    SpeechBegan,
    SpeechStopped,
    Trouble,
    Updated,
)

_TRANSCRIPTION = "conversation.item.input_audio_transcription."

_HOPELESS = (
    "invalid_api_key",
    "insufficient_quota",
    "rate_limit_exceeded",
    "model_not_found",
)
"""Codes after which a session is of no use."""


def decode(message: Mapping[str, Any]) -> list[Said]:
    """
    Return what a message says; nothing if its type is none of these.

    Raises:
        Malformed: If it can't be understood.

    """
    kind = message.get("type")
    if not isinstance(kind, str):
        raise Malformed("a message without a type")
    if kind.startswith(_TRANSCRIPTION):
        return _transcription(kind.removeprefix(_TRANSCRIPTION), message)
    match kind:
        case "session.created" | "transcription_session.created":
            return [Created()]
        case "session.updated" | "transcription_session.updated":
            return [Updated()]
        case "input_audio_buffer.speech_started":
            offset = fields.milliseconds(message, "audio_start_ms")
            return [SpeechBegan(item=fields.item(message), offset=offset)]
        case "input_audio_buffer.speech_stopped":
            offset = fields.milliseconds(message, "audio_end_ms")
            return [SpeechStopped(item=fields.item(message), offset=offset)]
        case "input_audio_buffer.committed":
            previous = fields.optional_item(message, "previous_item_id")
            return [Committed(item=fields.item(message), previous=previous)]
        case "error":
            return [_trouble(message.get("error"))]
        case _:
            return []


def _transcription(kind: str, message: Mapping[str, Any]) -> list[Said]:
    match kind:
        case "delta":
            text = fields.text(message, "delta")
            return [Interim(item=fields.item(message), text=text, adds=True)]
        case "completed":
            usage = message.get("usage")
            return [
                Completed(
                    item=fields.item(message),
                    text=fields.text(message, "transcript"),
                    language=_language(message.get("languages")),
                    input_tokens=fields.count(usage, "input_tokens"),
                    output_tokens=fields.count(usage, "output_tokens"),
                    audio_seconds=fields.seconds(usage, "seconds"),
                )
            ]
        case "failed":
            trouble = _trouble(message.get("error"))
            return [Failed(item=fields.item(message), reason=trouble.message)]
        case _:
            return []


def _language(languages: object) -> str | None:
    """Return the language of a transcript, if the model is sure of one."""
    if not isinstance(languages, list) or len(languages) != 1:
        return None
    code = languages[0]
    if isinstance(code, Mapping):
        code = code.get("code")
    return code if isinstance(code, str) and 0 < len(code) <= 35 else None


def _trouble(error: object) -> Trouble:
    told = error if isinstance(error, Mapping) else {}
    code = str(told.get("code") or told.get("type") or "unknown")[: fields.MAX_ID]
    about = told.get("event_id")
    expired = code == "session_expired"
    return Trouble(
        code=code,
        message=f"{told.get('message') or 'no message'} ({code})",
        fatal=expired or code in _HOPELESS,
        retryable=expired or told.get("type") == "server_error",
        about=about if isinstance(about, str) else None,
    )
