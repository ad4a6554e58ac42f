"""Tests of the configuration: sources, their order, and what errors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from captiond.config import Config, load
from captiond.errors import ConfigError


def test_defaults_are_safe() -> None:
    """Without any source everything listens on loopback."""
    config = load(environ={})

    assert {config.http.host, config.websocket.host, config.admin.host} == {"127.0.0.1"}
    assert config == Config()


def test_later_sources_win(tmp_path: Path) -> None:
    """File, then environment, then flags; keys that one leaves out stay."""
    file = tmp_path / "captiond.toml"
    file.write_text("[http]\nport = 1\nmax_body_bytes = 2048\n[admin]\nport = 1\n")
    config = load(
        file=file,
        environ={"CAPTIOND_HTTP__PORT": "2", "CAPTIOND_WEBSOCKET__PORT": "2"},
        flags={"http": {"port": 3}},
    )

    assert (config.http.port, config.websocket.port, config.admin.port) == (3, 2, 1)
    assert config.http.max_body_bytes == 2048


def test_lists_come_from_the_environment_as_json() -> None:
    """A list in a variable is written as JSON."""
    config = load(environ={"CAPTIOND_WEBRTC__ADDRESSES": '["10.0.0.1"]'})

    assert config.webrtc.addresses == ("10.0.0.1",)


@pytest.mark.parametrize(
    ("toml", "environ", "flags", "message"),
    [
        ("[http]\nprt = 1", {}, {}, "http.prt: no such option; allowed are host, port"),
        ("[htp]\nport = 1", {}, {}, "htp: no such option; allowed are insecure, http"),
        ("http = 3", {}, {}, "http: "),
        ("[http", {}, {}, "not valid TOML"),
        ("[http]\nport = 70000", {}, {}, "less than or equal to 65535, not 70000"),
        ("", {"CAPTIOND_HTTP__PORT": "x"}, {}, "the environment: http.port: "),
        ("", {"CAPTIOND_HTP__PORT": "1"}, {}, "CAPTIOND_HTP__PORT: no such option"),
        ("", {"CAPTIOND_WEBRTC__ADDRESSES": "x"}, {}, "lists are written as JSON"),
        ("", {}, {"audio": {"chunk_ms": 1}}, "the command line: audio.chunk_ms: "),
        ("", {}, {"log": {"level": "loud"}}, "'debug', 'info', 'warning' or 'error'"),
        ("[drain]\ntimeout = inf", {}, {}, "finite number"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path,
    toml: str,
    environ: dict[str, str],
    flags: dict[str, Any],
    message: str,
) -> None:
    """An error names source, key, value and what is allowed."""
    file = tmp_path / "captiond.toml"
    file.write_text(toml)

    with pytest.raises(ConfigError) as caught:
        load(file=file, environ=environ, flags=flags)
    assert message in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that was asked for must be there."""
    with pytest.raises(ConfigError, match=r"nothing\.toml: can't be read"):
        load(file=tmp_path / "nothing.toml", environ={})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_public_address_needs_insecure(host: str) -> None:
    """Without authentication only this machine may reach the daemon."""
    flags = {"websocket": {"host": host}}

    with pytest.raises(ConfigError, match=r"websocket.host: .* say --insecure"):
        load(environ={}, flags=flags)
    assert load(environ={}, flags=flags | {"insecure": True}).insecure


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_nothing(host: str) -> None:
    """Every loopback address is fine."""
    assert load(environ={}, flags={"http": {"host": host}}).http.host == host
