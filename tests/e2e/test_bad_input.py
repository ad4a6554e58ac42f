"""Everything wrong at once, while a good stream runs beside it unharmed."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from captiond.cli.whip_client import WhipPublisher
from tests.daemon_process import DaemonProcess
from tests.e2e.conftest import Clip
from tests.e2e.readers import Reader
from tests.harness import media_port

pytestmark = pytest.mark.e2e

OFFERS = [
    path.read_text()
    for path in sorted((Path(__file__).parents[1] / "ingest" / "offers").glob("*.txt"))
]
MAX_WER = 25.0


def mutate(offer: str, chance: random.Random) -> bytes:
    """Return an offer with a few lines dropped, doubled, cut or scrambled."""
    lines = offer.splitlines()
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines))
        match chance.randrange(4):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, chance.choice(lines))
            case 2:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case _:
                lines[at] = "".join(chance.sample(lines[at], len(lines[at])))
        if not lines:
            break
    return "\r\n".join(lines).encode()


async def attack_http(url: str) -> set[int]:
    """Send what publishers shouldn't; return the statuses."""
    chance = random.Random(1)
    statuses = set()
    bodies = [mutate(chance.choice(OFFERS), chance) for _ in range(150)]
    bodies += [b"", b"hello", b"\x00" * 100, b"v=0\r\n" * 200_000]
    async with aiohttp.ClientSession() as http:
        for number, body in enumerate(bodies):
            async with http.post(
                f"{url}/whip/attack{number % 8}",
                data=body,
                headers={"Content-Type": "application/sdp"},
            ) as response:
                statuses.add(response.status)
                if response.status == 201:
                    session = url + response.headers["Location"]
                    async with http.delete(session) as deleted:
                        assert deleted.status == 200
        for method, path in (
            ("PUT", "/whip/x"),
            ("DELETE", "/whip/x/y"),
            ("PATCH", "/whip/x/y"),
            ("GET", "/api/streams/none"),
            ("GET", "/../../etc/passwd"),
        ):
            async with http.request(method, url + path) as response:
                statuses.add(response.status)
    return statuses


async def attack_websocket(url: str) -> None:
    """Ask for nonsense, and send it."""
    for target in ("/", "/streams/none", "/streams/good?since=1", "/streams/%ff"):
        with pytest.raises(InvalidStatus):
            await connect(url + target)
    for message in ("{", "[" * 4000, b"\x00\xff", "x" * 100_000):
        async with connect(f"{url}/streams/good") as connection:
            try:
                for _ in range(20):
                    await connection.send(message)
            except ConnectionClosed:
                pass  # what the daemon does with it


def attack_udp(port: int) -> None:
    """Send garbage to a media port from a stranger's socket."""
    chance = random.Random(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for size in (0, 1, 12, 20, 100, 1200) * 50:
            sock.sendto(chance.randbytes(size), ("127.0.0.1", port))


async def test_good_stream_is_unharmed(clip: Clip) -> None:
    """Hostile HTTP, WebSocket and UDP change nothing for a stream beside them."""
    async with DaemonProcess() as daemon, asyncio.TaskGroup() as tasks:
        addresses = daemon.addresses
        reader = Reader(addresses.captions("good") + "?wait=1")
        tasks.create_task(reader.run())
        await reader.greeted.wait()
        publisher = WhipPublisher(clip.path, addresses.whip("good"))
        await publisher.start()
        waiting = tasks.create_task(publisher.wait())
        statuses = await attack_http(addresses.http)
        await attack_websocket(addresses.websocket)
        attack_udp(media_port(publisher))
        await waiting
        await publisher.stop()

    assert clip.word_error_rate(reader.text) <= MAX_WER
    assert statuses <= {200, 201, 204, 400, 404, 405, 413, 422, 428}
    assert {400, 404, 405, 413, 422} <= statuses
    assert daemon.returncode == 0
    assert "Traceback" not in daemon.log
