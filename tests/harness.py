"""The daemon's servers in the test's own loop, with a scripted engine behind them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web
from websockets.asyncio.server import Server

from captiond.cli.whip_client import WhipPublisher
from captiond.clock import utc_now
from captiond.config import (
    Audio,
    Config,
    Limits,
    StreamSection,
    WebRtc,
    WebSocket,
)
from captiond.egress.control import Control
from captiond.egress.websocket import WebSocketEgress
from captiond.egress.wire import encode
from captiond.hub.hub import Hub
from captiond.ingest import guards
from captiond.ingest.whip import WhipEndpoint
from captiond.live.engine import Engine
from captiond.live.roster import Roster
from captiond.metrics import Metrics
from captiond.streams import Streams
from captiond.web import problems
from captiond.web.api import Api
from captiond.web.control import ControlApi
from tests.fakes import ScriptedEngine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Harness:
    """What a test needs of a running daemon."""

    url: str
    websocket: str
    http: aiohttp.ClientSession
    hub: Hub
    streams: Streams
    metrics: Metrics

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a metric; 0 if it was never set."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def quick_config(*, linger: float = 0.2, streams: int = 4) -> Config:
    """Return a configuration with short time-outs and tenth-of-a-second chunks."""
    return Config(
        websocket=WebSocket(port=0),
        audio=Audio(chunk_ms=100),
        webrtc=WebRtc(connect_timeout=3.0),
        stream=StreamSection(linger=linger),
        limits=Limits(streams=streams),
    )


@contextlib.asynccontextmanager
async def harness(
    config: Config | None = None, engine: Engine | None = None
) -> AsyncIterator[Harness]:
    """Serve WHIP, the API and the WebSocket on free ports of loopback."""
    config = config or quick_config()
    metrics = Metrics()
    guards.install(metrics)
    guards.use_addresses(("127.0.0.1",))
    hub = Hub(config, metrics, encode=encode, wall=utc_now)
    async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as http:
        streams = Streams(
            hub,
            Roster({"scripted": engine or ScriptedEngine()}),
            config=config,
            metrics=metrics,
            tasks=tasks,
        )
        whip = WhipEndpoint(config, streams)
        streams.on_peer_ended = whip.forget
        app = web.Application(
            client_max_size=config.http.max_body_bytes,
            middlewares=[problems.middleware(metrics)],
        )
        whip.add_routes(app.router)
        Api(hub, streams).add_routes(app.router)
        control = Control(streams.get, metrics)
        ControlApi(config, hub, control).add_routes(app.router)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with WebSocketEgress(config, hub, control, metrics).serve() as server:
                yield Harness(
                    url=f"http://127.0.0.1:{runner.addresses[0][1]}",
                    websocket=f"ws://127.0.0.1:{_port(server)}",
                    http=http,
                    hub=hub,
                    streams=streams,
                    metrics=metrics,
                )
        finally:
            await streams.drain()
            await runner.cleanup()


def _port(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


def media_port(publisher: WhipPublisher) -> int:
    """Return the daemon's media port for a publisher, from the answer it got."""
    assert publisher._peer is not None
    lines = publisher._peer.remoteDescription.sdp.splitlines()
    return int(next(line for line in lines if "typ host" in line).split()[5])


async def until(condition: Callable[[], object], *, timeout: float = 10.0) -> None:
    """Wait until a condition holds; fail after ``timeout`` seconds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds, no event
            await asyncio.sleep(0.01)
