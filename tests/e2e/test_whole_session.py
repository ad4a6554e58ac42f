"""
One session of everything: sound, pictures, text, a tool and an interruption.

A real publisher sends sound and video over WebRTC, a controller talks to the model over
the control channel, a plain reader reads; the server's log tells what arrived.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from captiond.cli.score import word_errors
from captiond.cli.speech import packaged
from captiond.cli.whip_client import WhipPublisher
from tests.daemon_process import DaemonProcess
from tests.e2e.readers import Reader
from tests.servers.gemini import API_KEY, GeminiServer, Script, Settings
from tests.servers.programme import Programme

TOOLS = [
    {
        "name": "lookup",
        "description": "Looks up who wrote a book.",
        "parameters": {
            "type": "OBJECT",
            "properties": {"title": {"type": "STRING"}},
        },
    }
]

LONG_ANSWER = " ".join(f"word{number}" for number in range(60))

pytestmark = pytest.mark.e2e


class Channel:
    """
    A control channel of which everything is written down.

    Args:
        connection: The channel.

    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._news = asyncio.Event()
        self.messages: list[dict[str, Any]] = []

    async def read(self) -> None:
        """Read until the channel closes."""
        async for raw in self._connection:
            self.messages.append(json.loads(raw))
            self._news.set()

    async def say(self, **request: Any) -> None:
        """Send a request."""
        await self._connection.send(json.dumps(request))

    async def until(
        self, found: Callable[[dict[str, Any]], bool], *, after: int = 0
    ) -> int:
        """Wait for a message; return its place."""
        async with asyncio.timeout(30):
            while True:
                for place, message in enumerate(self.messages[after:], start=after):
                    if found(message):
                        return place
                self._news.clear()
                await self._news.wait()

    def captions(self, first: int, last: int) -> int:
        """Return how many captions came between two places."""
        return sum(each["type"] == "caption" for each in self.messages[first:last])


def is_event(event: str, **fields: Any) -> Callable[[dict[str, Any]], bool]:
    """Return what recognises an event of the session."""

    def found(message: dict[str, Any]) -> bool:
        return (
            message["type"] == "session"
            and message["event"] == event
            and all(message.get(key) == value for key, value in fields.items())
        )

    return found


def is_text_with(word: str) -> Callable[[dict[str, Any]], bool]:
    """Return what recognises a piece of the model's text."""
    return lambda message: is_event("model_text")(message) and word in message["text"]


@pytest.fixture
async def server() -> AsyncIterator[GeminiServer]:
    """A server whose model answers at length, and doesn't answer to speech."""
    script = Script(
        answer=LONG_ANSWER,
        tool_answer="The tool says {response} .",
        part_words=1,
        part_delay=0.05,
        answers_speech=False,
    )
    async with GeminiServer(
        Programme.packaged(), settings=Settings(script=script)
    ) as server:
        yield server


@pytest.fixture
async def daemon(
    server: GeminiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DaemonProcess]:
    """A daemon whose engine is the conversational model."""
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps(TOOLS))
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    settings = {
        "engine.name": "gemini",
        "engines.gemini.model": "gemini-3.8-live",
        "engines.gemini.base_url": server.url,
        "engines.gemini.ca_file": str(server.certificate.pem),
        "engines.gemini.tools_file": str(tools),
    }
    arguments = [("--set", f"{key}={value}") for key, value in settings.items()]
    async with DaemonProcess([each for pair in arguments for each in pair]) as daemon:
        yield daemon


async def converse(channel: Channel) -> dict[str, int]:
    """Talk to the model while captions come; return where what was heard."""
    places = {"caption": await channel.until(lambda m: m["type"] == "caption")}
    await channel.say(type="text", purpose="context", text="The book is by Dickens.")
    await channel.say(type="text", text="use the tool lookup please", id="q1")
    places["call"] = await channel.until(is_event("tool_call", name="lookup"))
    call = channel.messages[places["call"]]["call"]
    await channel.say(type="tool_response", call=call, result={"author": "Dickens"})
    places["answer"] = await channel.until(is_text_with("Dickens"))
    await channel.say(type="text", text="say a lot", id="q2")
    places["begun"] = await channel.until(is_text_with("word3"), after=places["answer"])
    await channel.say(type="interrupt", id="stop")
    places["interrupted"] = await channel.until(
        is_event("interrupted"), after=places["begun"]
    )
    await channel.say(type="text", text="say more", id="q3")
    places["again"] = await channel.until(
        is_text_with("word3"), after=places["interrupted"]
    )
    await channel.say(type="text", text="no, stop", id="q4")
    await channel.until(is_event("interrupted"), after=places["again"])
    return places


async def test_everything_in_one_session(
    server: GeminiServer, daemon: DaemonProcess
) -> None:
    """Each input arrives, in order, on one connection, while captions flow."""
    url = daemon.addresses.captions("news")
    publisher = WhipPublisher(
        packaged().path, daemon.addresses.whip("news"), video="test"
    )
    reader = Reader(f"{url}?wait=1")
    async with connect(f"{url}/session?wait=1") as connection:
        channel = Channel(connection)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(reader.run())
            listening = tasks.create_task(channel.read())
            await reader.greeted.wait()
            await publisher.start()
            talking = tasks.create_task(converse(channel))
            await publisher.wait()
            await publisher.stop()
            await reading
            listening.cancel()
    places = talking.result()
    log = server.log

    # All of it went to one session, and in the order in which it was said.
    assert {record.connection for record in log.received()} == {1}
    said = [r for r in log.received() if r.kind in ("clientContent", "text")]
    assert [record.kind for record in said][:3] == ["clientContent", "text", "text"]
    assert "Dickens" in json.dumps(said[0].content)
    assert "lookup" in json.dumps(said[1].content)
    assert "say a lot" in json.dumps(said[2].content)
    (answer,) = log.received("toolResponse")
    assert "Dickens" in json.dumps(answer.content)
    assert said[1].at < answer.at < said[2].at
    # New input while the model speaks interrupts it there.
    assert any(said[-1].at <= record.at for record in log.sent("interrupted"))

    # Sound and pictures went on all the time, in both directions.
    pictures = log.received("video")
    assert len(pictures) >= 20
    assert {record.mime for record in pictures} == {"image/jpeg"}
    assert any(said[1].at < r.at < said[2].at for r in log.received("audio"))
    assert channel.captions(places["caption"], places["interrupted"])

    # The captions are whole, and the answer that was interrupted is not.
    assert word_errors(packaged().text or "", reader.text).percent <= 5.0
    spoken = "".join(
        message["text"]
        for message in channel.messages[places["begun"] : places["interrupted"]]
        if is_event("model_text")(message)
    )
    assert "word59" not in spoken
    notes = [m["event"] for m in reader.messages if m["type"] == "session"]
    assert notes.count("tool_call") == 1
    assert "interrupted" in notes
    assert "model_text" in notes
