"""Control of a real stream: publisher, session and controllers at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from captiond.cli.whip_client import WhipPublisher
from captiond.live.session import (
    Capabilities,
    Interrupted,
    ModelText,
    TextPurpose,
    ToolCall,
    ToolResponse,
    TurnComplete,
)
from tests.egress.controlled import receive
from tests.fakes import ScriptedEngine
from tests.harness import Harness, harness, quick_config, until

ABLE = Capabilities(text=True, tools=True, interrupt=True)


class Scene:
    """A stream that somebody publishes for as long as it is looked at."""

    def __init__(self, daemon: Harness, engine: ScriptedEngine) -> None:
        self.daemon = daemon
        self.engine = engine

    async def post(self, kind: str, **body: object) -> tuple[int, dict[str, Any]]:
        """Ask over HTTP."""
        url = f"{self.daemon.url}/api/streams/demo/{kind}"
        async with self.daemon.http.post(url, json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            return response.status, answer

    async def show(self) -> dict[str, Any]:
        """Return what the API says of the stream."""
        url = f"{self.daemon.url}/api/streams/demo"
        async with self.daemon.http.get(url) as response:
            shown: dict[str, Any] = await response.json()
            return shown


@contextlib.asynccontextmanager
async def scene(
    path: Path, capabilities: Capabilities | None = None
) -> AsyncIterator[Scene]:
    """Publish a stream to an engine that has heard of it."""
    with wave.open(str(path / "second.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 125)
    engine = ScriptedEngine(capabilities=capabilities)
    async with harness(quick_config(linger=30), engine=engine) as daemon:
        publisher = WhipPublisher(
            path / "second.wav", f"{daemon.url}/whip/demo", loop=True
        )
        await publisher.start()
        try:
            await until(lambda: engine.sessions and engine.sessions[0].heard)
            yield Scene(daemon, engine)
        finally:
            await publisher.stop()


async def next_of(connection: ClientConnection, **wanted: object) -> dict[str, Any]:
    """Return the next message that has these values."""
    async with asyncio.timeout(10):
        while True:
            message = await receive(connection)
            if all(message.get(key) == value for key, value in wanted.items()):
                return message


async def test_conversation_with_a_session(tmp_path: Path) -> None:
    """Everything goes in and comes out while captions go on; readers get the turn."""
    async with (
        scene(tmp_path, ABLE) as found,
        connect(f"{found.daemon.websocket}/streams/demo/session") as controller,
        connect(f"{found.daemon.websocket}/streams/demo") as reader,
    ):
        session = found.engine.sessions[0]
        await controller.send('{"type":"text","text":"why?","id":1}')
        await next_of(controller, type="ack", id=1)
        await controller.send('{"type":"interrupt","id":2}')
        await next_of(controller, type="ack", id=2)
        answer = {"type": "tool_response", "call": "c", "result": {"x": 1}, "id": 3}
        await controller.send(json.dumps(answer))
        await next_of(controller, type="ack", id=3)
        await until(lambda: len(session.inputs) == 3)
        session.emit(ModelText(text="because "))
        session.emit(ModelText(text="it is"))
        session.emit(TurnComplete())
        session.emit(ToolCall(call="c2", name="look", arguments={"at": "sky"}))
        session.emit(Interrupted())
        told = [
            await next_of(controller, type="session", event=event)
            for event in (
                "model_text",
                "model_text",
                "turn_complete",
                "tool_call",
                "interrupted",
            )
        ]
        noted = [await next_of(reader, type="session") for _ in range(3)]
        caption = await next_of(controller, type="caption", state="final")
        hypothesis = await next_of(controller, type="session", event="hypothesis")

    assert session.inputs == [
        ("why?", TextPurpose.QUESTION),
        "interrupt",
        ToolResponse(call="c", result={"x": 1}),
    ]
    assert (told[0]["text"], told[3]["arguments"]) == ("because ", {"at": "sky"})
    assert [each["event"] for each in noted] == [
        "model_text",
        "tool_call",
        "interrupted",
    ]
    assert noted[0]["text"] == "because it is"
    assert all("seq" in each for each in noted)
    assert not any("seq" in each for each in told)
    assert caption["engine"] == hypothesis["engine"] == "scripted"


async def test_flush_gives_the_final(tmp_path: Path) -> None:
    """After its answer nothing that was heard before is open."""
    async with (
        scene(tmp_path) as found,
        connect(f"{found.daemon.websocket}/streams/demo/session") as controller,
    ):
        await controller.send('{"type":"flush","id":"f"}')
        by_socket = await next_of(controller, type="ack", request="flush")
        by_http = await found.post("flush")

    assert (by_socket["done"], by_socket["id"]) == (True, "f")
    assert by_http == (200, {"done": True})


async def test_http_asks_the_same_session(tmp_path: Path) -> None:
    """The API shows the engine, takes requests for it, and refuses what it lacks."""
    some = Capabilities(text=True)
    async with scene(tmp_path, some) as found:
        shown = await found.show()
        asked = await found.post("text", text="a talk", purpose="context")
        lacking = await found.post("interrupt")
        unknown = await found.post("engine", name="nobody")
        switched = await found.post("engine", name="scripted")
        await until(lambda: found.engine.sessions[0].inputs)
        inputs = found.engine.sessions[0].inputs

    assert (shown["engine"], shown["capabilities"]["text"]) == ("scripted", True)
    assert shown["capabilities"]["tools"] is False
    assert asked == switched == (202, {"accepted": True})
    assert inputs == [("a talk", TextPurpose.CONTEXT)]
    assert (lacking[0], lacking[1]["capability"]) == (501, "interrupt")
    assert (unknown[0], unknown[1]["code"]) == (404, "unknown_engine")


async def test_what_the_engine_lacks_is_told_at_once(tmp_path: Path) -> None:
    """An engine that only captions refuses the rest, and goes on captioning."""
    async with (
        scene(tmp_path) as found,
        connect(f"{found.daemon.websocket}/streams/demo/session") as controller,
    ):
        await controller.send('{"type":"text","text":"why?","id":1}')
        lacking = await next_of(controller, type="unsupported")
        caption = await next_of(controller, type="caption", state="final")

    assert (lacking["capability"], lacking["engine"]) == ("text", "scripted")
    assert (lacking["engines"], lacking["id"]) == ([], 1)
    assert caption["text"]


async def test_controller_may_come_before_the_publisher(tmp_path: Path) -> None:
    """Before anybody publishes nothing is live; then the same connection hears it."""
    async with (
        scene(tmp_path, ABLE) as found,
        connect(f"{found.daemon.websocket}/streams/later/session?wait=1") as waiting,
    ):
        await waiting.send('{"type":"interrupt"}')
        early = await next_of(waiting, type="error")
        publisher = WhipPublisher(
            tmp_path / "second.wav", f"{found.daemon.url}/whip/later", loop=True
        )
        await publisher.start()
        heard = await next_of(waiting, type="session", event="hypothesis")
        await waiting.send('{"type":"interrupt"}')
        later = await next_of(waiting, type="ack")
        await publisher.stop()

    assert early["code"] == "not_live"
    assert heard["stream"] == "later"
    assert later["request"] == "interrupt"
