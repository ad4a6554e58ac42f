"""Real publishers to a real daemon: each one's speech is captioned."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from captiond.cli.whip_client import WhipPublisher
from tests.daemon_process import DaemonProcess
from tests.e2e.conftest import Clip
from tests.e2e.readers import Reader
from tests.harness import until

pytestmark = pytest.mark.e2e

MAX_WER = 25.0
"""Percent. On a quiet machine it is 4; where publishers are starved of CPU their sound
stutters."""


async def test_aiortc_and_ffmpeg_are_captioned(clip: Clip, tmp_path: Path) -> None:
    """aiortc's and FFmpeg's WHIP clients, at the same time."""
    async with DaemonProcess() as daemon, asyncio.TaskGroup() as tasks:
        addresses = daemon.addresses
        readers = {
            name: Reader(addresses.captions(name) + "?wait=1")
            for name in ("aiortc", "ffmpeg")
        }
        for reader in readers.values():
            tasks.create_task(reader.run())
            await reader.greeted.wait()
        tasks.create_task(publish_with_ffmpeg(clip, addresses.whip("ffmpeg"), tmp_path))
        publisher = WhipPublisher(clip.path, addresses.whip("aiortc"))
        await publisher.start()
        await publisher.wait()
        await publisher.stop()

    for reader in readers.values():
        assert clip.word_error_rate(reader.text) <= MAX_WER
        assert reader.messages[-1]["state"] == "paused"


async def publish_with_ffmpeg(clip: Clip, url: str, folder: Path) -> None:
    """Run FFmpeg's client to the end of the file."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("ffmpeg_publisher.py")),
        str(clip.path),
        url,
        str(folder),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def test_words_of_a_publisher_that_vanishes_are_delivered(clip: Clip) -> None:
    """A publisher that is killed says no goodbye; its last words come all the same."""
    async with DaemonProcess() as daemon, asyncio.TaskGroup() as tasks:
        url = daemon.addresses.whip("demo")
        reader = Reader(daemon.addresses.captions("demo") + "?wait=1")
        reading = tasks.create_task(reader.run())
        await reader.greeted.wait()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "captiond", "publish", str(clip.path)),
            *("--url", url),
            stdout=asyncio.subprocess.DEVNULL,
        )
        await until(lambda: reader.has_shown("worst"), timeout=30)
        process.kill()
        await process.wait()
        await until(lambda: "worst" in reader.text)
        reading.cancel()

    assert reader.messages[-1]["type"] == "caption"
