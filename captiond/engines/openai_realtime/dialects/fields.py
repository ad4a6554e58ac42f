"""Fields of received messages: what a server sends may be anything."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from captiond.engines.openai_realtime.dialects import Malformed, Message

MAX_ID = 200
"""Characters of an item's name."""

MAX_TEXT = 100_000
"""Characters of a transcript."""


def append(pcm: bytes) -> Message:
    """Return the message that all dialects have for audio."""
    audio = base64.b64encode(pcm).decode("ascii")
    return {"type": "input_audio_buffer.append", "audio": audio}


def item(message: Mapping[str, Any], name: str = "item_id") -> str:
    """Return the name of the item that a message is about."""
    value = message.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID:
        raise Malformed(f"{message.get('type')}: no usable '{name}'")
    return value


def optional_item(message: Mapping[str, Any], name: str) -> str | None:
    """Return the name of an item, if the message has it."""
    return item(message, name) if message.get(name) is not None else None


def text(message: Mapping[str, Any], name: str) -> str:
    """Return a text; a null is an empty one."""
    value = message.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise Malformed(f"{message.get('type')}: '{name}' is no text, or too long")
    return value


def milliseconds(message: Mapping[str, Any], name: str) -> float | None:
    """Return a time in seconds, if the message has one that can be true."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return value / 1000


def count(mapping: object, *names: str) -> int:
    """Return the first number under one of the names; 0 if there is none."""
    if isinstance(mapping, Mapping):
        for name in names:
            value = mapping.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return 0


def seconds(mapping: object, name: str) -> float:
    """Return a duration; 0 if there is none."""
    value = mapping.get(name) if isinstance(mapping, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 < value < 1e6 else 0.0
