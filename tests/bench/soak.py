"""
Does anything grow?

One looping stream with one reader, for half an hour; samples resident memory of the
daemon and its workers and the engine's lag.

    python -m tests.bench.soak --minutes 30
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from captiond.cli import scrape
from captiond.cli.caption_reader import CaptionReader
from captiond.cli.messages import Caption
from captiond.cli.speech import packaged
from captiond.cli.whip_client import WhipPublisher
from tests.daemon_process import DaemonProcess

STREAM = "soak"
SETTLING = 5 * 60.0
"""Seconds after which nothing may grow any more."""

MAX_GROWTH_MB = 20.0

console = Console(highlight=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """State of the daemon some seconds after the start; memory in MB."""

    after: float
    daemon: float
    workers: float
    lag: float
    finals: int


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def descendants(pid: int) -> Iterator[int]:
    """Yield the process ids of all children, and their children."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from descendants(child)


async def soak(*, minutes: float, interval: float) -> list[Sample]:
    """Run one looping stream and return the samples."""
    samples: list[Sample] = []
    async with DaemonProcess() as daemon:
        publisher = WhipPublisher(
            packaged().path, daemon.addresses.whip(STREAM), loop=True
        )
        finals = 0

        async def read() -> None:
            nonlocal finals
            url = daemon.addresses.captions(STREAM)
            async for received in CaptionReader(url, wait=True):
                message = received.message
                if isinstance(message, Caption) and message.final:
                    finals += 1

        async def sample() -> None:
            began = time.monotonic()
            while time.monotonic() - began < minutes * 60:
                await asyncio.sleep(interval)
                figures = await scrape.samples(daemon.addresses.admin)
                samples.append(
                    Sample(
                        after=time.monotonic() - began,
                        daemon=resident_mb(daemon.pid),
                        workers=sum(map(resident_mb, descendants(daemon.pid))),
                        lag=figures.get("captiond_engine_lag_seconds", 0.0),
                        finals=finals,
                    )
                )
                console.print(_row(samples[-1]), style="dim")

        reading = asyncio.create_task(read())
        publishing: asyncio.Task[None] | None = None
        sampling = asyncio.create_task(sample())
        try:
            await publisher.start()
            publishing = asyncio.create_task(publisher.wait())
            # A looping publisher and a reader end only by an error.
            await asyncio.wait(
                {reading, publishing, sampling}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in (reading, publishing):
                if task.done():
                    task.result()
        finally:
            tasks = [t for t in (reading, publishing, sampling) if t is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await publisher.stop()
    return samples


def report(samples: list[Sample]) -> bool:
    """Print the table; return whether memory and lag kept within their bounds."""
    table = Table(box=None)
    for heading in ("min", "daemon MB", "workers MB", "lag s", "finals"):
        table.add_column(heading, justify="right")
    for sample in samples:
        table.add_row(*_cells(sample))
    console.print(table)
    settled = [sample for sample in samples if sample.after >= SETTLING] or samples
    growth = {
        "daemon": settled[-1].daemon - settled[0].daemon,
        "workers": settled[-1].workers - settled[0].workers,
    }
    half = len(settled) // 2
    lag = _mean_lag(settled[half:]) - _mean_lag(settled[:half])
    console.print(
        f"growth from {settled[0].after / 60:.1f} to {settled[-1].after / 60:.1f} min: "
        f"daemon {growth['daemon']:+.1f} MB, workers {growth['workers']:+.1f} MB; "
        f"mean lag of the second half - first half {lag:+.2f} s"
    )
    return max(growth.values()) < MAX_GROWTH_MB and lag < 0.5


def _mean_lag(samples: list[Sample]) -> float:
    return sum(sample.lag for sample in samples) / max(len(samples), 1)


def _cells(sample: Sample) -> tuple[str, ...]:
    return (
        f"{sample.after / 60:.1f}",
        f"{sample.daemon:.1f}",
        f"{sample.workers:.1f}",
        f"{sample.lag:.2f}",
        str(sample.finals),
    )


def _row(sample: Sample) -> str:
    minutes, daemon, workers, lag, finals = _cells(sample)
    return (
        f"{minutes} min: daemon {daemon} MB, workers {workers} MB, lag {lag} s, "
        f"{finals} finals"
    )


def main() -> None:
    """Run the benchmark; exit code 1 if something grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--interval", type=float, default=30.0, help="seconds")
    arguments = parser.parse_args()
    kept = report(
        asyncio.run(soak(minutes=arguments.minutes, interval=arguments.interval))
    )
    raise SystemExit(not kept)


if __name__ == "__main__":
    main()
