"""
The connection to the service: the SDK's client, made for long sessions.

What goes wrong in it is told as :class:`captiond.errors.EngineError`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google import genai
from google.auth.exceptions import GoogleAuthError
from google.genai import errors, types
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from captiond.config import is_loopback
from captiond.engines.gemini.options import GeminiOptions
from captiond.engines.remote.faults import Faults
from captiond.engines.remote.keys import ApiKey, read_key
from captiond.errors import ConfigError, EngineError

KEY_VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")

DEVELOPER_URL = "https://generativelanguage.googleapis.com/"
GLOBAL_VERTEX_URL = "https://aiplatform.googleapis.com/"

MAX_MESSAGE_BYTES = 1 << 24
"""Largest message taken; the model's speech comes in messages of any size."""

CLOSE_TIMEOUT = 2.0
"""Seconds that the service has to answer when a session is closed."""

PING_INTERVAL = 20.0

on_connection: ContextVar[Callable[[ClientConnection], None] | None] = ContextVar(
    "on_connection", default=None
)
"""Called with the WebSocket that the SDK opens in this context, and keeps to itself."""

_FIRST_CLOSE_CODE = 1000
"""Codes from here on are those of WebSocket, below them of HTTP."""


class _TellingConnection(ClientConnection):
    """A WebSocket that tells of itself: who can't end it can't end a session either."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tell = on_connection.get()
        if tell is not None:
            tell(self)


def read_api_key(options: GeminiOptions, environ: Mapping[str, str]) -> ApiKey | None:
    """
    Return the key; Vertex AI needs none.

    Raises:
        ConfigError: If there is none.

    """
    if options.vertex_project:
        return None
    return read_key(
        engine="gemini",
        file=options.api_key_file,
        environ=environ,
        variables=KEY_VARIABLES,
    )


def make_client(options: GeminiOptions, key: ApiKey | None) -> genai.Client:
    """
    Return a client; nothing is connected.

    Raises:
        ConfigError: If the certificates can't be read.

    """
    http = types.HttpOptions(
        base_url=_base_url(options),
        api_version=_api_version(options),
        async_client_args=_websocket_arguments(options),
    )
    # Everything is said: the SDK would look for the rest in the environment.
    if key is None:
        return genai.Client(
            vertexai=True,
            project=options.vertex_project,
            location=options.vertex_location,
            http_options=http,
        )
    return genai.Client(vertexai=False, api_key=key.reveal(), http_options=http)


def make_faults(options: GeminiOptions, key: ApiKey | None) -> Faults:
    """Return what tells the service's failures."""
    vertex = bool(options.vertex_project)
    return Faults(
        service="Gemini",
        address=_host(options),
        key_option=(
            "the application default credentials"
            if key is None
            else f"{key.source} and the key's restrictions"
        ),
        model_option=f"engines.gemini.model ({options.model})"
        + (" and vertex_location" if vertex else " and api_version"),
        secrets=() if key is None else (key.reveal(),),
    )


def fault_of(faults: Faults, exc: BaseException) -> EngineError:
    """Return the error for whatever the SDK raised."""
    if isinstance(exc, errors.APIError):
        return _api_fault(faults, exc)
    if isinstance(exc, GoogleAuthError):
        return faults.error(
            "unauthorised",
            "Google Cloud gives no credentials; check the application default "
            f"credentials: {exc}",
            retryable=False,
        )
    return faults.classify(exc)


def _api_fault(faults: Faults, exc: errors.APIError) -> EngineError:
    code = exc.code or 0
    cause = exc.__context__
    if code == 1006 and isinstance(cause, ConnectionClosed):
        return faults.classify(cause)
    words = exc.details if isinstance(exc.details, str) else exc.message
    if code >= _FIRST_CLOSE_CODE:
        return faults.closed(code, str(words or ""))
    if code == 429:
        return faults.refused(code, body=str(words or ""))
    return faults.told("refused", str(words or ""), retryable=code >= 500)


def _base_url(options: GeminiOptions) -> str:
    if options.base_url:
        return options.base_url
    if not options.vertex_project:
        return DEVELOPER_URL
    if options.vertex_location == "global":
        return GLOBAL_VERTEX_URL
    return f"https://{options.vertex_location}-aiplatform.googleapis.com/"


def _api_version(options: GeminiOptions) -> str:
    if options.vertex_project and options.api_version == "v1beta":
        return "v1beta1"
    return options.api_version


def _host(options: GeminiOptions) -> str:
    return urlsplit(_base_url(options)).hostname or _base_url(options)


def _websocket_arguments(options: GeminiOptions) -> dict[str, Any]:
    # At debug level websockets writes the headers, and the key is one of them.
    logger = logging.getLogger("captiond.gemini.websocket")
    logger.setLevel(logging.WARNING)
    arguments: dict[str, Any] = {
        "ping_interval": PING_INTERVAL,
        "ping_timeout": options.ping_timeout,
        "close_timeout": CLOSE_TIMEOUT,
        "max_size": MAX_MESSAGE_BYTES,
        # Audio doesn't compress, and trying costs as much as all the rest.
        "compression": None,
        "logger": logger,
        "create_connection": _TellingConnection,
    }
    if is_loopback(_host(options)):
        arguments["proxy"] = None
    if options.ca_file is not None:
        arguments["ssl"] = _trusting(options.ca_file)
    return arguments


def _trusting(file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            f"engines.gemini.ca_file: {file} can't be read as PEM: {exc.strerror}"
        ) from exc
