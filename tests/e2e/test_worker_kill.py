"""A worker is killed while somebody speaks: no word is lost, none is said twice."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from pathlib import Path

import jiwer
import pytest

from captiond.cli import score
from captiond.cli.whip_client import WhipPublisher
from tests.daemon_process import DaemonProcess
from tests.e2e.conftest import Clip
from tests.e2e.readers import Reader
from tests.harness import until

pytestmark = pytest.mark.e2e

KILLS_AT = (3.0, 7.6, 12.2)
"""Seconds of speech; each in the middle of an utterance."""


def workers_of(pid: int) -> list[int]:
    """Return the process ids of a daemon's children."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("this system doesn't list a process's children in /proc")
    return [int(child) for child in children.read_text().split()]


async def caption(clip: Clip, *, kills: tuple[float, ...]) -> Reader:
    """Publish the clip to a daemon whose worker is killed at the given times."""
    async with (
        DaemonProcess(["--set", "engines.moonshine.workers=1"]) as daemon,
        asyncio.TaskGroup() as tasks,
    ):
        reader = Reader(daemon.addresses.captions("demo") + "?wait=1")
        tasks.create_task(reader.run())
        await reader.greeted.wait()
        publisher = WhipPublisher(clip.path, daemon.addresses.whip("demo"))
        await publisher.start()
        waiting = tasks.create_task(publisher.wait())
        for time in kills:
            await until(functools.partial(has_sent, publisher, time), timeout=30)
            for worker in workers_of(daemon.pid):
                os.kill(worker, signal.SIGKILL)
        await waiting
        await publisher.stop()
    failures = [x for x in daemon.lines() if x["event"] == "session failed"]
    assert len(failures) >= len(kills)
    return reader


def has_sent(publisher: WhipPublisher, seconds: float) -> bool:
    """Whether so much of the file has been sent."""
    return publisher.sent >= seconds


async def test_killed_worker_costs_no_word(clip: Clip) -> None:
    """The transcript equals the undisturbed one within one word per kill."""
    undisturbed, disturbed = await asyncio.gather(
        caption(clip, kills=()), caption(clip, kills=KILLS_AT)
    )
    words = jiwer.process_words(
        score.simple(undisturbed.text), score.simple(disturbed.text)
    )

    assert words.substitutions + words.deletions + words.insertions <= len(KILLS_AT)
    assert not any(m["type"] == "gap" for m in disturbed.messages)
    cues = [m["cue"] for m in disturbed.finals]
    assert cues == sorted(set(cues))
    assert {m["cue"] for m in disturbed.messages if m["type"] == "caption"} == set(cues)
