"""
The daemon: puts the parts together, starts and stops them in order.

SIGTERM or SIGINT drains: no new publishers, the last words delivered, readers closed
with 1001, all within ``drain.timeout``. A second signal ends at once.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from aiohttp import web

from captiond import engines, logs
from captiond.clock import utc_now
from captiond.config import Config, is_loopback
from captiond.egress import wire
from captiond.egress.control import Control
from captiond.egress.websocket import WebSocketEgress
from captiond.events import StreamState
from captiond.hub.hub import Hub
from captiond.ingest import guards
from captiond.ingest.whip import WhipEndpoint
from captiond.live.roster import Roster
from captiond.metrics import Metrics
from captiond.streams import Streams
from captiond.web import problems
from captiond.web.admin import AdminApi
from captiond.web.api import Api
from captiond.web.control import ControlApi

FORCED_EXIT = 130
"""Exit code after a second signal."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the daemon listens."""

    http: str
    websocket: str
    admin: str


async def run(
    config: Config, *, ready: Callable[[Addresses], None] = lambda _: None
) -> None:
    """
    Run the daemon until it is told to stop.

    Args:
        config: The configuration.
        ready: Called once publishers and readers can come.

    Raises:
        ConfigError: If the engine isn't there.
        EngineError: If the engine can't start.
        OSError: If an address can't be listened on.

    """
    log = logs.get("daemon")
    for name, reason in engines.broken().items():
        log.warning("engine left out", engine=name, reason=reason)
    metrics = Metrics()
    roster = Roster(engines.create(config, metrics), fallback=config.engine.fallback)
    guards.install(metrics)
    guards.use_addresses(_media_addresses(config))
    hub = Hub(config, metrics, encode=wire.encode, wall=utc_now)
    with _signals() as stop:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(roster)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            streams = Streams(hub, roster, config=config, metrics=metrics, tasks=tasks)
            control = Control(streams.get, metrics)
            websocket = WebSocketEgress(config, hub, control, metrics)
            server = await stack.enter_async_context(websocket.serve())
            http = await stack.enter_async_context(
                _http(config, metrics, hub, streams, control)
            )
            admin = await stack.enter_async_context(
                _admin(config, metrics, hub, streams, roster)
            )
            addresses = Addresses(
                http=_url("http", config.http.host, http),
                websocket=_url(
                    "ws", config.websocket.host, _port(tuple(server.sockets))
                ),
                admin=_url("http", config.admin.host, admin),
            )
            log.info("ready", **dataclasses.asdict(addresses))
            ready(addresses)
            await stop.wait()
            await _drain(config, streams)
    log.info("stopped")


async def _drain(config: Config, streams: Streams) -> None:
    log = logs.get("daemon")
    log.info("draining", streams=sum(each.running for each in streams.all()))
    # Whatever hangs after this, the process ends in time.
    asyncio.get_running_loop().call_later(config.drain.timeout, _give_up)
    try:
        # Some of the time is for closing readers and workers.
        async with asyncio.timeout(0.8 * config.drain.timeout):
            await streams.drain()
    except TimeoutError:
        log.warning("drain took too long; words may be missing")
        streams.abandon()


def _give_up() -> None:
    logs.get("daemon").error("not stopped in time; ending at once")
    os._exit(1)


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def handle() -> None:
        if stop.is_set():
            os._exit(FORCED_EXIT)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _http(
    config: Config, metrics: Metrics, hub: Hub, streams: Streams, control: Control
) -> AsyncIterator[int]:
    app = web.Application(
        client_max_size=config.http.max_body_bytes,
        middlewares=[problems.middleware(metrics)],
    )
    whip = WhipEndpoint(config, streams)
    streams.on_peer_ended = whip.forget
    whip.add_routes(app.router)
    Api(hub, streams).add_routes(app.router)
    ControlApi(config, hub, control).add_routes(app.router)
    async with _site(app, config.http.host, config.http.port) as port:
        yield port


@asynccontextmanager
async def _admin(
    config: Config, metrics: Metrics, hub: Hub, streams: Streams, roster: Roster
) -> AsyncIterator[int]:
    def refresh() -> None:
        metrics.engine_lag_seconds.set(
            max((each.lag for each in streams.all()), default=0.0)
        )
        metrics.ring_depth_seconds.set(
            max((each.ring_depth for each in streams.all()), default=0.0)
        )
        states = collections.Counter(each.log.state for each in hub.channels())
        for state in StreamState:
            metrics.streams.labels(state.value).set(states[state])

    def not_ready() -> str | None:
        return "draining" if streams.draining else roster.not_ready

    app = web.Application()
    AdminApi(metrics, refresh=refresh, not_ready=not_ready).add_routes(app.router)
    async with _site(app, config.admin.host, config.admin.port) as port:
        yield port


@asynccontextmanager
async def _site(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _media_addresses(config: Config) -> tuple[str, ...]:
    if config.webrtc.addresses:
        return config.webrtc.addresses
    # Media is as reachable as signalling: by this machine, or by every one.
    return ("127.0.0.1",) if is_loopback(config.http.host) else ()


def _port(sockets: tuple[object, ...]) -> int:
    port: int = sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    return port


def _url(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}"
