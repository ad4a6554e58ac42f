"""How inputs and messages are written in the log."""

from __future__ import annotations

from typing import Any

from tests.servers.gemini.inputs import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioStreamEnd,
    ClientContent,
    ContextUpdate,
    Input,
    Text,
    ToolResponse,
    Video,
)
from tests.servers.gemini.wire import Message


def described(said: Input, frame_bytes: int) -> dict[str, Any]:
    """Return the fields of a record for what a client said."""
    if isinstance(said, Audio):
        return {"kind": "audio", "size": len(said.pcm), "mime": said.mime}
    if isinstance(said, Video):
        return {"kind": "video", "size": len(said.jpeg), "mime": said.mime}
    kind, content = _named(said)
    return {"kind": kind, "size": frame_bytes, "content": content}


def _named(
    said: Text
    | ClientContent
    | ToolResponse
    | AudioStreamEnd
    | ActivityStart
    | ActivityEnd
    | ContextUpdate,
) -> tuple[str, Any]:
    match said:
        case Text(text):
            return "text", text
        case ClientContent(turns, complete):
            return "clientContent", (turns, complete)
        case ToolResponse(responses):
            return "toolResponse", dict(responses)
        case AudioStreamEnd():
            return "audioStreamEnd", None
        case ActivityStart():
            return "activityStart", None
        case ActivityEnd():
            return "activityEnd", None
        case ContextUpdate():
            return "contextUpdate", None


def kinds_of(message: Message) -> list[tuple[str, Any]]:
    """Return kind and content of each thing that a message says."""
    kinds: list[tuple[str, Any]] = []
    for key, value in message.items():
        if key == "serverContent":
            kinds += [(name, _without_media(field)) for name, field in value.items()]
        else:
            kinds.append((key, value))
    return kinds


def _without_media(field: Any) -> Any:
    if isinstance(field, dict) and "parts" in field:
        return [part.get("text", "media") for part in field["parts"]]
    return field
