"""Lines out of pipes, and of keys on a terminal."""

from __future__ import annotations

import contextlib
import os

import pytest

from captiond.cli.typed import MAX_LINE, LineEditor, LineSplitter, chunks


def test_pipes_are_split_into_lines() -> None:
    """Wherever the chunks end, also inside a character; the last needs no newline."""
    splitter = LineSplitter()
    data = "ä\r\nb\n\nlast".encode()
    lines = [line for n in range(len(data)) for line in splitter.feed(data[n : n + 1])]

    assert lines + splitter.feed(b"") == ["ä", "b", "", "last"]


def test_endless_lines_are_cut() -> None:
    """A line that doesn't end fills no memory."""
    splitter = LineSplitter()
    for _ in range(20):
        assert splitter.feed(b"x" * 4096) == []

    assert [len(line) for line in splitter.feed(b"\n")] == [MAX_LINE]


@pytest.mark.parametrize(
    ("keys", "lines", "text"),
    [
        (b"hi\rho", ["hi"], "ho"),
        (b"hip\x7f\x7fo\n", ["ho"], ""),
        (b"one two \x17three", [], "onethree"),
        (b"one\x15two", [], "two"),
        (b"a\tb\x00\x01", [], "a b"),
        ("ä€\r".encode(), ["ä€"], ""),
        (b"a\x1b[Db\x1b[3~c\x1bOAd\x1bxe", [], "abcde"),
        (b"\x7fa", [], "a"),
    ],
)
def test_keys_make_lines(keys: bytes, lines: list[str], text: str) -> None:
    """Keys come in any pieces; those that aren't characters leave no trace."""
    editor = LineEditor()
    made = [line for key in keys for line in editor.feed(bytes([key]))]

    assert (made, editor.text) == (lines, text)


def test_end_of_input_is_typed_on_an_empty_line() -> None:
    """^D ends where nothing is typed, and does nothing elsewhere."""
    editor = LineEditor()
    editor.feed(b"a\x04")
    early = editor.ended
    editor.feed(b"\r\x04")

    assert (early, editor.ended) == (False, True)


async def test_chunks_come_to_an_end() -> None:
    """A pipe is read without blocking the loop; nothing is its end."""
    read, write = os.pipe()
    try:
        received = []
        async with contextlib.aclosing(chunks(read)) as coming:
            os.write(write, b"one")
            received.append(await anext(coming))
            os.write(write, b"two")
            received.append(await anext(coming))
            os.close(write)
            received += [each async for each in coming]
    finally:
        os.close(read)

    assert received == [b"one", b"two", b""]
