"""A WebSocket whose bad habits can be chosen: late pongs, no reading, a hard reset."""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from tests.servers.gemini.faults import Faults


class Peer(ServerConnection):
    """The server's end of one connection."""

    def __init__(
        self, protocol: ServerProtocol, server: Server, **options: Any
    ) -> None:
        super().__init__(protocol, server, **options)
        self.number = 0
        self.own_faults: Faults | None = None
        """Faults of this connection only; without them the server's hold."""
        self.faults: Callable[[], Faults] = Faults
        self.on_control: Callable[[str], None] = lambda _kind: None
        """Is told "ping" and "pong"."""
        self._send_frame = protocol.send_frame
        # The library answers pings below everything that can be overridden.
        protocol.send_frame = self._send_or_hold  # type: ignore[method-assign]

    def stop_reading(self) -> None:
        """Take nothing more from the socket."""
        self.transport.pause_reading()

    def reset(self) -> None:
        """Cut the TCP connection with a reset."""
        at_once = struct.pack("ii", 1, 0)
        end: socket.socket | None = self.transport.get_extra_info("socket")
        if end is not None and not self.transport.is_closing():
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.transport.abort()

    def _send_or_hold(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.PONG:
            self._send_frame(frame)
            return
        self.on_control("ping")
        delay = self.faults().pong_delay
        if delay is None:
            self._send_frame(frame)
            self.on_control("pong")
        elif delay != math.inf:
            self.loop.call_later(delay, self._send_late, frame)

    def _send_late(self, frame: Frame) -> None:
        if self.protocol.state is State.OPEN:
            self._send_frame(frame)
            self.send_data()
            self.on_control("pong")
