"""
The wire format, version 1: the only place that encodes events.

One JSON object per message, the same for every transport.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import re
from collections.abc import Mapping
from typing import Any, assert_never

from captiond.egress.requests import RequestId
from captiond.errors import ControlError, NotSupported
from captiond.events import Caption, Event, Gap, SessionNote, Status, Word
from captiond.hub.log import Cursor, Stamp, StreamLog
from captiond.live.control import ControlEvent
from captiond.live.session import Hypothesis

VERSION = 1


def encode(event: Event, stamp: Stamp) -> bytes:
    """Return an event as UTF-8 JSON."""
    head = {
        "v": VERSION,
        "type": _type(event),
        "stream": stamp.stream,
        "epoch": stamp.epoch,
        "seq": stamp.seq,
    }
    tail: dict[str, Any] = {"wall": format_wall(stamp.wall)}
    match event:
        case Caption():
            latency = stamp.latency
            tail["latency_ms"] = None if latency is None else round(latency * 1000)
            body = _caption(event)
        case Gap():
            body = {
                "start": _seconds(event.start),
                "end": _seconds(event.end),
                "reason": event.reason,
            }
        case Status():
            body = {"state": event.state.value, "reason": event.reason}
        case SessionNote():
            body = {"event": event.event, **event.data}
        case _:
            assert_never(event)
    return _dump(head | body | tail)


def encode_hello(log: StreamLog, cursor: Cursor, *, now: datetime.datetime) -> bytes:
    """Return the first message of a connection."""
    lost = cursor.lost
    return _dump(
        {
            "v": VERSION,
            "type": "hello",
            "stream": log.name,
            "epoch": log.epoch,
            "seq": log.seq,
            "state": log.state.value,
            "after": cursor.seq,
            "lost": None
            if lost is None
            else {"reason": lost.reason, "first": lost.first, "last": lost.last},
            "wall": format_wall(now),
        }
    )


def encode_session(stream: str, engine: str, event: ControlEvent) -> bytes:
    """
    Return what a live session did, for controllers.

    Args:
        stream: Name of the stream.
        engine: Name of the engine that speaks.
        event: The event; what it says of an engine is said instead of ``engine``.

    """
    head = {
        "v": VERSION,
        "type": "session",
        "stream": stream,
        "engine": engine,
        "event": _snake(type(event).__name__),
    }
    return _dump(head | _fields(event))


def encode_ack(
    request: str, request_id: RequestId, *, done: bool | None = None
) -> bytes:
    """Return the answer to a request that was accepted, or even done."""
    head = {"v": VERSION, "type": "ack", "request": request, "id": request_id}
    return _dump(head if done is None else head | {"done": done})


def encode_refusal(error: ControlError, request_id: RequestId) -> bytes:
    """Return the answer to a request that can't be done."""
    if isinstance(error, NotSupported):
        what: dict[str, Any] = {
            "type": "unsupported",
            "capability": error.capability,
            "engine": error.engine,
            "engines": error.engines,
        }
    else:
        what = {"type": "error", "code": error.code}
    return _dump({"v": VERSION} | what | {"detail": error.detail, "id": request_id})


def encode_error(code: str, detail: str) -> bytes:
    """Return the answer to a message that a reader shouldn't have sent."""
    return _dump({"v": VERSION, "type": "error", "code": code, "detail": detail})


def format_wall(wall: datetime.datetime) -> str:
    """Return a UTC time as RFC 3339 with milliseconds."""
    return wall.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _type(event: Event) -> str:
    if isinstance(event, SessionNote):
        return "session"
    return type(event).__name__.lower()


def _caption(event: Caption) -> dict[str, Any]:
    return {
        "cue": event.cue,
        "rev": event.rev,
        "state": "final" if event.final else "interim",
        "start": _seconds(event.start),
        "end": _seconds(event.end),
        "text": event.text,
        "stable": event.stable,
        "words": [_word(word) for word in event.words],
        "lang": event.language,
        "speaker": None,
        "engine": event.engine,
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "text": word.text,
        "start": _seconds(word.start),
        "end": _seconds(word.end),
        "conf": word.confidence,
    }


def _fields(event: ControlEvent) -> dict[str, Any]:
    return {
        field.name: _plain(getattr(event, field.name))
        for field in dataclasses.fields(event)
        if not (isinstance(event, Hypothesis) and field.name in _MONOTONIC)
    }


_MONOTONIC = ("heard", "produced")
"""Fields of a hypothesis that mean nothing outside of the process."""


def _plain(value: Any) -> Any:
    match value:
        case float():
            return _seconds(value)
        case tuple():
            return [_word(each) if isinstance(each, Word) else each for each in value]
        case Mapping():
            return dict(value)
        case _:
            return value


@functools.cache
def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _seconds(value: float) -> float:
    return round(value, 3)


def _dump(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, which a model may say, is no reason to say nothing.
    return text.encode(errors="replace")
