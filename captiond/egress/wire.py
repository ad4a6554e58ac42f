"""
The wire format, version 1: the only place that encodes events.

One JSON object per message, the same for every transport.
"""

from __future__ import annotations

import datetime
import json
from typing import Any, assert_never

from captiond.events import Caption, Event, Gap, Status, Word
from captiond.hub.log import Cursor, Stamp, StreamLog

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


def encode_error(code: str, detail: str) -> bytes:
    """Return the answer to a message that a reader shouldn't have sent."""
    return _dump({"v": VERSION, "type": "error", "code": code, "detail": detail})


def format_wall(wall: datetime.datetime) -> str:
    """Return a UTC time as RFC 3339 with milliseconds."""
    return wall.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _type(event: Event) -> str:
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


def _seconds(value: float) -> float:
    return round(value, 3)


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
