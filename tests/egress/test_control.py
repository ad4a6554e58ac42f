"""Tests of the control channel, with real connections on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import MappingProxyType

import pytest
from websockets.asyncio.client import connect

from captiond.egress import control as control_module
from captiond.errors import ControlError, NotSupported
from captiond.events import SessionNote, Status, StreamState
from captiond.live.session import ModelText, TextPurpose, ToolCall, ToolResponse
from tests.egress.controlled import (
    ScriptedStream,
    Served,
    ask,
    controller,
    receive,
    serve,
)
from tests.harness import until
from tests.hub.test_log import caption


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Serve the stream ``demo``."""
    async with serve() as found:
        yield found


async def test_controller_reads_what_readers_read(served: Served) -> None:
    """The same bytes: hello apart, replay, interims and finals."""
    served.hub.publish(served.channel, caption(1, "past", final=True))
    received: list[list[str | bytes]] = []
    async with (
        connect(f"{served.url}/streams/demo?replay=1") as reader,
        connect(f"{served.session}?replay=1") as steering,
    ):
        await until(lambda: len(served.channel.subscribers) == 2)
        served.hub.publish(served.channel, caption(2, "it", final=False))
        served.hub.publish(served.channel, caption(2, "it was", final=True))
        for connection in (reader, steering):
            await receive(connection)
            received.append([await connection.recv() for _ in range(3)])

    assert received[0] == received[1]
    assert "it was" in str(received[0][2])


async def test_session_events_are_told_once(served: Served) -> None:
    """Events come from the session; the log's notes of them stay away."""
    note = SessionNote(event="model_text", data={"text": "whole turn"})
    async with controller(served.session) as connection:
        served.stream.tell(ModelText(text="pie"))
        served.hub.publish(served.channel, note)
        served.stream.tell(ModelText(text="ce"))
        served.hub.publish(served.channel, caption(1, "x", final=True))
        messages = [await receive(connection) for _ in range(3)]

    assert messages[0] == {
        "v": 1,
        "type": "session",
        "stream": "demo",
        "engine": "scripted",
        "event": "model_text",
        "text": "pie",
    }
    assert messages[1]["text"] == "ce"
    # The note's number is missing here, and that is no loss.
    assert (messages[2]["type"], messages[2]["seq"]) == ("caption", 3)


async def test_position_is_resumed(served: Served) -> None:
    """``since`` works as it does for readers."""
    for n in range(1, 4):
        served.hub.publish(served.channel, caption(n, str(n), final=True))
    position = f"{served.channel.log.epoch}:2"
    async with controller(f"{served.session}?since={position}") as connection:
        texts = [(await receive(connection))["text"] for _ in range(2)]

    assert texts == ["2", "3"]


async def test_requests_reach_the_stream(served: Served) -> None:
    """Each is acknowledged with its id, and counted."""
    async with controller(served.session) as connection:
        answers = [
            await ask(connection, "text", text="why?", id=7),
            await ask(connection, "text", text="a\nb", purpose="vocabulary", id="v"),
            await ask(connection, "interrupt"),
            await ask(connection, "tool_response", call="c1", result={"ok": True}),
            await ask(connection, "engine", name="gemini"),
        ]

    assert served.stream.asked == [
        ("why?", TextPurpose.QUESTION),
        ("a\nb", TextPurpose.VOCABULARY),
        "interrupt",
        ToolResponse(call="c1", result={"ok": True}),
        "engine gemini",
    ]
    assert answers[0] == {"v": 1, "type": "ack", "request": "text", "id": 7}
    assert [(each["request"], each["id"]) for each in answers[1:]] == [
        ("text", "v"),
        ("interrupt", None),
        ("tool_response", None),
        ("engine", None),
    ]
    counted = served.count(
        "captiond_control_requests_total", request="text", result="ok"
    )
    assert counted == 2


async def test_flush_is_answered_when_done(served: Served) -> None:
    """Other requests are not held up by it."""
    async with controller(served.session) as connection:
        await connection.send('{"type":"flush","id":"f"}')
        text = await ask(connection, "text", text="meanwhile")
        served.stream.answered.set()
        flush = await receive(connection)

    assert served.stream.asked == ["flush", ("meanwhile", TextPurpose.QUESTION)]
    assert text["request"] == "text"
    assert flush == {"v": 1, "type": "ack", "request": "flush", "id": "f", "done": True}


async def test_flush_that_takes_too_long_says_so(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``done`` is false when the answers didn't come in time."""
    monkeypatch.setattr(control_module, "FLUSH_TIMEOUT", 0.01)
    async with controller(served.session) as connection:
        answer = await ask(connection, "flush")

    assert answer["done"] is False
    assert served.count(
        "captiond_control_requests_total", request="flush", result="timeout"
    )


async def test_flushes_are_bounded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flush more than may be under way is refused, and leaves the others."""
    monkeypatch.setattr(control_module, "MAX_FLUSHES", 2)
    async with controller(served.session) as connection:
        for _ in range(2):
            await connection.send('{"type":"flush"}')
        refused = await ask(connection, "flush", id=3)
        served.stream.answered.set()
        done = [(await receive(connection))["done"] for _ in range(2)]

    assert (refused["code"], refused["id"]) == ("busy", 3)
    assert done == [True, True]


async def test_flush_ends_with_the_connection(served: Served) -> None:
    """A controller that leaves takes its flushes with it."""
    async with controller(served.session) as connection:
        await connection.send('{"type":"flush"}')
        await until(lambda: served.stream.asked == ["flush"])
    await until(lambda: not served.channel.subscribers)

    assert served.count("captiond_controllers") == 0
    assert not served.stream.listeners


async def test_what_the_stream_refuses_is_told(served: Served) -> None:
    """Errors carry their code, a missing capability who has it."""
    async with controller(served.session) as connection:
        served.stream.error = ControlError("busy", "32 wait", status=503)
        busy = await ask(connection, "interrupt", id=1)
        served.stream.error = NotSupported("tools", "scripted", ("gemini",))
        lacking = await ask(connection, "tool_response", call="c", result={}, id=2)
        served.stream.error = ControlError("not_live", "nobody")
        flush = await ask(connection, "flush", id=3)

    assert (busy["type"], busy["code"], busy["id"]) == ("error", "busy", 1)
    assert busy["detail"] == "32 wait"
    assert lacking.pop("detail").startswith("the engine scripted lacks 'tools'")
    assert lacking == {
        "v": 1,
        "type": "unsupported",
        "capability": "tools",
        "engine": "scripted",
        "engines": ["gemini"],
        "id": 2,
    }
    assert (flush["code"], flush["id"]) == ("not_live", 3)
    assert served.count(
        "captiond_control_requests_total", request="flush", result="not_live"
    )


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ("hello", "not JSON"),
        ("[]", "JSON object"),
        ('{"type":"shout"}', "'type' is one of"),
        ('{"type":"text","text":""}', "'text' is empty"),
        (b"\xff\x00", "text frame"),
    ],
)
async def test_malformed_requests_are_answered(
    served: Served, message: str | bytes, detail: str
) -> None:
    """What is wrong is told, and the connection goes on."""
    async with controller(served.session) as connection:
        await connection.send(message)
        answer = await receive(connection)
        after = await ask(connection, "interrupt")

    assert (answer["type"], answer["code"]) == ("error", "bad_request")
    assert detail in answer["detail"]
    assert after["type"] == "ack"


async def test_error_carries_the_id(served: Served) -> None:
    """A request whose id can be read is answered with it, whatever else is wrong."""
    async with controller(served.session) as connection:
        answer = await ask(connection, "shout", id="x")

    assert answer["id"] == "x"
    assert served.count(
        "captiond_control_requests_total", request="unknown", result="bad_request"
    )


async def test_controller_may_come_before_the_publisher(served: Served) -> None:
    """``wait=1``: requests answer not_live until somebody publishes."""
    async with controller(f"{served.url}/streams/later/session?wait=1") as connection:
        before = await ask(connection, "text", text="anybody?")
        later = served.streams["later"] = ScriptedStream()
        status = Status(state=StreamState.LIVE, reason="test")
        served.hub.publish(served.hub.get("later"), status)
        told = await receive(connection)
        after = await ask(connection, "text", text="now?")
        later.tell(ModelText(text="yes"))
        answer = await receive(connection)

    assert (before["type"], before["code"]) == ("error", "not_live")
    assert (told["type"], after["type"]) == ("status", "ack")
    assert (answer["event"], answer["stream"]) == ("model_text", "later")


async def test_event_that_is_no_json_is_left_out(served: Served) -> None:
    """Whatever an engine gives to a tool call, the stream goes on."""
    async with controller(served.session) as connection:
        for arguments in ({"a": object()}, MappingProxyType({"a": 1})):
            served.stream.tell(ToolCall(call="c", name="n", arguments=arguments))
        event = await receive(connection)

    assert event["arguments"] == {"a": 1}
    assert served.count("captiond_events_discarded_total", reason="not_json") == 1
