"""Three streams at once, many readers each, and one that never reads."""

from __future__ import annotations

import asyncio
import socket
import urllib.parse

import pytest

from captiond.cli import scrape
from captiond.cli.whip_client import WhipPublisher
from tests.daemon_process import DaemonProcess
from tests.e2e.conftest import Clip
from tests.e2e.readers import Reader

pytestmark = pytest.mark.e2e

STREAMS = ("one", "two", "three")
READERS = 20
MAX_WER = 25.0


async def narrow_socket(url: str) -> socket.socket:
    """Connect a socket that takes as little as the kernel allows."""
    address = urllib.parse.urlsplit(url)
    assert address.hostname is not None
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(
        sock, (address.hostname, address.port)
    )
    return sock


async def publish(clip: Clip, url: str) -> None:
    """Publish the clip to its end."""
    publisher = WhipPublisher(clip.path, url)
    await publisher.start()
    await publisher.wait()
    await publisher.stop()


async def test_slow_reader_costs_nobody_anything(clip: Clip) -> None:
    """All others get every durable event in order; the slow one is cut and resumes."""
    options = [
        "subscribers.mailbox=1",
        "subscribers.send_buffer_bytes=4096",
        "subscribers.stall_timeout=3",
    ]
    arguments = [part for option in options for part in ("--set", option)]
    async with DaemonProcess(arguments) as daemon:
        urls = {name: daemon.addresses.captions(name) for name in STREAMS}
        readers = {
            name: [Reader(url + "?wait=1") for _ in range(READERS)]
            for name, url in urls.items()
        }
        sleeper = Reader(urls["one"] + "?wait=1", sock=await narrow_socket(urls["one"]))
        sleeper.wake.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleeper.run())
            for each in (sleeper, *(r for group in readers.values() for r in group)):
                if each is not sleeper:
                    tasks.create_task(each.run())
                await each.greeted.wait()
            for name in STREAMS:
                tasks.create_task(publish(clip, daemon.addresses.whip(name)))
            await asyncio.sleep(clip.seconds + 2)
            sleeper.wake.set()
        samples = await scrape.samples(daemon.addresses.admin)
        cut = samples["captiond_subscribers_cut_total"]
        resumed = Reader(f"{urls['one']}?since={sleeper.position}")
        await asyncio.wait_for(resumed.run(), 10)

    for group in readers.values():
        for reader in group:
            assert reader.durable == list(range(1, len(reader.durable) + 1))
            assert reader.durable == group[0].durable
            assert reader.messages[-1]["state"] == "paused"
            assert clip.word_error_rate(reader.text) <= MAX_WER
    assert cut >= 1
    # Where not even the close frame could be delivered, the connection just ends.
    assert sleeper.code in (1013, 1006)
    assert resumed.messages[0]["lost"] is None
    assert sleeper.durable + resumed.durable == readers["one"][0].durable
