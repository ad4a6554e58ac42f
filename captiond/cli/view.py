"""
Live captions for people: on a terminal, or as plain lines.

On a terminal the interim is rewritten in place below the finals, its stable part
brighter than the rest. Elsewhere only what lasts is printed, one line each.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from captiond.cli.messages import Caption, Gap, Hello, Message, Status, Unknown
from captiond.cli.terminal import clean, clock

_TIME_STYLE = "cyan"
_STABLE_STYLE = "bold"
_UNSTABLE_STYLE = "dim italic"
_NOTE_STYLE = "yellow"


class CaptionView:
    """
    Context manager that shows messages.

    Args:
        console: Where to; decides by being a terminal or not.

    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._interims: dict[int, Caption] = {}
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
        """Show one message of the caption stream."""
        # One write to the terminal per message, or it flickers.
        with self._console:
            self._show(message)
            self._redraw()

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
            case Unknown():
                pass

    def _redraw(self) -> None:
        if self._live is not None:
            lines: list[RenderableType] = [
                _interim(caption)
                for _, caption in sorted(self._interims.items())
                if caption.text.strip()
            ]
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
