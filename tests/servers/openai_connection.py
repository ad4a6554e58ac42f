"""One client's connection to an OpenAI-like test server, and what goes wrong on it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tests.servers.openai_faults import FaultSwitch
from tests.servers.openai_hearing import Event, PeerSetup, Send

_HUGE = 1_200_000
_EXPIRED = "Your session hit the maximum duration of 60 minutes."


class Peer(Protocol):
    """The server's side of one connection, in one of the dialects."""

    @property
    def seconds(self) -> float:
        """Return how much audio came."""

    async def open(self) -> bool:
        """Begin; return whether there is a session."""

    async def receive(self, message: Mapping[str, Any]) -> None:
        """Take a message from the client."""


def openai_error(code: str, message: str) -> Event:
    """Return an error event of OpenAI's."""
    error = {
        "type": "server_error" if code == "server_error" else "invalid_request_error",
        "code": code,
        "message": message,
        "param": None,
        "event_id": None,
    }
    return {"type": "error", "event_id": "event_999999", "error": error}


def vllm_error(code: str, message: str) -> Event:
    """Return an error event of vLLM's."""
    return {"type": "error", "error": message, "code": code}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a server gives to its connections."""

    faults: FaultSwitch
    setup: Callable[[Mapping[str, str], Send, asyncio.TaskGroup], PeerSetup]
    peer: Callable[[PeerSetup], Peer]
    record: Callable[[Mapping[str, Any]], None]
    """Takes each message of the client, without audio."""

    heard: Callable[[float], None]
    """Takes the seconds of audio that came."""

    error: Callable[[str, str], Event] = openai_error
    """Makes the dialect's event of an error's code and message."""


class Connection:
    """
    Moves messages between a client and the dialect, and does what is wrong.

    Args:
        socket: The client's.
        service: What the server gives.

    """

    def __init__(self, socket: ServerConnection, service: Service) -> None:
        self._socket = socket
        self._service = service
        self._done: set[str] = set()
        """Faults that have happened in this session."""

    async def run(self, session_seconds: float | None) -> None:
        """Serve until the connection ends, or the session expires."""
        with contextlib.suppress(ConnectionClosed):
            try:
                async with asyncio.timeout(session_seconds):
                    await self._run()
            except TimeoutError:
                await self._expire()

    async def _run(self) -> None:
        if await self._opening_fault():
            return
        request = self._socket.request
        assert request is not None
        query = dict(parse_qsl(urlsplit(request.path).query))
        try:
            async with asyncio.TaskGroup() as tasks:
                setup = self._service.setup(query, self._send, tasks)
                await self._talk(self._service.peer(setup))
                _end()
        except* (_Ended, ConnectionClosed):
            pass  # what the dialect has begun ends with the connection

    async def _talk(self, peer: Peer) -> None:
        if not await peer.open():
            return
        async for data in self._socket:
            message = _decode(data)
            self._service.record(_without_audio(message))
            before = peer.seconds
            await peer.receive(message)
            self._service.heard(peer.seconds - before)
            if peer.seconds > max(before, self._service.faults.faults.after):
                await self._disturb()
                await self._break()

    async def _send(self, event: Event) -> None:
        await self._socket.send(json.dumps(event))

    async def _opening_fault(self) -> bool:
        if self._service.faults.take("no_session_created"):
            await self._socket.wait_closed()
            return True
        code = self._service.faults.take("first_error")
        if code is not None:
            await self._send(self._error(code))
            return True
        return False

    async def _expire(self) -> None:
        await self._send(self._service.error("session_expired", _EXPIRED))
        await self._socket.close(1001, _EXPIRED)

    async def _disturb(self) -> None:
        if self._take("unknown_events"):
            for kind in ("rate_limits.updated", "conversation.item.retrieved", "tada"):
                await self._send({"type": kind, "item_id": "item_9999", "delta": "x"})
        if self._take("huge_event"):
            await self._send({"type": "tada", "session": {"x": "y" * _HUGE}})
        if self._take("invalid_json"):
            for data in ('{"type": ', "[1, 2]", '{"delta": "x"}'):
                await self._socket.send(data)
        if self._take("binary_frame"):
            await self._socket.send(b"\x00\x01\x02")
        if code := self._take("error"):
            await self._send(self._error(code))

    async def _break(self) -> None:
        if close := self._take("close"):
            await self._socket.close(*close)
        if self._take("reset"):
            self._socket.transport.abort()
        if self._take("stop_reading"):
            self._socket.transport.pause_reading()
            await self._socket.wait_closed()

    def _error(self, code: str) -> Event:
        return self._service.error(code, f"You have a problem: {code}.")

    def _take(self, name: str) -> Any:
        if name in self._done:
            return None
        value = self._service.faults.take(name)
        if value:
            self._done.add(name)
        return value


class _Ended(Exception):
    """The conversation is over."""


def _end() -> NoReturn:
    raise _Ended


def _decode(data: str | bytes) -> Mapping[str, Any]:
    try:
        message = json.loads(data)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _without_audio(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(message.get("audio"), str):
        return message
    size = 0
    with contextlib.suppress(binascii.Error):
        size = len(base64.b64decode(message["audio"]))
    rest = {name: each for name, each in message.items() if name != "audio"}
    return {**rest, "audio_bytes": size}
