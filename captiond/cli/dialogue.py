"""
What is said on a control channel: typed lines to requests, and which are unanswered.

No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from captiond.cli.messages import Ack, Message, Refused, Session
from captiond.errors import CaptiondError

Request = dict[str, Any]

COMMANDS = """\
TEXT               ask a question; begin with // for one that begins with /
/context TEXT      tell the engine something to know
/words A, B, C     tell it words to expect, instead of those told before
/interrupt         stop what it is saying
/flush             ask for captions of everything heard, now
/tool CALL JSON    answer a tool call with a JSON object
/engine NAME       let another engine go on
/help              show this
/quit              leave"""


class CommandError(CaptiondError):
    """A line is no command; says what is."""


def parse_line(line: str) -> Request:
    """
    Return the request that a line stands for; it isn't empty.

    Raises:
        CommandError: If it stands for none.

    """
    if line.startswith("//"):
        return {"type": "text", "text": line[1:]}
    if not line.startswith("/"):
        return {"type": "text", "text": line}
    name, _, argument = line.partition(" ")
    argument = argument.strip()
    if name in _PLAIN:
        if argument:
            raise CommandError(f"{name} takes nothing behind it")
        return {"type": name[1:]}
    if name not in _WITH_ARGUMENT:
        raise CommandError(f"{name[:40]} is no command; see /help")
    make, usage = _WITH_ARGUMENT[name]
    if not argument:
        raise CommandError(f"write {name} {usage}")
    return make(argument)


def _words(argument: str) -> Request:
    words = "\n".join(word.strip() for word in argument.split(",") if word.strip())
    return {"type": "text", "purpose": "vocabulary", "text": words}


def _tool(argument: str) -> Request:
    call, _, answer = argument.partition(" ")
    try:
        result = json.loads(answer)
    except ValueError as exc:
        raise CommandError(f"/tool CALL JSON: not JSON: {exc}") from None
    return {"type": "tool_response", "call": call, "result": result}


_PLAIN = ("/interrupt", "/flush")

_WITH_ARGUMENT: dict[str, tuple[Callable[[str], Request], str]] = {
    "/context": (
        lambda text: {"type": "text", "purpose": "context", "text": text},
        "TEXT",
    ),
    "/words": (_words, "A, B, C"),
    "/tool": (_tool, "CALL JSON"),
    "/engine": (lambda name: {"type": "engine", "name": name}, "NAME"),
}


class Dialogue:
    """Numbers requests, and knows which of them wait for an answer."""

    def __init__(self) -> None:
        self._count = 0
        self._asked: dict[str | int | None, str] = {}
        """Type of each request that was neither acknowledged nor refused, by id."""
        self._question = False
        """Whether the model hasn't answered the last question."""

    @property
    def settled(self) -> bool:
        """Whether everything was answered, also by the model."""
        return not self._asked and not self._question

    @property
    def begun(self) -> bool:
        """Whether anything was asked."""
        return self._count > 0

    def ask(self, request: Request) -> str:
        """Return the message that makes a request."""
        self._count += 1
        self._asked[self._count] = request["type"]
        self._question |= is_question(request)
        return json.dumps(request | {"id": self._count}, ensure_ascii=False)

    def hear(self, message: Message) -> str | None:
        """Note an answer; return what is wrong if it is a bad one."""
        match message:
            case Ack(done=False):
                self._asked.pop(message.id, None)
                return f"{message.request}: not answered in time"
            case Ack():
                self._asked.pop(message.id, None)
            case Refused():
                kind = self._asked.pop(message.id, "request")
                self._question &= kind != "text"
                return f"{kind} refused: {message.detail}"
            case Session(event="turn_complete"):
                self._question = False
            case Session(event="unsupported") if self._question:
                self._question = False
                return f"the engine lacks '{message.text('capability')}'"
            case _:
                pass
        return None


def is_question(request: Request) -> bool:
    """Whether the model is to answer a request."""
    return request["type"] == "text" and "purpose" not in request
