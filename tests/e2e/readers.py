"""Readers of the caption stream as independent clients write them."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

LAST_STATES = ("paused", "ended")


class Reader:
    """
    Collects a stream's messages until the stream pauses or the connection closes.

    Args:
        url: Address of the captions, with its query.
        sock: Connected socket to use.

    """

    def __init__(self, url: str, *, sock: socket.socket | None = None) -> None:
        self._url = url
        self._sock = sock
        self.messages: list[dict[str, Any]] = []
        self.code: int | None = None
        """Close code that the server gave."""
        self.greeted = asyncio.Event()
        self.wake = asyncio.Event()
        """Unset, the reader takes nothing after hello."""
        self.wake.set()

    @property
    def durable(self) -> list[int]:
        """Numbers of the durable events, in the order they came."""
        return [
            m["seq"]
            for m in self.messages
            if m["type"] in ("gap", "status", "session")
            or (m["type"] == "caption" and m["state"] == "final")
        ]

    @property
    def finals(self) -> list[dict[str, Any]]:
        """The final captions."""
        return [
            m for m in self.messages if m["type"] == "caption" and m["state"] == "final"
        ]

    @property
    def text(self) -> str:
        """Everything said."""
        return " ".join(m["text"] for m in self.finals)

    def has_shown(self, word: str) -> bool:
        """Whether a caption, interim or final, held a word."""
        return any(word in message.get("text", "") for message in self.messages)

    @property
    def position(self) -> str:
        """Where the reader is."""
        epoch = self.messages[0]["epoch"]
        return f"{epoch}:{max(self.durable, default=self.messages[0]['after'])}"

    async def run(self) -> None:
        """Read."""
        options: dict[str, Any] = {} if self._sock is None else {"sock": self._sock}
        async with connect(self._url, max_queue=1, **options) as connection:
            try:
                async for raw in connection:
                    message = json.loads(raw)
                    self.messages.append(message)
                    self.greeted.set()
                    if message["type"] == "status" and message["state"] in LAST_STATES:
                        return
                    await self.wake.wait()
            except ConnectionClosed:
                pass  # the code tells
        self.code = connection.close_code
