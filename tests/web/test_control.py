"""Tests of control over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from captiond.clock import utc_now
from captiond.config import Config
from captiond.egress import control as control_module
from captiond.egress.control import Control
from captiond.egress.wire import encode
from captiond.errors import ControlError, NotSupported
from captiond.hub.hub import Hub
from captiond.live.session import TextPurpose, ToolResponse
from captiond.metrics import Metrics
from captiond.web import control as web_control
from captiond.web import problems
from captiond.web.control import ControlApi
from tests.egress.controlled import ScriptedStream


class Served:
    """The routes for the stream ``demo``."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.url = ""
        self.metrics = Metrics()
        self.stream = ScriptedStream()

    async def post(
        self, path: str, *, stream: str = "demo", **options: Any
    ) -> tuple[int, dict[str, Any]]:
        """Return status and body."""
        async with self.http.post(
            f"{self.url}/api/streams/{stream}/{path}", **options
        ) as response:
            problem = response.content_type == "application/problem+json"
            assert problem == (response.status >= 400)
            body: dict[str, Any] = await response.json(content_type=None)
            return response.status, body


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Serve the control routes."""
    async with aiohttp.ClientSession() as http:
        found = Served(http)
        config = Config()
        hub = Hub(config, found.metrics, encode=encode, wall=utc_now)
        hub.open("demo")
        hub.open("waiting")
        control = Control({"demo": found.stream}.get, found.metrics)
        app = web.Application(
            client_max_size=config.http.max_body_bytes,
            middlewares=[problems.middleware(found.metrics)],
        )
        ControlApi(config, hub, control).add_routes(app.router)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
        await runner.cleanup()


async def test_requests_are_accepted(served: Served) -> None:
    """Each kind has its address; what it needs is in the body."""
    answers = [
        await served.post("text", json={"text": "why?"}),
        await served.post("text", json={"text": "x", "purpose": "context"}),
        await served.post("interrupt", json={}),
        await served.post("interrupt"),
        await served.post("tool_response", json={"call": "c", "result": {"a": 1}}),
        await served.post("engine", json={"name": "gemini"}),
    ]

    assert answers == [(202, {"accepted": True})] * 6
    assert served.stream.asked == [
        ("why?", TextPurpose.QUESTION),
        ("x", TextPurpose.CONTEXT),
        "interrupt",
        "interrupt",
        ToolResponse(call="c", result={"a": 1}),
        "engine gemini",
    ]


async def test_flush_is_answered_when_done(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 tells whether the answers came in time."""
    monkeypatch.setattr(control_module, "FLUSH_TIMEOUT", 0.01)
    late = await served.post("flush")
    served.stream.answered.set()
    done = await served.post("flush")

    assert (late, done) == ((200, {"done": False}), (200, {"done": True}))


@pytest.mark.parametrize(
    ("path", "options", "status", "detail"),
    [
        ("text", {"json": {}}, 400, "'text' is missing"),
        ("text", {}, 400, "'text' is missing"),
        ("text", {"json": {"text": "a", "id": 1}}, 400, "no key 'id'"),
        ("text", {"json": []}, 400, "a JSON object, not an array"),
        ("text", {"data": "why?"}, 415, "must be application/json, not 'text/plain'"),
        ("text", {"json": {"text": "x" * 70_000}}, 413, "http.max_body_bytes"),
        ("shout", {"json": {}}, 404, "nothing at this address"),
        ("text", {"json": {"text": "a"}, "stream": "nobody"}, 404, "'nobody'"),
        ("text", {"json": {"text": "a"}, "stream": "a b"}, 400, "1 to 64 characters"),
        ("text", {"json": {"text": "a"}, "stream": "waiting"}, 409, "nobody publishes"),
        (
            "text",
            {"json": {"text": "a"}, "headers": {"Origin": "https://evil.example"}},
            403,
            "may not steer",
        ),
    ],
)
async def test_bad_requests_are_problems(
    served: Served, path: str, options: dict[str, Any], status: int, detail: str
) -> None:
    """What can't be served gets its status and says why."""
    answer, problem = await served.post(path, **options)

    assert (answer, problem["status"]) == (status, status)
    assert detail in problem["detail"]
    assert not served.stream.asked


async def test_own_page_may_steer(served: Served) -> None:
    """A page that the daemon itself may have served is let through."""
    status, _ = await served.post(
        "interrupt", headers={"Origin": "http://localhost:8080"}
    )

    assert status == 202


async def test_what_the_stream_refuses_is_a_problem(served: Served) -> None:
    """The error's status, and members that programs read."""
    served.stream.error = ControlError("busy", "32 wait", status=503)
    busy = await served.post("interrupt")
    served.stream.error = ControlError("unknown_engine", "no x", status=404)
    unknown = await served.post("engine", json={"name": "x"})
    served.stream.error = NotSupported("tools", "scripted", ("gemini",))
    lacking = await served.post("tool_response", json={"call": "c", "result": {}})

    assert (busy[0], busy[1]["code"], busy[1]["detail"]) == (503, "busy", "32 wait")
    assert (unknown[0], unknown[1]["code"]) == (404, "unknown_engine")
    assert lacking[0] == 501
    assert {
        key: lacking[1][key] for key in ("code", "capability", "engine", "engines")
    } == {
        "code": "unsupported",
        "capability": "tools",
        "engine": "scripted",
        "engines": ["gemini"],
    }


async def test_requests_are_counted(served: Served) -> None:
    """By kind and result."""
    await served.post("text", json={"text": "a"})
    await served.post("text", json={})
    await served.post("text", data=b"{", headers={"Content-Type": "application/json"})
    counts = {
        result: served.metrics.registry.get_sample_value(
            "captiond_control_requests_total", {"request": "text", "result": result}
        )
        for result in ("ok", "bad_request")
    }

    assert counts == {"ok": 1, "bad_request": 2}


async def test_slow_body_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that doesn't come gets 408."""
    monkeypatch.setattr(web_control, "BODY_TIMEOUT", 0.01)
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    headers = {"Content-Type": "application/json"}
    status, problem = await served.post("text", data=body(), headers=headers)

    assert (status, problem["code"]) == (408, "bad_request")
