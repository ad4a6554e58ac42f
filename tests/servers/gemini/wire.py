"""
The messages: decoding what clients send in any casing, building what a server says.

As protobuf's JSON does, keys are taken in snake_case and camelCase alike.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

Message = dict[str, Any]

INVALID = "Request contains an invalid argument."
_VERBATIM = frozenset(("args", "response", "labels", "properties"))
"""What is below these are the client's own keys."""
_RATE = re.compile(r"audio/pcm(?:;\s*rate=(\d+))?", re.IGNORECASE)


class Refusal(Exception):
    """The connection must be closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def invalid() -> Refusal:
    """Return what the service says to most wrong messages."""
    return Refusal(1007, INVALID)


def decode(frame: str | bytes) -> Message:
    """
    Read a frame into an object with camelCase keys.

    Raises:
        Refusal: If it is no JSON object.

    """
    try:
        message = json.loads(frame)
    except ValueError:
        raise Refusal(1007, "Invalid JSON payload received.") from None
    if not isinstance(message, dict):
        raise Refusal(1007, "Invalid JSON payload received.")
    return {_camel_key(key): camel(value) for key, value in message.items()}


def encode(message: Message) -> str:
    """Write a message as the service does."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def camel(value: Any) -> Any:
    """Return a value with camelCase keys at every level but the client's own."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        key = _camel_key(key)
        result[key] = item if key in _VERBATIM else camel(item)
    return result


def _camel_key(key: str) -> str:
    head, *tail = key.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def blob_of(value: Any) -> tuple[str, bytes]:
    """
    Return media type and data of a blob; base64 may be standard or URL-safe.

    Raises:
        Refusal: If it is none.

    """
    try:
        kind, text = value["mimeType"], value["data"]
        text = text.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (TypeError, KeyError, AttributeError, binascii.Error):
        raise invalid() from None
    if not isinstance(kind, str):
        raise invalid()
    return kind, data


def rate_of(mime: str) -> int:
    """
    Return the sample rate of ``audio/pcm;rate=…``.

    Raises:
        Refusal: If it is another type.

    """
    match = _RATE.fullmatch(mime)
    if match is None:
        raise invalid()
    return int(match[1] or 16_000)


def content(**fields: Any) -> Message:
    """Return a serverContent."""
    return {"serverContent": fields}


def activity(kind: str, at: float) -> Message:
    """Return a voice activity, which comes beside an empty content."""
    offset = f"{at:.3f}".rstrip("0").rstrip(".") + "s"
    return {
        "serverContent": {},
        "voiceActivity": {"type": f"ACTIVITY_{kind}", "audioOffset": offset},
    }


def go_away(left: float) -> Message:
    """Return the announcement of the end."""
    return {"goAway": {"timeLeft": f"{left:g}s"}}
