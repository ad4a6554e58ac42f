"""A test server of the service, and the engine as the daemon makes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import structlog

from captiond.config import Log
from captiond.engines.gemini import ENGINE
from captiond.engines.gemini.options import GeminiOptions
from captiond.live.engine import Engine, EngineSetup
from captiond.metrics import Metrics
from tests.servers.gemini import API_KEY, GeminiServer, Settings
from tests.servers.programme import Programme
from tests.servers.tls import Certificate

AGENT_MODEL = "gemini-3.8-live"

CANARY = "AIzaSyCANARY-0123456789-canary-0123456789"
"""A key that must never be seen."""

Start = Callable[..., AbstractAsyncContextManager[Engine]]
"""Starts an engine with other options than usual."""


@pytest.fixture(scope="session")
def programme() -> Programme:
    """The reading that is always there."""
    return Programme.packaged()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One certificate for all servers: making one takes a while."""
    return Certificate.in_folder(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def server(
    programme: Programme, certificate: Certificate
) -> AsyncIterator[GeminiServer]:
    """The service, with a small buffer so that one that doesn't read is noticed."""
    settings = Settings(receive_buffer_bytes=65_536)
    async with GeminiServer(
        programme, settings=settings, certificate=certificate
    ) as server:
        yield server


def make_engine(
    options: GeminiOptions, *, environ: dict[str, str] | None = None
) -> Engine:
    """Create an engine as the daemon does."""
    environ = {"GEMINI_API_KEY": API_KEY} if environ is None else environ
    return ENGINE.create(
        EngineSetup(options=options, log=Log(), environ=environ, metrics=Metrics())
    )


@pytest.fixture
def start(server: GeminiServer) -> Start:
    """Start engines that know the test server; nothing of them stays behind."""

    @contextlib.asynccontextmanager
    async def started(
        *, environ: dict[str, str] | None = None, **fields: Any
    ) -> AsyncIterator[Engine]:
        before = asyncio.all_tasks()
        pem: Path = server.certificate.pem
        usual: dict[str, Any] = {"base_url": server.url, "ca_file": pem}
        engine = make_engine(GeminiOptions(**{**usual, **fields}), environ=environ)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()
            mine = asyncio.all_tasks() - before - {asyncio.current_task()}
            left = [task for task in mine if "captiond" in repr(task.get_coro())]
            assert not left

    return started


@pytest.fixture
async def engine(start: Start) -> AsyncIterator[Engine]:
    """The engine with the options that it has by itself."""
    async with start() as engine:
        yield engine


@pytest.fixture(autouse=True)
def seen(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """No test may let a key out, in no log line at whatever level."""
    shown: list[str] = []

    def remember(_logger: object, _name: str, line: Any) -> Any:
        shown.append(repr(line))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, remember])
    caplog.set_level(logging.DEBUG)
    yield shown
    structlog.reset_defaults()
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    # The server may know the key: it is what it was sent.
    ours = [each for each in records if not each.name.startswith("tests.")]
    shown += [record.getMessage() for record in ours]
    assert not any(CANARY in line for line in shown)
