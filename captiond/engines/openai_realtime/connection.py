"""From a configured address to a session that the server has accepted."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from captiond.config import is_loopback
from captiond.engines.openai_realtime.dialects import Dialect, Malformed
from captiond.engines.openai_realtime.dialects.said import Created, Trouble, Updated
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions
from captiond.engines.openai_realtime.steps import Fatal
from captiond.engines.openai_realtime.wire import decode, fatal
from captiond.engines.remote.faults import Faults
from captiond.engines.remote.keys import ApiKey, read_key
from captiond.errors import ConfigError

NAME = "openai_realtime"

OPENAI_HOST = "api.openai.com"

OPEN_TIMEOUT = 10.0
"""Seconds that a server has for the handshake, and again for the session."""

PING_TIMEOUT = 40.0
"""Seconds that a server may take to answer a keepalive ping: one that computes on its
event loop takes long."""

MAX_MESSAGE_BYTES = 16 << 20

_TABLE = f"engines.{NAME}"


def find_key(
    options: OpenAiRealtimeOptions, environ: Mapping[str, str]
) -> ApiKey | None:
    """
    Return the key to send, if any.

    Raises:
        ConfigError: If one is needed and there is none, or it can't be sent safely.

    """
    parts = urlsplit(options.url)
    host = parts.hostname or ""
    required = host == OPENAI_HOST
    variable = options.api_key_variable
    if required and not variable and options.api_key_file is None:
        raise ConfigError(
            f"{_TABLE}.api_key_variable: {OPENAI_HOST} wants an API key; name a "
            f"variable such as OPENAI_API_KEY, or set {_TABLE}.api_key_file"
        )
    if not variable and options.api_key_file is None:
        return None
    key = read_key(
        engine=NAME,
        file=options.api_key_file,
        environ=environ,
        variables=[variable] if variable else [],
        required=required,
    )
    if key is not None and parts.scheme == "ws" and not is_loopback(host):
        raise ConfigError(
            f"{_TABLE}.url: the key from {key.source} would go to {host} in the "
            f'clear; use wss://, or set {_TABLE}.api_key_variable = "" to send none'
        )
    return key


def make_faults(options: OpenAiRealtimeOptions, key: ApiKey | None) -> Faults:
    """Return what explains failures."""
    host = urlsplit(options.url).hostname or ""
    return Faults(
        service="OpenAI" if host == OPENAI_HOST else f"the server {host}",
        address=urlsplit(options.url).netloc,
        key_option=key.source if key is not None else f"{_TABLE}.api_key_file",
        model_option=f"{_TABLE}.model",
        secrets=[] if key is None else [key.reveal()],
    )


def make_context(url: str, ca_file: Path | None) -> ssl.SSLContext | None:
    """
    Return what the connection is secured with; None for ``ws://``.

    Raises:
        ConfigError: If the certificates can't be read.

    """
    if urlsplit(url).scheme == "ws":
        return None
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            f"{_TABLE}.ca_file: {ca_file} can't be used: {exc.strerror or exc}"
        ) from exc


class Connector:
    """
    Opens connections to one server.

    Args:
        url: Its address.
        key: The key to send.
        context: What the connection is secured with.
        faults: Explains failures.

    """

    def __init__(
        self,
        url: str,
        *,
        key: ApiKey | None,
        context: ssl.SSLContext | None,
        faults: Faults,
    ) -> None:
        self._url = url
        self._key = key
        self._context = context
        self._faults = faults

    async def open(
        self, dialect: Dialect, vocabulary: Sequence[str]
    ) -> ClientConnection:
        """
        Return a connection with a session that is configured.

        Raises:
            EngineError: If there is none to be had.

        """
        try:
            socket = await self._connect(dialect)
        except (OSError, EOFError, WebSocketException) as exc:
            raise self._faults.classify(exc) from exc
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                await self._begin(socket, dialect, vocabulary)
        except BaseException as exc:
            socket.transport.abort()
            if isinstance(exc, TimeoutError):
                raise self._faults.error(
                    "timeout",
                    f"no session within {OPEN_TIMEOUT:g} s of connecting; does the "
                    "server speak the dialect?",
                    retryable=True,
                ) from exc
            if isinstance(exc, ConnectionClosed):
                raise self._faults.classify(exc) from exc
            if isinstance(exc, Fatal):
                raise fatal(self._faults, exc) from exc
            raise
        return socket

    async def _connect(self, dialect: Dialect) -> ClientConnection:
        query = urlencode(dialect.query)
        headers = {}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return await connect(
            f"{self._url}?{query}" if query else self._url,
            ssl=self._context,
            additional_headers=headers,
            user_agent_header="captiond",
            logger=_quiet_logger(),
            open_timeout=OPEN_TIMEOUT,
            ping_timeout=PING_TIMEOUT,
            close_timeout=1.0,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
        )

    async def _begin(
        self, socket: ClientConnection, dialect: Dialect, vocabulary: Sequence[str]
    ) -> None:
        await _wait_for(socket, dialect, Created)
        for message in dialect.configure(vocabulary):
            await socket.send(json.dumps(message))
        if dialect.acknowledges:
            await _wait_for(socket, dialect, Updated)


def _quiet_logger() -> logging.Logger:
    # At debug level websockets writes the headers, and the key is one of them.
    logger = logging.getLogger("captiond.openai_realtime.websocket")
    logger.setLevel(logging.WARNING)
    return logger


async def _wait_for(
    socket: ClientConnection, dialect: Dialect, wanted: type[Created | Updated]
) -> None:
    """
    Read until the server says what is wanted.

    Raises:
        Fatal: If it complains instead.

    """
    while True:
        try:
            said = dialect.decode(decode(await socket.recv()))
        except Malformed:
            continue
        for each in said:
            if isinstance(each, Trouble):
                raise Fatal(each)
            if isinstance(each, wanted):
                return
