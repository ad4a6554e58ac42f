"""
Live captions for people: on a terminal, or as plain lines.

On a terminal the interim is rewritten in place below the finals, its stable part
brighter than the rest, and below it what the model says and what is typed. Elsewhere
only what lasts is printed, one line each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from captiond.cli.messages import Caption, Gap, Hello, Message, Session, Status
from captiond.cli.terminal import clean, clock

_TIME_STYLE = "cyan"
_STABLE_STYLE = "bold"
_UNSTABLE_STYLE = "dim italic"
_NOTE_STYLE = "yellow"
_MODEL_STYLE = "green"

_MAX_TURN = 16_384
"""Characters of what the model says that are kept until its turn ends."""


class CaptionView:
    """
    Context manager that shows messages.

    Args:
        console: Where to; decides by being a terminal or not.

    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._interims: dict[int, Caption] = {}
        self._turn = ""
        """What the model has said so far."""
        self._engine = ""
        self._typed: str | None = None
        # One redraw per message is enough: nothing moves between them.
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, message: Message) -> None:
        """Show one message of the caption stream or the control channel."""
        if isinstance(message, Session) and message.event not in _SHOWN:
            return
        # One write to the terminal per message, or it flickers.
        with self._console:
            self._show(message)
            self._redraw()

    def show_typed(self, text: str) -> None:
        """Show what is being typed, below everything else."""
        self._typed = text
        self._redraw()

    def show_sent(self, text: str) -> None:
        """Show what was typed, now that it is sent."""
        self._console.print(Text(f"> {clean(text)}", style="bold"))

    def note(self, text: str) -> None:
        """Show a remark of our own."""
        self._console.print(Text(f"-- {clean(text)}", style=_NOTE_STYLE))

    def _show(self, message: Message) -> None:
        match message:
            case Caption(final=False):
                self._interims[message.cue] = message
            case Caption():
                self._interims.pop(message.cue, None)
                # Printing repeats what is below: it must be without the interim.
                self._redraw()
                if message.text.strip():
                    self._console.print(_final(message))
            case Gap():
                missing = message.end - message.start
                self.note(f"{missing:.1f} s of audio never arrived: {message.reason}")
            case Status():
                reason = f": {message.reason}" if message.reason else ""
                self.note(f"{message.state}{reason}")
            case Hello():
                if message.lost is not None:
                    self.note(f"no longer in the log: {message.lost}")
            case Session():
                self._show_session(message)
            case _:
                pass  # answers are for whoever asked

    def _show_session(self, message: Session) -> None:
        if message.event == "model_text":
            self._turn = (self._turn + message.text("text"))[:_MAX_TURN]
        # Readers get a turn at once, controllers piece by piece.
        if message.event in _TURN_ENDS or message.seq is not None:
            self._end_turn()
        if message.event == "opened" and message.text("engine") != self._engine:
            self._engine = message.text("engine")
            self.note(f"the engine is {self._engine}")
        if message.event in _NOTES:
            self.note(_NOTES[message.event](message))

    def _end_turn(self) -> None:
        said, self._turn = clean(self._turn).strip(), ""
        if said:
            self._redraw()
            self._console.print(_model(said))

    def _redraw(self) -> None:
        if self._live is not None:
            lines: list[RenderableType] = [
                _interim(caption)
                for _, caption in sorted(self._interims.items())
                if caption.text.strip()
            ]
            if self._turn:
                lines.append(_model(clean(self._turn).strip()))
            if self._typed is not None:
                lines.append(Text.assemble("> ", clean(self._typed), (" ", "reverse")))
            self._live.update(Group(*lines), refresh=True)


def _final(caption: Caption) -> Text:
    line = Text.assemble(
        (f"{clock(caption.start):>7}", _TIME_STYLE), "  ", clean(caption.text).strip()
    )
    if caption.latency is not None:
        line.append(f"  ({caption.latency:.2f} s)", style="dim")
    return line


def _interim(caption: Caption) -> Text:
    return Text.assemble(
        (f"{clock(caption.start):>7}", _TIME_STYLE),
        "  ",
        (clean(caption.text[: caption.stable]), _STABLE_STYLE),
        (clean(caption.text[caption.stable :]), _UNSTABLE_STYLE),
    )


def _model(text: str) -> Text:
    return Text.assemble((f"{'model':>7}", _MODEL_STYLE), "  ", text)


def _call(message: Session) -> str:
    arguments = json.dumps(message.body.get("arguments"), ensure_ascii=False)
    return f"tool call {message.text('call')}: {message.text('name')}({arguments})"


_TURN_ENDS = ("turn_complete", "interrupted", "rotated", "session_lost")

_NOTES: dict[str, Callable[[Session], str]] = {
    "interrupted": lambda _: "interrupted",
    "tool_call": _call,
    "tool_call_cancelled": lambda m: f"tool call {m.text('call')} is off",
    "session_lost": lambda m: f"{m.text('engine')} is lost: {m.text('reason')}",
    "rotated": lambda m: f"{m.text('engine')} takes over: {m.text('reason')}",
}

_SHOWN = frozenset({"model_text", "opened", *_TURN_ENDS, *_NOTES})
"""Events of a session that a person is told about."""
