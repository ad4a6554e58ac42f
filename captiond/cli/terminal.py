"""
The consoles that everything is printed on.

Results go to standard output, errors and progress to standard error. Text that came
over the network is cleaned first: a caption must not be able to drive the terminal.
"""

from __future__ import annotations

import errno
import os

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would exit here, which leaves an event loop and its tasks in pieces.
        self.quiet = True
        # What is still buffered has to go somewhere when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False, markup=False)
    # Lines in a file or a pipe must stay whole.
    console.soft_wrap = not console.is_terminal
    return console


out = _console(stderr=False)
err = _console(stderr=True)


def clean(text: str) -> str:
    """Return ``text`` with control characters replaced by spaces."""
    return "".join(character if character.isprintable() else " " for character in text)


def clock(seconds: float) -> str:
    """Return a position on the media clock as ``m:ss.t``."""
    tenths = round(max(seconds, 0) * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"
