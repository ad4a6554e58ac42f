"""When a key is needed, which one is sent, and where it never goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from captiond.engines.openai_realtime.connection import find_key, make_context
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions
from captiond.errors import ConfigError
from captiond.live.engine import SessionContext
from tests.engines.openai_realtime.conftest import make_engine, started
from tests.servers.openai import KEY, Faults, OpenAiServer
from tests.servers.programme import Programme

ENVIRON = {"OPENAI_API_KEY": "sk-environment", "OTHER_KEY": "sk-other"}
TABLE = "engines.openai_realtime"


def key_for(environ: dict[str, str] | None = None, **options: Any) -> str | None:
    """Return the key that is sent with these options."""
    found = find_key(
        OpenAiRealtimeOptions(**options), ENVIRON if environ is None else environ
    )
    return None if found is None else found.reveal()


def test_the_service_needs_a_key() -> None:
    """Without one the text names the variable and the option."""
    with pytest.raises(ConfigError) as caught:
        key_for({})

    assert str(caught.value) == (
        f"openai_realtime: no API key; set OPENAI_API_KEY, or {TABLE}.api_key_file"
    )


def test_the_service_needs_a_variable() -> None:
    """Sending no key is no choice there."""
    with pytest.raises(ConfigError, match=r"api_key_variable: api\.openai\.com wants"):
        key_for(api_key_variable="")


def test_sources(tmp_path: Path) -> None:
    """A file comes before the variable, which may be another one."""
    file = tmp_path / "key"
    file.write_text("sk-file\n", encoding="utf-8")

    assert key_for() == "sk-environment"
    assert key_for(api_key_variable="OTHER_KEY") == "sk-other"
    assert key_for(api_key_file=file) == "sk-file"
    assert key_for(api_key_file=file, api_key_variable="") == "sk-file"


@pytest.mark.parametrize("url", ["ws://localhost:8000/v1/realtime", "wss://asr.lan/x"])
def test_other_servers(url: str) -> None:
    """They are sent the key if there is one, and none where that is said."""
    assert key_for(url=url) == "sk-environment"
    assert key_for({}, url=url) is None
    assert key_for(url=url, api_key_variable="") is None


def test_never_in_the_clear() -> None:
    """A key doesn't go to another machine without TLS; audio may."""
    url = "ws://192.168.0.7:8000/v1/realtime"
    with pytest.raises(ConfigError) as caught:
        key_for(url=url)

    assert str(caught.value) == (
        f"{TABLE}.url: the key from OPENAI_API_KEY would go to 192.168.0.7 in the "
        f'clear; use wss://, or set {TABLE}.api_key_variable = "" to send none'
    )
    assert key_for(url=url, api_key_variable="") is None


async def test_start_tells_what_is_missing(tmp_path: Path) -> None:
    """An engine without a key, or with bad certificates, doesn't start."""
    with pytest.raises(ConfigError, match="no API key"):
        await make_engine({}).start()
    with pytest.raises(ConfigError, match=r"ca_file: .* can't be used"):
        await make_engine(ca_file=tmp_path / "nowhere.pem").start()
    engine = make_engine({})

    assert engine.not_ready == "the engine isn't started"


def test_no_tls_without_need() -> None:
    """ws:// has no context."""
    assert make_context("ws://localhost/x", None) is None
    assert make_context("wss://localhost/x", None) is not None


async def test_the_key_is_sent_in_the_header(programme: Programme) -> None:
    """And nowhere else."""
    async with (
        OpenAiServer(programme) as server,
        started(url=server.url) as engine,
    ):
        session = await engine.open(stream="demo", context=SessionContext())
        session.abandon()
        handshake = server.handshakes[0]

    assert handshake.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str((handshake.path, handshake.query, list(server.log)))


async def test_a_refusal_does_not_show_the_key(
    programme: Programme, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even where the server repeats it."""
    async with OpenAiServer(programme) as server, started(url=server.url) as engine:
        server.faults = Faults(http_status=400)
        with pytest.raises(Exception, match="refused") as caught:
            await engine.open(stream="demo", context=SessionContext())
    captured = capsys.readouterr()

    assert "***" in str(caught.value)
    assert KEY not in str(caught.value) + captured.out + captured.err
