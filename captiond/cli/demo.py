"""``captiond demo``: the whole path on one machine, with figures at the end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from captiond.cli import terminal
from captiond.cli.view import CaptionView
from captiond.errors import CaptiondError, ConfigError

if TYPE_CHECKING:
    from captiond.cli.measure import Latencies
    from captiond.cli.scrape import Cpu
    from captiond.cli.speech import Speech
    from captiond.cli.trial import Trial

STREAM = "demo"

_ENOUGH_WORDS = 0.5
"""Share of the known words that must be captioned for the demo to succeed."""


class NoCaptions(CaptiondError):
    """The demo ran, but too few captions came."""


def demo(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Any audio or video file. Default: the speech that comes with the "
            "model, 44 seconds.",
        ),
    ] = None,
) -> None:
    """
    Start a daemon, publish a file to it, show the captions, and measure them.

    Everything is real: the daemon is a process of its own on free ports, the file is
    published over WebRTC (WHIP, ICE, DTLS-SRTP, Opus) as fast as it is spoken, and
    the captions are read over the WebSocket. Nothing leaves this machine.

    The table at the end gives the words and their error rate, where the text is known
    (FILE.txt beside FILE), and latencies from the sound leaving the publisher to the
    caption reaching the reader.

    \b
    Examples:
      captiond demo
      captiond demo interview.wav
    """
    from captiond.cli import speech

    if file is not None and not file.is_file():
        raise ConfigError(f"{file}: no such file")
    asyncio.run(_demo(speech.packaged() if file is None else speech.from_file(file)))


async def _demo(speech: Speech) -> None:
    from captiond.cli import scrape, trial
    from captiond.cli.child import DaemonProcess

    terminal.out.print("starting the daemon ...")
    async with DaemonProcess() as daemon:
        addresses = daemon.addresses
        for name, address in (
            ("publish", addresses.whip(STREAM)),
            ("captions", addresses.captions(STREAM)),
            ("metrics", f"{addresses.admin}/metrics"),
            ("speech", str(speech.path)),
        ):
            terminal.out.print(f"{name:<9} {address}")
        terminal.out.print()
        before, began = await scrape.cpu(addresses.admin), time.monotonic()
        with CaptionView(terminal.out) as view:
            result = await trial.run(
                speech,
                addresses,
                STREAM,
                on_message=lambda received: view.show(received.message),
            )
        used = await scrape.cpu(addresses.admin) - before
        elapsed = time.monotonic() - began
    terminal.out.print()
    terminal.out.print(_table(speech, result, used=used, elapsed=elapsed))
    _require_captions(speech, result)


def _table(speech: Speech, result: Trial, *, used: Cpu, elapsed: float) -> Table:
    from captiond.cli.align import tokens
    from captiond.cli.score import word_errors

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    heard = len(tokens(result.transcript))
    if speech.text is None:
        table.add_row("words", str(heard))
        table.add_row(
            "word error rate", f"unknown: no {speech.path.stem}.txt beside it"
        )
    else:
        errors = word_errors(speech.text, result.transcript)
        table.add_row("words", f"{heard} captioned, {errors.words} spoken")
        table.add_row(
            "word error rate", f"{errors.percent:.1f} % ({errors.errors} wrong)"
        )
    _add_latencies(table, result.latencies(speech))
    table.add_row(
        "CPU per stream",
        f"{100 * used.total / elapsed:.0f} % of a core "
        f"(daemon {100 * used.daemon / elapsed:.0f} %, "
        f"model {100 * used.workers / elapsed:.0f} %)",
    )
    return table


def _add_latencies(table: Table, figures: Latencies) -> None:
    from captiond.cli.measure import percentile

    for name, values in (
        ("first interim", figures.first_interim),
        ("word", figures.word),
        ("final", figures.final),
    ):
        if values:
            table.add_row(
                f"{name} latency",
                f"p50 {percentile(values, 50):.2f} s, "
                f"p95 {percentile(values, 95):.2f} s ({len(values)})",
            )


def _require_captions(speech: Speech, result: Trial) -> None:
    from captiond.cli.align import tokens

    heard = len(tokens(result.transcript))
    spoken = 1 if speech.text is None else len(tokens(speech.text))
    if heard < max(1, _ENOUGH_WORDS * spoken):
        raise NoCaptions(f"only {heard} words were captioned; see captiond doctor")
