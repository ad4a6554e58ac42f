"""
Does the way through WebRTC cost words?

Publishes each file through one daemon, and gives the same file to the engine directly,
in the same run. Prints the word error rate of both, per file and in total.

    python -m tests.bench.words --parallel 3
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import functools
import multiprocessing
import re
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from captiond.cli import audio_file, trial
from captiond.cli.score import Normaliser, WordErrors, whisper, word_errors
from captiond.engines.moonshine.direct import transcribe
from captiond.engines.moonshine.library import Model
from captiond.live.session import Hypothesis
from tests.bench.corpus import Item, load
from tests.daemon_process import DaemonProcess

TARGET_POINTS = 1.0
"""How far the total over WebRTC may be from the direct one, on clean files."""

console = Console(highlight=False)


async def over_webrtc(items: list[Item], *, parallel: int) -> dict[str, str]:
    """Publish the files, several at once, and return their transcripts."""
    free = asyncio.Semaphore(parallel)
    texts: dict[str, str] = {}
    async with DaemonProcess() as daemon:

        async def publish(item: Item) -> None:
            async with free:
                stream = re.sub(r"[^A-Za-z0-9._-]", "-", item.name)
                result = await trial.run(item.speech, daemon.addresses, stream)
                texts[item.name] = result.transcript
                console.print(
                    f"published {item.name} ({len(texts)} of {len(items)})",
                    style="dim",
                )

        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(publish(item))
    return texts


def fed_directly(items: list[Item], *, parallel: int) -> dict[str, str]:
    """Give the files to the engine, as fast as it takes them."""
    with concurrent.futures.ProcessPoolExecutor(
        parallel, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        texts = pool.map(_transcribe, [item.speech.path for item in items])
        return {item.name: text for item, text in zip(items, texts, strict=True)}


def _transcribe(path: Path) -> str:
    pcm = b"".join(audio_file.blocks(path, rate=16_000))
    events = transcribe(pcm, model=_model())
    return " ".join(e.text for e in events if isinstance(e, Hypothesis) and e.final)


@functools.cache
def _model() -> Model:
    return Model()


def report(
    items: list[Item], webrtc: dict[str, str], straight: dict[str, str]
) -> float:
    """Print the table and return the difference on clean files, in points."""
    normalise = whisper()
    table = Table("file", box=None)
    for heading in ("words", "WebRTC %", "direct %", "difference"):
        table.add_column(heading, justify="right")
    totals = {
        name: (WordErrors(), WordErrors()) for name in ("clean files", "noisy files")
    }
    for item in sorted(items, key=lambda item: (item.noisy, item.name)):
        through = _errors(item, webrtc, normalise)
        plain = _errors(item, straight, normalise)
        _add(table, item.name, through, plain)
        name = "noisy files" if item.noisy else "clean files"
        totals[name] = (totals[name][0] + through, totals[name][1] + plain)
    table.add_section()
    for name, (through, plain) in totals.items():
        if through.words:
            _add(table, name, through, plain)
    console.print(table)
    through, plain = totals["clean files"]
    return through.percent - plain.percent


def _errors(item: Item, texts: dict[str, str], normalise: Normaliser) -> WordErrors:
    return word_errors(item.text, texts.get(item.name, ""), normalise=normalise)


def _add(table: Table, name: str, through: WordErrors, plain: WordErrors) -> None:
    table.add_row(
        name,
        str(through.words),
        f"{through.percent:.1f}",
        f"{plain.percent:.1f}",
        f"{through.percent - plain.percent:+.2f}",
    )


def main() -> None:
    """Run the benchmark; exit code 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--parallel", type=int, default=2, metavar="N")
    parser.add_argument("--max-seconds", type=float, metavar="S")
    parser.add_argument("--texts", action="store_true", help="print the transcripts")
    arguments = parser.parse_args()
    items = load(arguments.files, max_seconds=arguments.max_seconds)
    began = time.monotonic()
    straight = fed_directly(items, parallel=2)
    console.print(f"engine fed directly in {time.monotonic() - began:.0f} s")
    webrtc = asyncio.run(over_webrtc(items, parallel=arguments.parallel))
    if arguments.texts:
        for item in items:
            console.print(f"{item.name}\n  webrtc: {webrtc[item.name]}")
            console.print(f"  direct: {straight[item.name]}")
    difference = report(items, webrtc, straight)
    met = abs(difference) <= TARGET_POINTS
    console.print(
        f"clean files, WebRTC - direct: {difference:+.2f} points "
        f"(target within {TARGET_POINTS}: {'met' if met else 'MISSED'})"
    )
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
