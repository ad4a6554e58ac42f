"""Servers and engines for the tests of the engine OpenAI Realtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import pytest

from captiond.config import Log
from captiond.engines.openai_realtime import ENGINE
from captiond.engines.openai_realtime.engine import OpenAiRealtimeEngine
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions
from captiond.live.engine import EngineSetup, SessionContext
from captiond.live.session import LiveSession
from captiond.metrics import Metrics
from tests.engines.conformance import TIMEOUT, chunks
from tests.servers.openai import KEY, OpenAiServer
from tests.servers.programme import Programme

MODELS = {
    "openai": "gpt-live-transcribe",
    "openai-beta": "Systran/faster-whisper-small",
    "vllm": "mistralai/Voxtral-Mini-4B-Realtime-2602",
}

WAYS: list[dict[str, Any]] = [
    {"dialect": "openai", "model": "gpt-live-transcribe"},
    {"dialect": "openai", "model": "gpt-4o-transcribe"},
    {"dialect": "openai", "model": "gpt-transcribe", "turn_detection": "client"},
    {"dialect": "openai-beta", "model": MODELS["openai-beta"]},
    {
        "dialect": "openai-beta",
        "model": MODELS["openai-beta"],
        "turn_detection": "server",
    },
    {"dialect": "vllm", "model": MODELS["vllm"]},
]
"""The dialects, with all who may end utterances."""


@pytest.fixture(scope="session")
def programme() -> Programme:
    """The packaged reading."""
    return Programme.packaged()


def make_engine(
    environ: Mapping[str, str] | None = None, **options: Any
) -> OpenAiRealtimeEngine:
    """Return an engine with these options, as the daemon creates it."""
    engine = ENGINE.create(
        EngineSetup(
            options=OpenAiRealtimeOptions(**options),
            log=Log(),
            environ={"OPENAI_API_KEY": KEY} if environ is None else environ,
            metrics=Metrics(),
        )
    )
    assert isinstance(engine, OpenAiRealtimeEngine)
    return engine


@asynccontextmanager
async def started(**options: Any) -> AsyncIterator[OpenAiRealtimeEngine]:
    """Run an engine with these options."""
    engine = make_engine(**options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


@asynccontextmanager
async def served(
    programme: Programme,
    *,
    server: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[OpenAiServer, OpenAiRealtimeEngine]]:
    """Run a server of a dialect and an engine that is configured for it."""
    dialect = options.get("dialect", "openai")
    key = KEY if dialect == "openai" else ""
    async with (
        OpenAiServer(programme, dialect=dialect, key=key, **(server or {})) as running,
        started(url=running.url, **options) as engine,
    ):
        yield running, engine


async def open_session(engine: OpenAiRealtimeEngine, *words: str) -> LiveSession:
    return await engine.open(stream="demo", context=SessionContext(vocabulary=words))


async def speak_on(session: LiveSession, programme: Programme) -> NoReturn:
    """Send the programme again and again, far faster than time."""
    start = 0.0
    async with asyncio.timeout(TIMEOUT):
        while True:
            for chunk in chunks(programme.pcm, start=start):
                await session.send_audio(chunk)
            start += 100.0


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - nobody would set an event
            await asyncio.sleep(0.01)
