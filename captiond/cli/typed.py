"""
Lines from standard input, be it a pipe, a file or a terminal.

On a terminal that something else is drawn on the line being typed can't be left to the
terminal: it would be written over. There :class:`LineEditor` makes lines of keys, and
whoever draws shows :attr:`LineEditor.text`.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import termios
import threading
import tty
from collections.abc import AsyncGenerator, Iterator

CHUNK = 4096
"""Bytes that are read at once."""

MAX_LINE = 32_768
"""Characters of a line; a longer one is cut there, and the daemon takes half of it."""


class LineSplitter:
    """Makes lines of what comes from a pipe. No I/O."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self.ended = False

    def feed(self, data: bytes) -> list[str]:
        """Take bytes, none at the end; return the lines that are complete."""
        text = self._rest + self._decode(data, final=not data)
        *lines, rest = text.split("\n")
        if not data and rest:
            lines.append(rest)
        self._rest = rest[:MAX_LINE]
        return [line[:MAX_LINE].rstrip("\r") for line in lines]


class LineEditor:
    """Makes lines of keys: characters, backspace, ^U, ^W, ^D. No I/O."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._escape = ""
        """Beginning of a key that isn't a character, such as an arrow."""
        self.text = ""
        """The line that is being typed."""
        self.ended = False
        """Whether ^D was typed on an empty line."""

    def feed(self, data: bytes) -> list[str]:
        """Take keys; return the lines that are complete."""
        lines = []
        for key in self._decode(data):
            if self._escape:
                self._continue_escape(key)
            elif key in "\r\n":
                lines.append(self.text)
                self.text = ""
            else:
                self._type(key)
        return lines

    def _type(self, key: str) -> None:
        match key:
            case "\x1b":
                self._escape = key
            case "\x7f" | "\b":
                self.text = self.text[:-1]
            case "\x15":
                self.text = ""
            case "\x17":
                self.text = self.text.rstrip().rpartition(" ")[0]
            case "\x04":
                self.ended |= not self.text
            case "\t":
                self._type(" ")
            case _ if key.isprintable() and len(self.text) < MAX_LINE:
                self.text += key
            case _:
                pass  # other keys mean nothing here

    def _continue_escape(self, key: str) -> None:
        self._escape += key
        # ECMA-48: ESC [ … ends with a byte from @ to ~, others after one byte.
        if len(self._escape) == 2 and key in "[O":
            return
        if len(self._escape) == 2 or "@" <= key <= "~":
            self._escape = ""


@contextlib.contextmanager
def keys(descriptor: int) -> Iterator[None]:
    """Let a terminal give single keys, and not show them."""
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def chunks(descriptor: int) -> AsyncGenerator[bytes, None]:
    """
    Yield what can be read, and nothing at the end; at most one chunk waits.

    A thread reads: the event loop can't wait for a file, and to make a terminal
    non-blocking would make standard output so, which is the same terminal. The thread
    may be left reading when the program ends, so it holds nothing that others need.
    """
    loop = asyncio.get_running_loop()
    read: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore()

    def run() -> None:
        data = b"."
        while data:
            room.acquire()
            try:
                data = os.read(descriptor, CHUNK)
            except OSError:
                data = b""  # nobody gave it to us, or it was taken away
            try:
                loop.call_soon_threadsafe(read.put_nowait, data)
            except RuntimeError:
                return  # the loop has ended

    threading.Thread(target=run, name="standard input", daemon=True).start()
    while data := await read.get():
        yield data
        room.release()
    yield b""
