"""Tests of the wire format."""

from __future__ import annotations

import datetime
import json

from hypothesis import given
from hypothesis import strategies as st

from captiond.egress.wire import encode, encode_error, encode_hello
from captiond.events import (
    Caption,
    CueId,
    Event,
    Gap,
    MediaTime,
    Status,
    StreamState,
    Word,
)
from captiond.hub.log import Stamp
from tests.hub.test_log import WALL, new_log

STAMP = Stamp(stream="demo", epoch="e", seq=42, wall=WALL, latency=0.4116)


def decoded(event: Event, stamp: Stamp = STAMP) -> dict[str, object]:
    """Encode and parse an event."""
    document: dict[str, object] = json.loads(encode(event, stamp))
    return document


def test_caption_has_every_field() -> None:
    """A caption is what the contract says, in its units."""
    caption = Caption(
        cue=CueId(17),
        rev=3,
        final=False,
        start=MediaTime(12.34),
        end=MediaTime(14.0200001),
        text="it was",
        stable=2,
        words=(
            Word(text="it", start=MediaTime(12.34), end=MediaTime(12.41), confidence=1),
        ),
        language="en",
        engine="moonshine/tiny-en",
    )

    assert decoded(caption) == {
        "v": 1,
        "type": "caption",
        "stream": "demo",
        "epoch": "e",
        "seq": 42,
        "cue": 17,
        "rev": 3,
        "state": "interim",
        "start": 12.34,
        "end": 14.02,
        "text": "it was",
        "stable": 2,
        "words": [{"text": "it", "start": 12.34, "end": 12.41, "conf": 1}],
        "lang": "en",
        "speaker": None,
        "engine": "moonshine/tiny-en",
        "wall": "2026-01-31T12:00:00.000Z",
        "latency_ms": 412,
    }


def test_gap_and_status_are_told() -> None:
    """The other durable events."""
    gap = decoded(Gap(start=MediaTime(1.0), end=MediaTime(2.5), reason="packets_lost"))
    status = decoded(Status(state=StreamState.PAUSED, reason="x"))

    assert (gap["type"], gap["start"], gap["end"], gap["reason"]) == (
        "gap",
        1.0,
        2.5,
        "packets_lost",
    )
    assert (status["type"], status["state"], status["reason"]) == (
        "status",
        "paused",
        "x",
    )


def test_hello_tells_what_is_lost() -> None:
    """The first message says where the log stands."""
    log = new_log(limit=1)
    for _ in range(3):
        log.append(Status(state=StreamState.LIVE, reason="x"))
    cursor = log.cursor_after(type(log.position)(log.epoch, 1))
    hello = json.loads(
        encode_hello(
            log, cursor, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        )
    )

    assert hello["lost"] == {"reason": "expired", "first": 2, "last": 2}
    assert (hello["seq"], hello["after"], hello["state"]) == (3, 2, "live")
    assert hello["wall"] == "2026-01-01T00:00:00.000Z"


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_survives(text: str) -> None:
    """Whatever is said is valid JSON on one line, and comes back the same."""
    payload = encode(
        Caption(
            cue=CueId(1),
            rev=1,
            final=True,
            start=MediaTime(0),
            end=MediaTime(0),
            text=text,
            stable=0,
        ),
        STAMP,
    )

    assert json.loads(payload)["text"] == text
    assert b"\n" not in payload


def test_error_names_its_code() -> None:
    """The answer to a reader that talks."""
    assert json.loads(encode_error("unexpected_message", "why"))["code"] == (
        "unexpected_message"
    )
