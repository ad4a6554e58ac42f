"""The Gemini server as a process, and its commands."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google import genai
from google.genai import types
from google.genai.errors import APIError
from google.genai.live import AsyncSession

from tests.servers.gemini import Faults, GeminiServer
from tests.servers.gemini.control import Control
from tests.servers.gemini.process import GeminiProcess, ServerProcessError
from tests.servers.programme import Programme
from tests.servers.sdk import TRANSCRIBER, completed, final, send, session, until, words


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


@pytest.fixture
async def process(programme: Programme, tmp_path: Path) -> AsyncIterator[GeminiProcess]:
    wav, known = tmp_path / "programme.wav", tmp_path / "programme.json"
    programme.save(wav, known)
    options = ["--script", '{"interim_every": 1.0}', "--api-key", "another"]
    async with GeminiProcess(
        wav, known, folder=tmp_path / "tls", options=options
    ) as running:
        yield running


def client(process: GeminiProcess) -> genai.Client:
    context = ssl.create_default_context(cafile=str(process.pem))
    options = types.HttpOptions(
        base_url=process.url,
        api_version="v1beta",
        async_client_args={"ssl": context, "proxy": None, "close_timeout": 1},
    )
    return genai.Client(api_key=process.api_key, http_options=options)


CONFIG = types.LiveConnectConfig(
    response_modalities=[types.Modality.TEXT],
    input_audio_transcription=types.AudioTranscriptionConfig(),
)


async def hear(opened: AsyncSession, programme: Programme) -> list[str]:
    await send(opened, programme.between(0, 4.8))
    await opened.send_realtime_input(audio_stream_end=True)
    return words("".join(map(final, await until(opened, completed))))


async def test_a_killed_process_comes_back_at_the_same_address(
    process: GeminiProcess, programme: Programme
) -> None:
    """It hears, is told to fail, dies in mid-session, and serves the same client."""
    live = client(process).aio.live
    expected = [word.text for word in programme.words_between(0, 4.8)]
    async with live.connect(model=TRANSCRIBER, config=CONFIG) as opened:
        assert await hear(opened, programme) == expected
        status = await process.command("status")
        assert status["connections"] == [{"number": 1, "seconds": 4.8}]
        assert status["counts"]["in audio"] == 48

        assert (await process.command("go_away", left=30))["connections"] == [1]
        messages = await until(opened, lambda m: m.go_away)
        assert messages[-1].go_away

        await process.kill()
        with pytest.raises(APIError, match="1006"):
            await until(opened, lambda _: False)
    with pytest.raises(ConnectionRefusedError):
        async with live.connect(model=TRANSCRIBER, config=CONFIG):
            pass

    await process.start()
    async with live.connect(model=TRANSCRIBER, config=CONFIG) as opened:
        assert await hear(opened, programme) == expected


async def test_commands_are_obeyed_or_refused(
    process: GeminiProcess, programme: Programme
) -> None:
    """Faults, the log, a word of its own; nonsense is an error, not the end."""
    live = client(process).aio.live
    await process.command("fault_next", set={"close_after": 1.0, "close_code": 4001})
    async with live.connect(model=TRANSCRIBER, config=CONFIG) as opened:
        await send(opened, programme.between(0, 1))
        with pytest.raises(APIError, match="4001"):
            await until(opened, lambda _: False)
    async with live.connect(model=TRANSCRIBER, config=CONFIG) as opened:
        await process.command("send", message={"goAway": {"timeLeft": "7s"}})
        messages = await until(opened, lambda m: m.go_away)
    assert [m.go_away.time_left for m in messages if m.go_away] == ["7s"]

    log = await process.command("log", kind="audio", last=3)
    assert [record["size"] for record in log["records"]] == [3200] * 3
    for name, options in (
        ("faults", {"set": {"novelty": 1}}),
        ("fault_next", {"set": {}, "connections": "many"}),
    ):
        with pytest.raises(ServerProcessError, match="TypeError"):
            await process.command(name, **options)
    assert (await process.command("status"))["ok"]


async def test_a_process_that_cannot_start_says_so(tmp_path: Path) -> None:
    """A missing programme is an error with the exit status."""
    process = GeminiProcess(
        tmp_path / "none.wav", tmp_path / "none.json", folder=tmp_path
    )
    with pytest.raises(ServerProcessError, match="ended with 1"):
        await process.start()
    await process.kill()


async def test_each_command_does_what_it_says(programme: Programme) -> None:
    """What the process passes on, tried on a server in the test."""
    async with GeminiServer(programme) as server:
        control = Control(server)
        async with session(server) as opened:
            reply = await control.carry_out('{"do": "nonsense"}')
            assert reply == {
                "ok": False,
                "error": "ValueError: unknown command 'nonsense'",
            }
            reply = await control.carry_out('{"do": "abort", "connection": 9}')
            assert reply == {"ok": True, "connections": []}
            await control.carry_out('{"do": "faults", "set": {"setup_delay": 0.1}}')
            assert server.faults == Faults(setup_delay=0.1)
            await control.carry_out('{"do": "mute"}')
            await control.carry_out('{"do": "go_away", "left": 1}')
            assert [r.content for r in server.log.sent("withheld")] == ["goAway"]
            await control.carry_out('{"do": "close", "code": 4002, "reason": "so"}')
            with pytest.raises(APIError, match=r"4002 None\. so"):
                await until(opened, lambda _: False)
        async with session(server) as opened:
            await control.carry_out('{"do": "stop_reading"}')
            await control.carry_out('{"do": "abort"}')
            with pytest.raises(APIError, match="1006"):
                await until(opened, lambda _: False)
        assert not (await control.carry_out("[]"))["ok"]
        assert (await control.carry_out('{"do": "stop"}'))["ok"]
        assert control.stopped
