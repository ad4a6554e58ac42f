"""
How late are captions, at a reader on the same machine?

Publishes files with known word times one after another, as one stream each, on an
otherwise idle machine. Publisher, daemon and reader all run here.

    python -m tests.bench.latency
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import time

from rich.console import Console
from rich.table import Table

from captiond.cli import scrape, trial
from captiond.cli.measure import Latencies, percentile
from tests.bench.corpus import Item, load
from tests.daemon_process import DaemonProcess

DEFAULT_FILES = ("two_cities", "harvard", "spacewalk", "mfa_acoustic_corpus", "jfk")

TARGETS = {"first interim": (0.9, None), "word": (None, None), "final": (0.9, 1.4)}
"""Seconds that p50 and p95 may be at most."""

console = Console(highlight=False)


@dataclasses.dataclass(slots=True, kw_only=True)
class Run:
    """What was measured over all files."""

    figures: Latencies = dataclasses.field(default_factory=Latencies)
    cpu: scrape.Cpu = dataclasses.field(
        default_factory=lambda: scrape.Cpu(daemon=0.0, workers=0.0)
    )
    elapsed: float = 0.0


async def measure(items: list[Item], *, rounds: int) -> Run:
    """Publish the files one after another."""
    run = Run()
    async with DaemonProcess() as daemon:
        before, began = await scrape.cpu(daemon.addresses.admin), time.monotonic()
        for number in range(rounds):
            for item in items:
                stream = f"{item.name}-{number}"
                result = await trial.run(item.speech, daemon.addresses, stream)
                figures = result.latencies(item.speech)
                run.figures.extend(figures)
                console.print(
                    f"{item.name}: final p50 {percentile(figures.final, 50):.2f} s",
                    style="dim",
                )
        run.cpu = await scrape.cpu(daemon.addresses.admin) - before
        run.elapsed = time.monotonic() - began
    return run


def report(run: Run) -> bool:
    """Print the table; return whether the targets are met."""
    table = Table("latency", box=None)
    for heading in ("count", "p50 s", "p95 s", "max s", "target"):
        table.add_column(heading, justify="right")
    all_met = True
    for name, values in (
        ("first interim", run.figures.first_interim),
        ("word", run.figures.word),
        ("final", run.figures.final),
    ):
        middle, late = percentile(values, 50), percentile(values, 95)
        limits = TARGETS[name]
        # Not a number is not below a limit either.
        met = all(
            limit is None or value <= limit
            for value, limit in zip((middle, late), limits, strict=True)
        )
        all_met = all_met and met
        wanted = " / ".join("-" if limit is None else f"{limit}" for limit in limits)
        table.add_row(
            name,
            str(len(values)),
            f"{middle:.2f}",
            f"{late:.2f}",
            f"{percentile(values, 100):.2f}",
            f"{wanted} {'met' if met else 'MISSED'}",
        )
    console.print(table)
    console.print(
        f"CPU: {100 * run.cpu.total / run.elapsed:.0f} % of a core "
        f"(daemon {100 * run.cpu.daemon / run.elapsed:.0f} %, "
        f"workers {100 * run.cpu.workers / run.elapsed:.0f} %)"
    )
    return all_met


def main() -> None:
    """Run the benchmark; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    items = [item for item in load(arguments.files) if item.speech.words]
    if not arguments.files:
        items = [item for item in items if item.name in DEFAULT_FILES]
    met = report(asyncio.run(measure(items, rounds=arguments.rounds)))
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
