"""A stream as controllers see it, without a session behind it, and its channel."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from captiond.clock import utc_now
from captiond.config import Config, Limits, Subscribers, WebSocket
from captiond.egress.control import Control
from captiond.egress.websocket import WebSocketEgress
from captiond.egress.wire import encode
from captiond.errors import ControlError
from captiond.events import Status, StreamState
from captiond.hub.hub import Channel, Hub
from captiond.live.control import ControlEvent
from captiond.live.session import Capabilities, TextPurpose, ToolResponse
from captiond.metrics import Metrics


class ScriptedStream:
    """Notes what it is asked for, and tells what a test lets it tell."""

    def __init__(self) -> None:
        self.engine = "scripted"
        self.capabilities: Capabilities | None = Capabilities(text=True)
        self.running = True
        self.asked: list[object] = []
        self.error: ControlError | None = None
        """Raised by whatever is asked for next."""
        self.answered = asyncio.Event()
        """Lets flushes end."""
        self.listeners: list[Callable[[ControlEvent], None]] = []

    def send_text(self, text: str, purpose: TextPurpose) -> None:
        self._note((text, purpose))

    def interrupt(self) -> None:
        self._note("interrupt")

    def send_tool_response(self, response: ToolResponse) -> None:
        self._note(response)

    async def flush(self, timeout: float) -> bool:
        self._note("flush")
        try:
            async with asyncio.timeout(timeout):
                await self.answered.wait()
        except TimeoutError:
            return False
        return True

    def switch_engine(self, name: str) -> None:
        self._note(f"engine {name}")

    def listen(self, listener: Callable[[ControlEvent], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def tell(self, event: ControlEvent) -> None:
        """Let the session say something."""
        for listener in tuple(self.listeners):
            listener(event)

    def _note(self, what: object) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.asked.append(what)


class Served:
    """The stream ``demo`` behind a listening WebSocket egress."""

    def __init__(self, hub: Hub, metrics: Metrics) -> None:
        self.hub = hub
        self.url = ""
        self.metrics = metrics
        self.stream = ScriptedStream()
        self.streams: dict[str, ScriptedStream] = {"demo": self.stream}
        self.channel: Channel = hub.open("demo")
        hub.publish(self.channel, Status(state=StreamState.LIVE, reason="test"))

    @property
    def session(self) -> str:
        """Address of the control channel."""
        return f"{self.url}/streams/demo/session"

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a metric; 0 if it was never set."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def serve(**subscribers: Any) -> AsyncIterator[Served]:
    """Serve a stream on a free port."""
    config = Config(
        websocket=WebSocket(port=0),
        subscribers=Subscribers(**subscribers),
        limits=Limits(subscribers=5),
    )
    metrics = Metrics()
    hub = Hub(config, metrics, encode=encode, wall=utc_now)
    served = Served(hub, metrics)
    control = Control(served.streams.get, metrics)
    async with WebSocketEgress(config, hub, control, metrics).serve() as server:
        port = next(iter(server.sockets)).getsockname()[1]
        served.url = f"ws://127.0.0.1:{port}"
        yield served


@contextlib.asynccontextmanager
async def controller(url: str) -> AsyncIterator[ClientConnection]:
    """Connect, and read the greeting."""
    async with connect(url) as connection:
        assert (await receive(connection))["type"] == "hello"
        yield connection


async def receive(connection: ClientConnection) -> dict[str, Any]:
    """Return the next message."""
    async with asyncio.timeout(5):
        message: dict[str, Any] = json.loads(await connection.recv())
    return message


async def ask(
    connection: ClientConnection, kind: str, **more: object
) -> dict[str, Any]:
    """Send a request and return the next message."""
    await connection.send(json.dumps({"type": kind} | more))
    return await receive(connection)
