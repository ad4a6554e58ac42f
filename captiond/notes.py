"""
What a live session did besides captioning, as every reader may know it.

No I/O. Model text comes in pieces; readers get a turn at once, when it is complete or
interrupted. Controllers have the pieces.
"""

from __future__ import annotations

from captiond.events import SessionNote
from captiond.live.changes import Rotated, SessionLost, SupervisorEvent
from captiond.live.session import (
    Interrupted,
    ModelText,
    ToolCall,
    ToolCallCancelled,
    TurnComplete,
)

MAX_TEXT = 16_384
"""Characters of a turn that are kept; the rest is cut off."""


class Notes:
    """Makes the notes of one stream."""

    def __init__(self) -> None:
        self._text = ""

    def follow(self, event: SupervisorEvent) -> list[SessionNote]:
        """Return what readers should be told about an event of the session."""
        match event:
            case ModelText():
                self._text = (self._text + event.text)[:MAX_TEXT]
                return []
            case TurnComplete() | Rotated() | SessionLost():
                return self._take_text()
            case Interrupted():
                return [*self._take_text(), SessionNote(event="interrupted")]
            case ToolCall():
                data = {
                    "call": event.call,
                    "name": event.name,
                    "arguments": dict(event.arguments),
                }
                return [SessionNote(event="tool_call", data=data)]
            case ToolCallCancelled():
                data = {"call": event.call}
                return [SessionNote(event="tool_call_cancelled", data=data)]
            case _:
                return []

    def _take_text(self) -> list[SessionNote]:
        text, self._text = self._text.strip(), ""
        if not text:
            return []
        return [SessionNote(event="model_text", data={"text": text})]
