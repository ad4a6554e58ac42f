"""Stopping the daemon: drained with the last words, or at once."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from captiond.cli.whip_client import PublishError, WhipPublisher
from tests.daemon_process import DaemonProcess
from tests.e2e.conftest import Clip
from tests.e2e.readers import Reader
from tests.harness import until

pytestmark = pytest.mark.e2e


class PersistentReader(Reader):
    """Reads on after the stream has paused, until the connection closes."""

    async def run(self) -> None:
        """Read everything."""
        while self.code is None:
            await super().run()


async def test_sigterm_delivers_the_last_words(clip: Clip) -> None:
    """In the middle of a sentence: what was said comes, then 1001, then exit 0."""
    async with DaemonProcess() as daemon, asyncio.TaskGroup() as tasks:
        reader = Reader(daemon.addresses.captions("demo") + "?wait=1")
        idle = Reader(daemon.addresses.captions("other") + "?wait=1")
        reading = tasks.create_task(reader.run())
        idling = tasks.create_task(idle.run())
        await reader.greeted.wait()
        await idle.greeted.wait()
        publisher = WhipPublisher(clip.path, daemon.addresses.whip("demo"))
        await publisher.start()
        await until(lambda: reader.has_shown("worst"), timeout=30)
        os.kill(daemon.pid, signal.SIGTERM)
        with pytest.raises(PublishError):
            await publisher.wait()
        await publisher.stop()
        await reading
        await idling
        await daemon.wait()

    assert "worst" in reader.text
    assert reader.messages[-1]["state"] == "paused"
    assert idle.code == 1001
    assert daemon.returncode == 0  # 1 if drain.timeout had run out


async def test_second_signal_ends_at_once(clip: Clip) -> None:
    """An operator in a hurry signals twice; no worker is left behind."""
    async with DaemonProcess() as daemon:
        publisher = WhipPublisher(clip.path, daemon.addresses.whip("demo"))
        await publisher.start()
        os.kill(daemon.pid, signal.SIGTERM)
        # Two signals at once would be one.
        await until(lambda: any(x["event"] == "draining" for x in daemon.lines()))
        os.kill(daemon.pid, signal.SIGTERM)
        code = await daemon.wait()
        await publisher.stop()

    assert code == 130
