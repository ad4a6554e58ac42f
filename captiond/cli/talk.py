"""``captiond talk``: the captions of a stream, and a say in its live session."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from typing import Annotated

import typer
from yarl import URL

from captiond.cli import terminal
from captiond.cli.messages import Ack, Hello, Received
from captiond.cli.typed import LineEditor, LineSplitter, chunks, keys
from captiond.cli.view import CaptionView
from captiond.errors import ConfigError


def talk(
    stream: Annotated[
        str, typer.Argument(metavar="STREAM", help="Name of the stream.")
    ],
    url: Annotated[
        str,
        typer.Option(metavar="URL", help="Base address of the daemon's captions."),
    ] = "ws://127.0.0.1:8081",
    replay: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Begin with the last N captions."),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="Wait when nobody publishes under that name yet, or fail.",
        ),
    ] = True,
    linger: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="Time for the last answer when input ends."
        ),
    ] = 15.0,
    raw: Annotated[
        bool,
        typer.Option("--json", help="Print each message as it came, one per line."),
    ] = False,
) -> None:
    """
    Show the captions of a stream, and talk to the engine that makes them.

    Shows what "captiond watch" shows, and besides which engine it is, what that says
    itself and which tools it asks for. A line that is typed, or comes out of a pipe, is
    a question to it; lines that begin with / do something else:

    \b
      /context TEXT      tell the engine something to know
      /words A, B, C     tell it words to expect, instead of those told before
      /interrupt         stop what it is saying
      /flush             ask for captions of everything heard, now
      /tool CALL JSON    answer a tool call with a JSON object
      /engine NAME       let another engine go on
      /help, /quit       list these; leave
      //TEXT             ask something that begins with /

    Not every engine can do all of it; one that can't says so, and which can.

    Out of a pipe, each question waits for the answer to the one before. When input
    ends, so does the command: once everything was answered, or with an error when that
    takes longer than --linger; when nothing was asked, after that time. Something that
    can't be done is an error too.

    \b
    Examples:
      captiond talk news
      echo "Who is speaking?" | captiond talk news
      echo "/words captiond, WHIP, DTLS" | captiond talk news
      captiond talk news --json < /dev/null | jq 'select(.type == "session")'
    """
    base = URL(url)
    if base.scheme not in ("ws", "wss") or not base.host:
        raise ConfigError(f"--url {url}: write ws://HOST:PORT")
    query = {} if replay is None else {"replay": str(replay)}
    address = base.joinpath("streams", stream, "session").with_query(
        query | ({"wait": "1"} if wait else {})
    )
    asyncio.run(_talk(address, linger=linger, raw=raw))


async def _talk(address: URL, *, linger: float, raw: bool) -> None:
    from captiond.cli.control_client import Talk, channel

    view = CaptionView(terminal.out)
    person = sys.stdin.isatty()
    editor = LineEditor() if person and terminal.out.is_terminal and not raw else None

    def show(received: Received) -> None:
        if raw:
            terminal.out.print(received.raw)
        else:
            _show(view, received)

    async with channel(address) as connection:
        with (
            contextlib.nullcontext() if raw else view,
            contextlib.nullcontext() if editor is None else keys(sys.stdin.fileno()),
        ):
            lines = _lines(view, editor)
            tell = terminal.err.print if raw else view.note
            async with contextlib.aclosing(lines):
                await Talk(
                    connection, linger=linger, show=show, tell=tell if person else None
                ).run(lines)


async def _lines(
    view: CaptionView, editor: LineEditor | None
) -> AsyncGenerator[str, None]:
    """Yield the lines of standard input; show those that are being edited."""
    source = editor or LineSplitter()
    if editor is not None:
        view.show_typed(editor.text)
    async with contextlib.aclosing(chunks(sys.stdin.fileno())) as read:
        async for data in read:
            for line in source.feed(data):
                if editor is not None:
                    view.show_sent(line)
                yield line
            if source.ended:
                return
            if editor is not None:
                view.show_typed(editor.text)


def _show(view: CaptionView, received: Received) -> None:
    message = received.message
    if isinstance(message, Hello) and message.state == "waiting":
        view.note("waiting for a publisher")
    if isinstance(message, Ack) and message.done:
        view.note("everything heard is captioned")
    view.show(message)
