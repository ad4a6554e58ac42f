"""What a client may say after setup; one class for each thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tests.servers.gemini.wire import Message, Refusal, blob_of, invalid, rate_of


@dataclasses.dataclass(frozen=True, slots=True)
class Audio:
    """PCM, 16 bit, mono."""

    mime: str
    rate: int
    pcm: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """A JPEG."""

    mime: str
    jpeg: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """Text in real time."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class AudioStreamEnd:
    """No audio for now; what was said is complete."""


@dataclasses.dataclass(frozen=True, slots=True)
class ActivityStart:
    """Speech begins."""


@dataclasses.dataclass(frozen=True, slots=True)
class ActivityEnd:
    """Speech ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class ClientContent:
    """Turns, as role and text."""

    turns: tuple[tuple[str, str], ...]
    complete: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ToolResponse:
    """What functions gave, by the id of the call."""

    responses: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ContextUpdate:
    """New instructions or tools; taken note of."""


Spoken = Audio | AudioStreamEnd | ActivityStart | ActivityEnd
Unspoken = Video | Text | ClientContent | ToolResponse | ContextUpdate
Input = Spoken | Unspoken


def inputs_of(message: Message) -> list[Input]:
    """
    Read a message after setup.

    Raises:
        Refusal: If the service would close the connection.

    """
    inputs: list[Input] = []
    for key, value in message.items():
        read = _MESSAGES.get(key)
        if read is None:
            raise _unknown(key)
        if not isinstance(value, dict):
            raise invalid()
        inputs += read(value)
    return inputs


def _realtime(message: Message) -> list[Input]:
    inputs: list[Input] = []
    for key, value in message.items():
        match key:
            case "audio" | "video":
                inputs.append(_media(value, wanted=key))
            case "mediaChunks" if isinstance(value, list):
                inputs += [_media(chunk) for chunk in value]
            case "text" if isinstance(value, str):
                inputs.append(Text(value))
            case "audioStreamEnd":
                inputs += [AudioStreamEnd()] if value else []
            case "activityStart":
                inputs.append(ActivityStart())
            case "activityEnd":
                inputs.append(ActivityEnd())
            case _:
                raise _unknown(key)
    return inputs


def _media(value: Any, wanted: str | None = None) -> Audio | Video:
    mime, data = blob_of(value)
    if mime.startswith("image/") and wanted != "audio":
        if mime != "image/jpeg" or not data.startswith(b"\xff\xd8"):
            raise invalid()
        return Video(mime, data)
    if wanted == "video" or len(data) % 2:
        raise invalid()
    return Audio(mime, rate_of(mime), data)


def _content(message: Message) -> list[Input]:
    turns = []
    for turn in message.get("turns", []):
        parts = turn.get("parts", [])
        text = " ".join(part["text"] for part in parts if part.get("text"))
        turns.append((turn.get("role", "user"), text))
    return [ClientContent(tuple(turns), bool(message.get("turnComplete")))]


def _tool_response(message: Message) -> list[Input]:
    responses = {}
    for response in message.get("functionResponses", []):
        if not response.get("id"):
            raise invalid()
        responses[response["id"]] = response.get("response")
    return [ToolResponse(responses)]


def _context_update(_message: Message) -> list[Input]:
    return [ContextUpdate()]


_MESSAGES: Mapping[str, Callable[[Message], list[Input]]] = {
    "realtimeInput": _realtime,
    "clientContent": _content,
    "toolResponse": _tool_response,
    "contextUpdate": _context_update,
}


def _unknown(key: str) -> Refusal:
    return Refusal(
        1007,
        f'Invalid JSON payload received. Unknown name "{key[:40]}": Cannot find field.',
    )
