"""The SDK's client as the engine makes it, and what its errors mean."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.auth.exceptions import GoogleAuthError
from google.genai import errors
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from captiond.engines.gemini.connection import (
    fault_of,
    make_client,
    make_faults,
    read_api_key,
)
from captiond.engines.gemini.options import GeminiOptions
from captiond.engines.remote.keys import ApiKey
from captiond.errors import ConfigError
from captiond.live.engine import SessionContext
from tests.engines.gemini.conftest import make_engine

KEY = ApiKey("canary-0123456789", "GEMINI_API_KEY")
NO_CREDENTIALS = GoogleAuthError("none found")  # type: ignore[no-untyped-call]
FAULTS = make_faults(GeminiOptions(), KEY)


def http_options(key: ApiKey | None = KEY, **options: Any) -> tuple[str, str, Any]:
    client = make_client(GeminiOptions(**options), key)
    made = client._api_client._http_options
    assert made.base_url is not None
    assert made.api_version is not None
    return made.base_url, made.api_version, made.async_client_args


def test_developer_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """v1beta, and the address that the operator gave, whatever the environment says."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://elsewhere.example")
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    url, version, arguments = http_options()
    client = make_client(GeminiOptions(), KEY)

    assert (url, version) == ("https://generativelanguage.googleapis.com/", "v1beta")
    assert not client.vertexai
    assert client._api_client.api_key == KEY.reveal()
    assert arguments["ping_timeout"] == 60.0
    assert arguments["max_size"] == 1 << 24
    assert arguments["compression"] is None
    assert "proxy" not in arguments


def test_vertex() -> None:
    """No key, its own version, and the address of the location."""
    project = {"vertex_project": "p", "vertex_location": "europe-west4"}
    url, version, _ = http_options(None, **project)
    assert url == "https://europe-west4-aiplatform.googleapis.com/"
    assert version == "v1beta1"

    project["vertex_location"] = "global"
    assert http_options(None, **project)[0] == "https://aiplatform.googleapis.com/"
    assert http_options(None, api_version="v1", **project)[1] == "v1"


def test_loopback_needs_no_proxy() -> None:
    """A gateway on this machine isn't asked for through a proxy."""
    arguments = http_options(base_url="https://127.0.0.1:8443")[2]

    assert arguments["proxy"] is None


def test_the_websocket_writes_no_headers() -> None:
    """At debug level it would write the key."""
    logger = http_options()[2]["logger"]
    logging.getLogger().setLevel(logging.DEBUG)

    assert not logger.isEnabledFor(logging.DEBUG)
    logging.getLogger().setLevel(logging.WARNING)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_can_not_be_read(tmp_path: Path, content: str | None) -> None:
    """The option and the file are named."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"engines\.gemini\.ca_file: .*ca\.pem"):
        make_client(GeminiOptions(ca_file=file), KEY)


async def test_no_key() -> None:
    """The engine doesn't start, and says where a key could be put."""
    engine = make_engine(GeminiOptions(), environ={})
    with pytest.raises(
        ConfigError,
        match=r"^gemini: no API key; set GEMINI_API_KEY \(or GOOGLE_API_KEY\), or "
        r"engines\.gemini\.api_key_file$",
    ):
        await engine.start()
    assert engine.not_ready == "the engine isn't started"
    with pytest.raises(Exception, match="isn't started"):
        await engine.open(stream="demo", context=SessionContext())
    await engine.stop()


@pytest.mark.parametrize(
    ("exc", "code", "retryable"),
    [
        (errors.APIError(1011, "Internal error", None), "connection_lost", True),
        (errors.APIError(1007, "API key not valid.", None), "unauthorised", False),
        (errors.ClientError(429, {"message": "slow down"}, None), "quota", True),
        (errors.ServerError(503, {"message": "busy"}, None), "refused", True),
        (errors.ClientError(400, {"message": "bad"}, None), "refused", False),
        (NO_CREDENTIALS, "unauthorised", False),
        (TimeoutError(), "timeout", True),
    ],
)
def test_errors_of_the_sdk(exc: Exception, code: str, retryable: bool) -> None:
    """Codes from 1000 on are those of WebSocket, others of HTTP."""
    error = fault_of(FAULTS, exc)

    assert (error.code, error.retryable) == (code, retryable)


def test_the_true_cause_of_1006() -> None:
    """The SDK hides why we gave up ourselves."""
    hidden = errors.APIError(1006, "abnormal", None)
    hidden.__context__ = ConnectionClosedError(
        None, Close(1011, "keepalive ping timeout"), None
    )

    assert "pings" in fault_of(FAULTS, hidden).reason


def test_what_to_check_at_vertex() -> None:
    """There it's the credentials, and the location too."""
    options = GeminiOptions(vertex_project="p", vertex_location="global")
    assert read_api_key(options, {}) is None
    faults = make_faults(options, None)

    assert "default credentials" in faults.refused(403).reason
    assert "vertex_location" in faults.closed(1008, "model not found").reason
    assert "aiplatform" in faults.classify(TimeoutError()).reason


def test_import_without_the_sdk() -> None:
    """The package and its options are there; creating names what is missing."""
    code = """
import sys
for name in ("google", "google.genai"):
    sys.modules[name] = None
from captiond.engines.gemini import ENGINE
assert set(ENGINE.variants) == {"transcribe", "agent"}
ENGINE.options()
try:
    ENGINE.create(None)
except ImportError as exc:
    print(exc.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() in ("google", "google.genai")
