"""``captiond publish``: send a file to a WHIP endpoint in real time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn
from yarl import URL

from captiond.cli import terminal
from captiond.errors import ConfigError

if TYPE_CHECKING:
    from captiond.cli.whip_client import Video, WhipPublisher

_PLAIN_INTERVAL = 10.0
"""Seconds of audio between two lines when nobody watches a terminal."""


def publish(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Any audio or video file.")
    ],
    url: Annotated[
        str,
        typer.Option(
            metavar="URL", help="WHIP endpoint: http://HOST:PORT/whip/STREAM."
        ),
    ],
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help="Bearer token. Other users of this machine can see it; prefer "
            "--token-file.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File that holds the bearer token."),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Start over at the end, without a seam.")
    ] = False,
    video: Annotated[
        bool, typer.Option("--video", help="Send the file's video track too.")
    ] = False,
    test_picture: Annotated[
        bool,
        typer.Option(
            "--test-picture", help="Send a colour that changes each second as video."
        ),
    ] = False,
) -> None:
    """
    Publish a file over WebRTC, as fast as it is spoken.

    A complete WHIP sender (RFC 9725: ICE, DTLS-SRTP, Opus), for trying out captiond
    or any other WHIP endpoint. Only the first audio track is sent, and with --video
    the first video track, at most 1280 pixels wide or high. Ctrl-C ends the session
    at the endpoint before it leaves.

    \b
    Examples:
      captiond publish talk.wav --url http://127.0.0.1:8080/whip/news
      captiond publish film.mp4 --url https://captions.example/whip/film --loop \\
          --token-file token.txt
    """
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    target = URL(url)
    if target.scheme not in ("http", "https") or not target.host:
        raise ConfigError(f"--url {url}: write http://HOST:PORT/whip/STREAM")
    if token_file is not None:
        token = _read_token(token_file)
    if video and test_picture:
        raise ConfigError("--video and --test-picture: only one video can be sent")
    chosen: Video | None = "file" if video else "test" if test_picture else None
    asyncio.run(_publish(file, url, token=token, loop=loop, video=chosen))


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ConfigError(f"{path}: can't be read: {exc.strerror}") from exc


async def _publish(
    file: Path, url: str, *, token: str | None, loop: bool, video: Video | None
) -> None:
    from captiond.cli.whip_client import WhipPublisher

    task = asyncio.current_task()
    assert task is not None
    # SIGTERM must say goodbye to the endpoint as Ctrl-C does.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    publisher = WhipPublisher(file, url, token=token, loop=loop, video=video)
    try:
        await publisher.start()
        with _progress(publisher, file) as report:
            await publisher.wait(on_progress=report)
    except asyncio.CancelledError:
        terminal.err.print(f"stopped after {publisher.sent:.1f} s")
        raise typer.Exit(130) from None
    finally:
        await publisher.stop()
    terminal.err.print(f"published {publisher.sent:.1f} s")


@contextlib.contextmanager
def _progress(publisher: WhipPublisher, file: Path) -> Iterator[_Report]:
    if not terminal.err.is_terminal:
        yield _Lines(publisher.total)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[position]}"),
        console=terminal.err,
        transient=True,
    ) as progress:
        yield _Bar(progress, terminal.clean(file.name), publisher.total)


class _Lines:
    def __init__(self, total: float | None) -> None:
        self._total = total
        self._next = _PLAIN_INTERVAL

    def __call__(self, sent: float) -> None:
        if sent >= self._next:
            self._next += _PLAIN_INTERVAL
            terminal.err.print(f"published {_position(sent, self._total)}")


class _Bar:
    def __init__(self, progress: Progress, name: str, total: float | None) -> None:
        self._progress = progress
        self._total = total
        self._task = progress.add_task(name, total=total, position="")

    def __call__(self, sent: float) -> None:
        self._progress.update(
            self._task, completed=sent, position=_position(sent, self._total)
        )


_Report = _Lines | _Bar


def _position(sent: float, total: float | None) -> str:
    if total is None:
        return terminal.clock(sent)
    return f"{terminal.clock(sent)} of {terminal.clock(total)}"
