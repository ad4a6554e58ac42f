"""Typed lines to requests, and which of them are unanswered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from captiond.cli.dialogue import COMMANDS, CommandError, Dialogue, parse_line
from captiond.cli.messages import Ack, Refused, Session
from captiond.cli.talk import talk


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("Who speaks?", {"type": "text", "text": "Who speaks?"}),
        ("//etc?", {"type": "text", "text": "/etc?"}),
        (
            "/context  a talk",
            {"type": "text", "purpose": "context", "text": "a talk"},
        ),
        (
            "/words WHIP, ICE lite,,",
            {"type": "text", "purpose": "vocabulary", "text": "WHIP\nICE lite"},
        ),
        ("/interrupt", {"type": "interrupt"}),
        ("/flush", {"type": "flush"}),
        (
            '/tool c1 {"a": 1}',
            {"type": "tool_response", "call": "c1", "result": {"a": 1}},
        ),
        ("/engine gemini", {"type": "engine", "name": "gemini"}),
    ],
)
def test_lines_are_requests(line: str, request_: dict[str, Any]) -> None:
    """A plain line is a question; commands are everything else."""
    assert parse_line(line) == request_


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/shout", "/shout is no command"),
        ("/context ", "write /context TEXT"),
        ("/tool c1", "not JSON"),
        ("/tool c1 {", "not JSON"),
        ("/flush now", "/flush takes nothing"),
    ],
)
def test_wrong_commands_say_what_is_right(line: str, message: str) -> None:
    """What is no command is not sent."""
    with pytest.raises(CommandError, match=message):
        parse_line(line)


def test_manual_lists_every_command() -> None:
    """The page and /help say the same."""
    assert talk.__doc__ is not None
    commands = [line for line in COMMANDS.splitlines() if line.startswith("/")]
    listed = [line for line in commands if line in talk.__doc__]

    assert len(commands) == 8
    assert listed == commands[:6]  # the page has /help and /quit in one line


def session(event: str, seq: int | None = None, **body: Any) -> Session:
    return Session(event=event, body=body, seq=seq)


def test_dialogue_knows_what_is_unanswered() -> None:
    """A question is answered by a turn, anything else by its acknowledgement."""
    dialogue = Dialogue()
    assert json.loads(dialogue.ask({"type": "flush"}))["id"] == 1
    dialogue.ask({"type": "text", "text": "why?"})
    states = []
    for message in (
        Ack(request="flush", id=1, done=True),
        Ack(request="text", id=2, done=None),
        session("model_text", text="because"),
        session("turn_complete"),
    ):
        assert dialogue.hear(message) is None
        states.append(dialogue.settled)

    assert states == [False, False, False, True]


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        (Refused(code="busy", detail="wait", id=1), "text refused: wait"),
        (session("unsupported", capability="text"), "the engine lacks 'text'"),
        (Ack(request="flush", id=1, done=False), "flush: not answered in time"),
    ],
)
def test_dialogue_tells_what_went_wrong(
    message: Refused | Session | Ack, wrong: str
) -> None:
    """Bad answers are told in words."""
    dialogue = Dialogue()
    dialogue.ask({"type": "text", "text": "why?"})

    assert dialogue.hear(message) == wrong


def test_others_lacks_are_not_ours() -> None:
    """What another controller asked for in vain is no error here."""
    assert Dialogue().hear(session("unsupported", capability="text")) is None
