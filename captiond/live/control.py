"""
What a controller may ask of a stream, and what it is told.

The stream keeps one live session going, whichever engine holds it at the moment; a
controller speaks to that. Who carries the request, a WebSocket or HTTP, is no matter
here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from captiond.live.changes import SupervisorEvent
from captiond.live.session import Capabilities, TextPurpose, ToolResponse

ControlEvent = SupervisorEvent
"""The session's events, and the supervisor's own about the succession of sessions."""


class Controlled(Protocol):
    """
    A stream, as those see it who steer it.

    Nothing here blocks. Whatever is asked for raises
    :class:`captiond.errors.ControlError` where it can't be done, with the code
    ``not_live`` (409: there is no session to ask), ``busy`` (503: too many inputs wait)
    or ``unknown_engine`` (404), and :class:`captiond.errors.NotSupported` where the
    engine lacks the capability.
    """

    @property
    def engine(self) -> str:
        """Name of the engine that speaks; empty while none does."""

    @property
    def capabilities(self) -> Capabilities | None:
        """What that engine can do; None while none speaks."""

    @property
    def running(self) -> bool:
        """Whether the stream has a publisher, or one that may come back."""

    def send_text(self, text: str, purpose: TextPurpose) -> None:
        """Send a question, context or vocabulary."""

    def interrupt(self) -> None:
        """Stop what the model is generating."""

    def send_tool_response(self, response: ToolResponse) -> None:
        """Answer a tool call."""

    async def flush(self, timeout: float) -> bool:
        """
        Ask for finals of everything heard.

        Returns:
            Whether they came within ``timeout`` seconds.

        """

    def switch_engine(self, name: str) -> None:
        """Let another engine go on with the stream."""

    def listen(self, listener: Callable[[ControlEvent], None]) -> Callable[[], None]:
        """
        Tell ``listener`` every event from now on, on the event loop.

        Args:
            listener: Never blocks and never raises.

        Returns:
            The function that stops it.

        """


Find = Callable[[str], Controlled | None]
"""Returns the stream of a name, or None if nobody has published under it."""
