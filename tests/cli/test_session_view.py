"""Session events and answers, parsed and shown."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from captiond.cli.messages import Ack, Refused, Session, Unknown, parse
from captiond.cli.view import CaptionView


def session(event: str, seq: int | None = None, **body: Any) -> Session:
    return Session(event=event, body=body, seq=seq)


def shown(*messages: Session, terminal: bool = False) -> str:
    """Return what a view shows of messages."""
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=80, color_system=None
    )
    with CaptionView(console) as view:
        for message in messages:
            view.show(message)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_view_joins_what_the_model_says() -> None:
    """Pieces make a line when the turn ends; a whole turn is a line at once."""
    output = shown(
        session("model_text", text="It is "),
        session("model_text", text="noon."),
        session("turn_complete"),
        session("model_text", text="Half a"),
        session("interrupted"),
        session("model_text", seq=7, text="A whole turn."),
    )

    assert output.splitlines() == [
        "  model  It is noon.",
        "  model  Half a",
        "-- interrupted",
        "  model  A whole turn.",
    ]


def test_view_shows_what_the_model_says_as_it_comes() -> None:
    """On a terminal the turn grows in place."""
    output = shown(session("model_text", text="It is"), terminal=True)

    assert "model  It is" in output


def test_view_tells_tools_and_engines() -> None:
    """Events that a person acts on are remarks; others are not shown."""
    output = shown(
        session("opened", engine="moonshine/tiny-en"),
        session("opened", engine="moonshine/tiny-en"),
        session("hypothesis", text="it was"),
        session("tool_call", call="c1", name="look\x1b[2J", arguments={"a": "ä"}),
        session("tool_call_cancelled", call="c1"),
        session("session_lost", engine="moonshine/tiny-en", reason="stalled"),
        session("rotated", engine="gemini/x", reason="asked for"),
        session("usage", input_tokens=3),
    )

    assert output.splitlines() == [
        "-- the engine is moonshine/tiny-en",
        '-- tool call c1: look [2J({"a": "ä"})',
        "-- tool call c1 is off",
        "-- moonshine/tiny-en is lost: stalled",
        "-- gemini/x takes over: asked for",
    ]


def test_messages_of_the_channel_are_parsed() -> None:
    """Answers and session events, of readers and of controllers."""
    raw = [
        '{"type":"ack","request":"flush","id":"f","done":false}',
        '{"type":"error","code":"busy","detail":"wait","id":3}',
        '{"type":"unsupported","capability":"text","detail":"lacks","id":null}',
        '{"type":"session","event":"model_text","text":"a"}',
        '{"type":"session","event":"model_text","text":"a","epoch":"e","seq":4}',
        '{"type":"novel"}',
    ]
    messages = [parse(each, at=0).message for each in raw]

    assert messages[:3] == [
        Ack(request="flush", id="f", done=False),
        Refused(code="busy", detail="wait", id=3),
        Refused(code="unsupported", detail="lacks", id=None),
    ]
    assert isinstance(messages[3], Session)
    assert isinstance(messages[4], Session)
    assert (messages[3].seq, messages[4].seq) == (None, 4)
    assert messages[3].text("text") == "a"
    assert messages[5] == Unknown(type="novel")
