"""Tests of the wire format."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiond.egress.wire import (
    encode,
    encode_ack,
    encode_error,
    encode_hello,
    encode_refusal,
    encode_session,
)
from captiond.errors import ControlError, NotSupported
from captiond.events import (
    Caption,
    CueId,
    Event,
    Gap,
    MediaTime,
    SessionNote,
    Status,
    StreamState,
    Word,
)
from captiond.hub.log import Stamp
from captiond.live.changes import Degraded, Rotated, SessionLost
from captiond.live.control import ControlEvent
from captiond.live.session import (
    GoingAway,
    Hypothesis,
    Interrupted,
    Opened,
    Settled,
    ToolCall,
    Usage,
)
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


def test_session_note_is_a_durable_message() -> None:
    """What readers are told of the session has a number, and its data beside it."""
    note = SessionNote(event="tool_call", data={"call": "c", "arguments": {"a": 1}})

    assert decoded(note) == {
        "v": 1,
        "type": "session",
        "stream": "demo",
        "epoch": "e",
        "seq": 42,
        "event": "tool_call",
        "call": "c",
        "arguments": {"a": 1},
        "wall": "2026-01-31T12:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (Interrupted(), {"event": "interrupted"}),
        (
            Settled(time=MediaTime(1.00049), heard=MediaTime(2.5)),
            {"event": "settled", "time": 1.0, "heard": 2.5},
        ),
        (
            GoingAway(time_left=9.12345, reason="age"),
            {"event": "going_away", "time_left": 9.123, "reason": "age"},
        ),
        (
            ToolCall(call="c", name="n", arguments={"x": 0.123456}),
            {
                "event": "tool_call",
                "call": "c",
                "name": "n",
                "arguments": {"x": 0.123456},
            },
        ),
        (
            Usage(input_tokens=3),
            {
                "event": "usage",
                "input_tokens": 3,
                "output_tokens": 0,
                "audio_seconds": 0.0,
            },
        ),
        (Opened(engine="gemini/x"), {"event": "opened", "engine": "gemini/x"}),
        (
            SessionLost(engine="gemini/x", reason="stalled"),
            {"event": "session_lost", "engine": "gemini/x", "reason": "stalled"},
        ),
        (
            Rotated(engine="gemini/x", reason="age"),
            {"event": "rotated", "engine": "gemini/x", "reason": "age"},
        ),
        (
            Degraded(degraded=True, reason="none"),
            {"event": "degraded", "degraded": True, "reason": "none"},
        ),
        (
            Gap(start=MediaTime(1.0), end=MediaTime(2.0), reason="x"),
            {"event": "gap", "start": 1.0, "end": 2.0, "reason": "x"},
        ),
    ],
)
def test_session_events_are_told_as_they_are(
    event: ControlEvent, body: dict[str, Any]
) -> None:
    """Every event is its name and its fields, beside the engine that speaks."""
    head = {"v": 1, "type": "session", "stream": "demo", "engine": "moonshine/tiny-en"}

    assert json.loads(encode_session("demo", "moonshine/tiny-en", event)) == head | body


def test_hypothesis_is_told_without_the_process_clock() -> None:
    """Words are as in captions; monotonic times mean nothing to others."""
    event = Hypothesis(
        utterance="7",
        final=True,
        start=MediaTime(1.0),
        end=MediaTime(1.5),
        text="it",
        words=(Word(text="it", start=MediaTime(1.0), end=MediaTime(1.23456)),),
        heard=12345.0,
        produced=12346.0,
    )

    message = json.loads(encode_session("demo", "e", event))
    assert message["words"] == [
        {"text": "it", "start": 1.0, "end": 1.235, "conf": None}
    ]
    assert (message["event"], message["final"]) == ("hypothesis", True)
    assert not message.keys() & {"heard", "produced"}


def test_answers_carry_their_id() -> None:
    """An ack names what was asked for; ``done`` only where something was done."""
    assert json.loads(encode_ack("text", 7)) == {
        "v": 1,
        "type": "ack",
        "request": "text",
        "id": 7,
    }
    assert json.loads(encode_ack("flush", "x", done=False))["done"] is False


def test_refusals_are_told_apart() -> None:
    """What can't be done is an error, what the engine can't is unsupported."""
    error = json.loads(encode_refusal(ControlError("busy", "wait"), 1))
    lacking = json.loads(encode_refusal(NotSupported("text", "m", ("g",)), None))

    assert error == {"v": 1, "type": "error", "code": "busy", "detail": "wait", "id": 1}
    assert (lacking["type"], lacking["engines"], lacking["id"]) == (
        "unsupported",
        ["g"],
        None,
    )


def test_half_a_surrogate_pair_is_replaced() -> None:
    """What has no UTF-8 doesn't stop a stream."""
    assert decoded(Status(state=StreamState.LIVE, reason="a\ud800b"))["reason"] == "a?b"
