"""
Do readers notice that sessions with a remote engine end?

Publishes one programme of known words over WebRTC three times at once, each to a daemon
of its own with the engine Gemini against a faithful server of its own: undisturbed;
with a session limit of 60 s; and with one fault of each kind. A fourth, with the local
engine as the fallback, loses its server for 20 s. Counts the words lost and doubled.

    python -m tests.bench.sessions --minutes 10
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import datetime
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from captiond.cli import trial
from captiond.cli.messages import Caption, Received
from captiond.cli.speech import Speech
from captiond.engines.moonshine.direct import transcribe_directly
from tests.bench.continuity import Count, Damage, attribute, compare
from tests.bench.disturbances import ALL, Disturbance
from tests.daemon_process import SPEECH_FOLDER, DaemonProcess
from tests.servers.gemini.process import GeminiProcess
from tests.servers.programme import Programme

FILES = (
    "long_lj001", "two_cities", "long_ls2033", "harvard", "long_ls2609", "spacewalk",
    "long_ls3331", "jfk", "noisy_ls367_office10", "mfa_acoustic_corpus", "vosk_digits",
)  # fmt: skip
"""Ten minutes of speech, each recording once."""

SESSION_SECONDS = 60.0

FIRST_FAULT = 20.0
FAULT_INTERVAL = 31.0
"""Seconds into the programme, and from one fault to the next."""

OUTAGE_AT, OUTAGE = 45.0, 20.0
OUTAGE_MINUTES = 2.5

console = Console(highlight=False)


@dataclasses.dataclass(slots=True, kw_only=True)
class Run:
    """What came of one publication."""

    name: str
    started_at: float = 0.0
    """Monotonic time of the programme's first sample."""
    text: str = ""
    events: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    """Seconds into the programme, and what happened."""
    engines: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    """When a caption's engine was another one than before."""
    log: list[dict[str, object]] = dataclasses.field(default_factory=list)
    """The daemon's log."""


Disturb = Callable[[GeminiProcess, Run], Awaitable[None]]


async def publish(
    name: str,
    programme: Path,
    folder: Path,
    disturb: Disturb,
    options: Sequence[str] = (),
) -> Run:
    """Publish the programme to a daemon and server of its own."""
    run = Run(name=name)
    words, wav = programme.with_suffix(".json"), programme.with_suffix(".wav")
    async with (
        GeminiProcess(wav, words, folder=folder / name) as server,
        _daemon(server, options) as daemon,
    ):

        def on_message(received: Received) -> None:
            if isinstance(received.message, Caption) and received.message.text:
                engine = str(json.loads(received.raw)["engine"])
                if not run.engines or run.engines[-1][1] != engine:
                    run.engines.append((received.at, engine))

        async def disturb_once_started() -> None:
            await asyncio.sleep(0)
            await disturb(server, run)

        run.started_at = time.monotonic()
        disturbing = asyncio.create_task(disturb_once_started())
        try:
            result = await trial.run(
                Speech(path=wav), daemon.addresses, name, on_message=on_message
            )
        finally:
            disturbing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await disturbing
        run.text = result.transcript
        shift = result.started_at - run.started_at
        run.events = [(at - shift, what) for at, what in run.events]
        run.started_at = result.started_at
        run.log = daemon.lines()
    return run


@contextlib.asynccontextmanager
async def _daemon(
    server: GeminiProcess, options: Sequence[str]
) -> AsyncIterator[DaemonProcess]:
    os.environ["GEMINI_API_KEY"] = server.api_key
    settings = {
        "engine.name": "gemini",
        "engine.open_timeout": "5",
        "engines.gemini.base_url": server.url,
        "engines.gemini.ca_file": str(server.pem),
    }
    arguments = [f"{key}={value}" for key, value in settings.items()] + list(options)
    async with DaemonProcess(
        [each for argument in arguments for each in ("--set", argument)]
    ) as daemon:
        yield daemon


async def leave_alone(_server: GeminiProcess, _run: Run) -> None:
    """Disturb nothing."""


def faults(disturbances: Sequence[Disturbance], seconds: float) -> Disturb:
    """Return what brings about one fault after another."""

    async def disturb(server: GeminiProcess, run: Run) -> None:
        for number, each in enumerate(disturbances):
            at = FIRST_FAULT + number * FAULT_INTERVAL
            if at > seconds - 10:
                break
            await asyncio.sleep(max(run.started_at + at - time.monotonic(), 0))
            run.events.append((time.monotonic() - run.started_at, each.name))
            console.print(f"{run.events[-1][0]:6.1f} s: {each.name}", style="dim")
            await each.do(server)

    return disturb


def outage(seconds: float) -> Disturb:
    """Return what kills the server, and starts it again."""

    async def disturb(server: GeminiProcess, run: Run) -> None:
        await asyncio.sleep(min(OUTAGE_AT, seconds / 4))
        run.events.append((time.monotonic() - run.started_at, "killed"))
        await server.kill()
        await asyncio.sleep(min(OUTAGE, seconds / 4))
        await server.start()
        run.events.append((time.monotonic() - run.started_at, "back"))

    return disturb


def rotations_of(run: Run) -> list[float]:
    """Return when sessions were replaced, in seconds into the programme."""
    # The log has the wall clock.
    origin = time.time() - time.monotonic() + run.started_at
    return [
        datetime.datetime.fromisoformat(str(line["timestamp"])).timestamp() - origin
        for line in run.log
        if line.get("event") == "session replaced"
    ]


def report(programme: Programme, plain: Run, limited: Run, faulty: Run) -> bool:
    """Print the tables; return whether the targets are met."""
    base = compare(programme.words, plain.text)
    console.print(
        f"{len(programme.words)} words in {programme.seconds:.0f} s; undisturbed: "
        f"{_sum(base)}"
    )
    turns = rotations_of(limited)
    damages = compare(programme.words, limited.text)
    counts, rest = attribute(damages, turns)
    kept = _table(
        f"session limit: {len(turns)} rotations",
        [(at, "rotation", 0) for at in turns],
        counts,
    )
    kept &= len(turns) >= programme.seconds / SESSION_SECONDS - 2
    kept &= not (rest.lost or rest.doubled) or bool(base)
    allowed = {each.name: each.allowed for each in ALL}
    damages = compare(programme.words, faulty.text)
    counts, _ = attribute(damages, [at for at, _ in faulty.events])
    kept &= _table(
        "faults",
        [(at, name, allowed[name]) for at, name in faulty.events],
        counts,
    )
    return kept


def _table(
    title: str, rows: Sequence[tuple[float, str, int]], counts: Sequence[Count]
) -> bool:
    table = Table(title=title, box=None, title_justify="left")
    for heading in ("at", "what", "lost", "doubled", "changed", "allowed", ""):
        table.add_column(heading)
    kept = True
    for (at, name, allowed), count in zip(rows, counts, strict=True):
        met = count.lost <= allowed and count.doubled <= allowed
        kept &= met
        table.add_row(
            f"{at:.0f} s",
            name,
            str(count.lost),
            str(count.doubled),
            str(count.changed),
            str(allowed),
            "" if met else "MISSED",
        )
    console.print(table)
    return kept


def report_outage(programme: Programme, run: Run) -> bool:
    """Print how the fallback did; return whether the targets are met."""
    killed, back = (run.started_at + at for at, _ in run.events)
    taken_over = [at - killed for at, name in run.engines if "moonshine" in name]
    returned = [at - back for at, name in run.engines if "gemini" in name and at > back]
    ours = compare(programme.words, run.text)
    directly = compare(programme.words, transcribe_directly(programme.pcm))
    begin, end = run.events[0][0] - 5.0, run.events[1][0] + 15.0
    lost = _lost_in(ours, begin, end)
    engine_loses = _lost_in(directly, begin, end)
    outside = [each for each in ours if not begin <= each.at <= end]
    console.print(
        f"server killed for {back - killed:.0f} s: fallback's first caption after "
        f"{_first(taken_over)}, back on gemini {_first(returned)} after its return\n"
        f"words lost around the outage: {len(lost)} ({' '.join(lost) or 'none'}); "
        f"the fallback engine alone loses {len(engine_loses)} "
        f"({' '.join(engine_loses) or 'none'}) of the same speech; "
        f"elsewhere: {_sum(outside)}"
    )
    fast = bool(taken_over) and taken_over[0] <= 2.0
    return fast and bool(returned) and len(lost) <= len(engine_loses) and not outside


def _first(values: Sequence[float]) -> str:
    return f"{values[0]:.2f} s" if values else "never"


def _lost_in(damages: Sequence[Damage], begin: float, end: float) -> list[str]:
    return [d.word for d in damages if d.kind == "lost" and begin <= d.at <= end]


def _sum(damages: Sequence[Damage]) -> str:
    kinds = [damage.kind for damage in damages]
    return ", ".join(
        f"{kinds.count(kind)} {kind}" for kind in ("lost", "doubled", "changed")
    )


def speech() -> Programme:
    """Return ten minutes of speech, or what is always there."""
    if SPEECH_FOLDER.exists():
        return Programme.joined(FILES, silence=1.0)
    console.print(f"{SPEECH_FOLDER} isn't there: only a minute of speech, few faults")
    return Programme.packaged()


def cut(programme: Programme, seconds: float) -> Programme:
    """Return the beginning of a programme."""
    return Programme(
        samples=programme.samples[: round(seconds * 16_000)],
        words=tuple(word for word in programme.words if word.end <= seconds),
    )


def save(programme: Programme, folder: Path, name: str) -> Path:
    """Write a programme; return its path without the suffix."""
    programme.save(folder / f"{name}.wav", folder / f"{name}.json")
    return folder / name


async def measure(programme: Programme, folder: Path) -> list[Run]:
    """Publish everything at once."""
    short = cut(programme, min(programme.seconds, OUTAGE_MINUTES * 60))
    whole = save(programme, folder, "programme")
    for name in ("plain", "limited", "faulty", "outage"):
        (folder / name).mkdir()
    seconds = SESSION_SECONDS if programme.seconds > 2 * SESSION_SECONDS else 30.0
    limit = [f"engines.gemini.session_seconds={seconds}"]
    fallback = ["engine.fallback=moonshine", "engines.moonshine.workers=1"]
    return list(
        await asyncio.gather(
            publish("plain", whole, folder, leave_alone),
            publish("limited", whole, folder, leave_alone, limit),
            publish("faulty", whole, folder, faults(ALL, programme.seconds)),
            publish(
                "outage",
                save(short, folder, "short"),
                folder,
                outage(short.seconds),
                fallback,
            ),
        )
    )


def main() -> None:
    """Run the benchmark; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--keep", type=Path, help="folder for texts and logs")
    arguments = parser.parse_args()
    programme = cut(speech(), arguments.minutes * 60)
    with tempfile.TemporaryDirectory(prefix="captiond-") as folder:
        runs = asyncio.run(measure(programme, Path(folder)))
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        for run in runs:
            text = json.dumps(dataclasses.asdict(run), indent=1)
            (arguments.keep / f"{run.name}.json").write_text(text, encoding="utf-8")
    plain, limited, faulty, outaged = runs
    met = report(programme, plain, limited, faulty)
    short = cut(programme, min(programme.seconds, OUTAGE_MINUTES * 60))
    met &= report_outage(short, outaged)
    console.print("targets met" if met else "targets MISSED")
    raise SystemExit(not met)


if __name__ == "__main__":
    main()
