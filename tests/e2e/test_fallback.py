"""A remote service is killed and comes back: real processes, real captions."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from captiond.cli import scrape, trial
from captiond.cli.messages import Caption, Received, Status
from captiond.cli.speech import Speech
from tests.bench.continuity import compare
from tests.daemon_process import DaemonProcess
from tests.servers.gemini.process import GeminiProcess
from tests.servers.programme import Programme

pytestmark = pytest.mark.e2e


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GeminiProcess]:
    """The service in a process of its own, which can be killed."""
    wav, words = tmp_path / "speech.wav", tmp_path / "speech.json"
    Programme.packaged().save(wav, words)
    async with GeminiProcess(wav, words, folder=tmp_path) as server:
        yield server


@pytest.fixture
async def daemon(
    server: GeminiProcess, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DaemonProcess]:
    """A daemon with the local engine as the fallback."""
    monkeypatch.setenv("GEMINI_API_KEY", server.api_key)
    settings = {
        "engine.name": "gemini",
        "engine.fallback": "moonshine",
        "engines.gemini.base_url": server.url,
        "engines.gemini.ca_file": str(server.pem),
        "engines.moonshine.workers": "1",
    }
    arguments = [("--set", f"{key}={value}") for key, value in settings.items()]
    async with DaemonProcess([each for pair in arguments for each in pair]) as daemon:
        yield daemon


async def test_the_fallback_captions_while_the_service_is_down(
    tmp_path: Path, server: GeminiProcess, daemon: DaemonProcess
) -> None:
    """Readers are never without captions, and the service gets the stream back."""
    programme = Programme.packaged()
    engines: list[str] = []
    states: list[str] = []
    down_at = asyncio.Event()

    def on_message(received: Received) -> None:
        message = received.message
        if isinstance(message, Caption) and message.text:
            engines.append(str(json.loads(received.raw)["engine"]).partition("/")[0])
            if message.start > 8.0:
                down_at.set()
        elif isinstance(message, Status):
            states.append(message.state)

    async def outage() -> None:
        await down_at.wait()
        await server.kill()
        await asyncio.sleep(10.0)
        await server.start()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outage())
        result = await trial.run(
            Speech(path=tmp_path / "speech.wav"),
            daemon.addresses,
            "news",
            on_message=on_message,
        )
    figures = await scrape.samples(daemon.addresses.admin)
    damages = compare(programme.words, result.transcript)

    assert [name for name, _ in itertools.groupby(engines)] == [
        "gemini",
        "moonshine",
        "gemini",
    ]
    assert states == ["live", "paused"]
    # The local engine mishears some words, and the rest is exact.
    assert sum(damage.kind == "lost" for damage in damages) <= 2
    assert len(damages) <= 12
    assert all(8.0 <= damage.at <= 38.0 for damage in damages)
    assert figures["captiond_sessions_failed_total"] >= 2
    assert figures["captiond_sessions_rotated_total"] == 1
