"""``captiond watch``: live captions in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

import typer
from yarl import URL

from captiond.cli import terminal
from captiond.cli.messages import Hello, Received, Status
from captiond.cli.view import CaptionView
from captiond.errors import ConfigError


def watch(
    stream: Annotated[
        str, typer.Argument(metavar="STREAM", help="Name of the stream.")
    ],
    url: Annotated[
        str,
        typer.Option(metavar="URL", help="Base address of the daemon's captions."),
    ] = "ws://127.0.0.1:8081",
    since: Annotated[
        str | None,
        typer.Option(
            metavar="EPOCH:SEQ", help="Begin with everything after this position."
        ),
    ] = None,
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
    raw: Annotated[
        bool,
        typer.Option("--json", help="Print each message as it came, one per line."),
    ] = False,
) -> None:
    """
    Show the captions of a stream as they come.

    On a terminal the words that may still change are rewritten in place, those that
    won't are bright, and every finished caption stays with its latency: seconds from
    its last sound to the daemon's sending it. Elsewhere only finished captions are
    printed, one per line.

    A lost connection is made again, and nothing is missed or shown twice. Ends when
    the stream does, or with Ctrl-C.

    \b
    Examples:
      captiond watch news
      captiond watch news --replay 20
      captiond watch news --json | jq -r 'select(.state == "final").text'
    """
    base = URL(url)
    if base.scheme not in ("ws", "wss") or not base.host:
        raise ConfigError(f"--url {url}: write ws://HOST:PORT")
    if since is not None and replay is not None:
        raise ConfigError("--since and --replay: say one of them")
    asyncio.run(_watch(base, stream, since=since, replay=replay, wait=wait, raw=raw))


async def _watch(
    base: URL,
    stream: str,
    *,
    since: str | None,
    replay: int | None,
    wait: bool,
    raw: bool,
) -> None:
    from captiond.cli.caption_reader import CaptionReader

    view = CaptionView(terminal.out)
    lost = terminal.err.print if raw else view.note
    reader = CaptionReader(
        str(base.joinpath("streams", stream)),
        since=since,
        replay=replay,
        wait=wait,
        on_lost=lambda reason: lost(f"connection lost ({reason}); trying again"),
    )
    with contextlib.nullcontext() if raw else view:
        async with contextlib.aclosing(aiter(reader)) as messages:
            async for received in messages:
                if raw:
                    terminal.out.print(received.raw)
                else:
                    _show(view, received)
                if _is_end(received):
                    return


def _show(view: CaptionView, received: Received) -> None:
    message = received.message
    if isinstance(message, Hello) and message.state == "waiting":
        view.note("waiting for a publisher")
    view.show(message)


def _is_end(received: Received) -> bool:
    message = received.message
    return isinstance(message, Status) and message.state == "ended"
