"""
What a controller asks for: JSON to values, the same for WebSocket and HTTP.

No I/O. A request that is not exactly what is allowed is refused with a text that names
the key and what may be there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from captiond.errors import ControlError
from captiond.live.inputs import Interrupt, Text
from captiond.live.session import TextPurpose, ToolResponse

BAD = "bad_request"
"""Code of a request that is not what is allowed."""

MAX_REQUEST_BYTES = 64 * 1024
"""Largest request; a tool's answer may be long."""

MAX_TEXT_BYTES = 16 * 1024
"""Longest text for an engine, in UTF-8."""

MAX_ID = 64
"""Characters of a request's ``id``."""

MAX_NAME = 256
"""Characters of a tool call's or an engine's name."""

_MAX_INT = 2**53
"""Beyond it JavaScript doesn't keep integers apart."""

MAX_BAD = 100
"""Malformed requests that a controller may send before it is closed."""

RATE = 50
"""Requests a second that a controller may send all the time."""

BURST = 100
"""Requests that it may send at once after a pause."""

RequestId = str | int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Flush:
    """Ask for finals of everything heard."""


@dataclasses.dataclass(frozen=True, slots=True)
class SwitchEngine:
    """Let another engine go on."""

    name: str


Request = Text | Interrupt | Flush | ToolResponse | SwitchEngine


class Conduct:
    """
    Tells when a controller has to be closed for what it sends.

    Args:
        clock: Monotonic clock.

    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bad = 0
        self._left = float(BURST)
        self._since = clock()

    def request(self) -> str | None:
        """Note a request; return why that was one too many, or None."""
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._since) * RATE)
        self._since = now
        self._left -= 1
        return f"more than {RATE} requests per second" if self._left < 0 else None

    def malformed(self) -> str | None:
        """Note that it was malformed; return why that was one too many, or None."""
        self._bad += 1
        if self._bad > MAX_BAD:
            return f"more than {MAX_BAD} malformed requests"
        return None


def decode(raw: str | bytes) -> dict[str, Any]:
    """
    Return the JSON object in a message or body.

    Raises:
        ControlError: If it is not one.

    """
    if isinstance(raw, bytes):
        try:
            raw = raw.decode()
        except UnicodeDecodeError as exc:
            raise bad_request(f"the request is not UTF-8: {exc.reason}") from None
    try:
        document = json.loads(raw)
        # What can't be written back as JSON was none: NaN, infinity, half a surrogate.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise bad_request("the request has half of a surrogate pair in it") from None
    except (ValueError, RecursionError) as exc:
        raise bad_request(f"the request is not JSON: {exc}") from None
    if not isinstance(document, dict):
        raise bad_request(f"a request is a JSON object, not {_kind_of(document)}")
    return document


def take_id(document: dict[str, Any]) -> RequestId:
    """
    Take the request's ``id`` out of a document.

    Raises:
        ControlError: If it is neither a string nor an integer, or too long.

    """
    value = document.pop("id", None)
    if isinstance(value, str) and len(value) <= MAX_ID:
        return value
    if value is None or (type(value) is int and abs(value) < _MAX_INT):
        return value
    raise bad_request(
        f"'id' is a string of at most {MAX_ID} characters or an integer below 2^53"
    )


def take_type(document: dict[str, Any]) -> str:
    """
    Take the request's ``type`` out of a document.

    Raises:
        ControlError: If it is not one of :data:`TYPES`.

    """
    value = document.pop("type", None)
    if isinstance(value, str) and value in _PARSERS:
        return value
    allowed = ", ".join(TYPES)
    if value is None:
        raise bad_request(f"'type' is missing; it is one of {allowed}")
    raise bad_request(f"'type' is one of {allowed}, not {_quote(value)}")


def parse(kind: str, document: Mapping[str, Any]) -> Request:
    """
    Return the request that a document without ``id`` and ``type`` is.

    Args:
        kind: One of :data:`TYPES`.
        document: Everything else.

    Raises:
        ControlError: If a key is unknown or missing, or its value is not allowed.

    """
    allowed, make = _PARSERS[kind]
    for key in document:
        if key not in allowed:
            takes = f"allowed are {', '.join(allowed)}" if allowed else "it takes none"
            raise bad_request(f"'{kind}' has no key '{key[:40]}'; {takes}")
    return make(document)


def bad_request(detail: str) -> ControlError:
    """Return the error of a malformed request."""
    return ControlError(BAD, detail, status=400)


def _text(document: Mapping[str, Any]) -> Text:
    text = _string(document, "text")
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        raise bad_request(
            f"'text' has {size} bytes; at most {MAX_TEXT_BYTES} are allowed"
        )
    if not text.strip():
        raise bad_request("'text' is empty")
    purpose = document.get("purpose", TextPurpose.QUESTION)
    if not isinstance(purpose, str) or purpose not in list(TextPurpose):
        raise bad_request(
            f"'purpose' is one of {', '.join(TextPurpose)}, not {_quote(purpose)}"
        )
    return Text(text, TextPurpose(purpose))


def _tool_response(document: Mapping[str, Any]) -> ToolResponse:
    call = _name(document, "call")
    result = _required(document, "result", "an object")
    if not isinstance(result, dict):
        raise bad_request(f"'result' must be an object, not {_kind_of(result)}")
    return ToolResponse(call=call, result=result)


def _name(document: Mapping[str, Any], key: str) -> str:
    name = _string(document, key)
    if not 0 < len(name) <= MAX_NAME:
        raise bad_request(f"'{key}' must have 1 to {MAX_NAME} characters")
    return name


def _string(document: Mapping[str, Any], key: str) -> str:
    value = _required(document, key, "a string")
    if not isinstance(value, str):
        raise bad_request(f"'{key}' must be a string, not {_kind_of(value)}")
    return value


def _required(document: Mapping[str, Any], key: str, kind: str) -> Any:
    if key not in document:
        raise bad_request(f"'{key}' is missing; it is {kind}")
    return document[key]


def _kind_of(value: object) -> str:
    """Return what JSON calls a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _quote(value: object) -> str:
    return f"'{value[:40]}'" if isinstance(value, str) else _kind_of(value)


_PARSERS: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Request]]] = {
    "text": (("text", "purpose"), _text),
    "interrupt": ((), lambda _: Interrupt()),
    "flush": ((), lambda _: Flush()),
    "tool_response": (("call", "result"), _tool_response),
    "engine": (("name",), lambda document: SwitchEngine(_name(document, "name"))),
}

TYPES = tuple(_PARSERS)
"""What can be asked for."""
