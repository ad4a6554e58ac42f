"""
Everything that a server received and sent, for assertions.

``server.log.received("audio")`` and ``server.log.sent("inputTranscription")`` give
records in order; ``await server.log.until("setup")`` waits for one. At most 200,000 are
kept, the oldest go first (``discarded`` counts them).
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from typing import Any, Literal

MOST = 200_000
Direction = Literal["in", "out"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing that came or went."""

    connection: int
    """Connections are numbered from 1, refused handshakes too."""
    direction: Direction
    kind: str
    """
    What it is, in the words of the protocol.

    In: setup, audio, video, text, audioStreamEnd, activityStart, activityEnd,
    clientContent, toolResponse, contextUpdate, ping, invalid; closed at the end.
    Out: setupComplete, the fields of serverContent (a message with several is a record
    for each), voiceActivity, goAway, sessionResumptionUpdate, toolCall,
    toolCallCancellation, usageMetadata, error, pong, close, abort, and withheld for
    what a muted server would have said.
    """
    at: float
    """Monotonic time."""
    size: int = 0
    """Bytes of decoded media, or of the frame where there is no media."""
    mime: str = ""
    seconds: float = 0.0
    """How much audio the connection had sent by then, this included."""
    content: Any = None
    """What it said, media left out."""


class Log:
    """The records of all connections of a server."""

    def __init__(self) -> None:
        self.records: collections.deque[Record] = collections.deque(maxlen=MOST)
        self.discarded = 0
        self._news = asyncio.Event()

    def add(self, record: Record) -> None:
        """Keep a record."""
        if len(self.records) == MOST:
            self.discarded += 1
        self.records.append(record)
        news, self._news = self._news, asyncio.Event()
        news.set()

    def received(self, kind: str = "", *, connection: int = 0) -> list[Record]:
        """Return what came, of a kind or connection if given."""
        return self._found("in", kind, connection)

    def sent(self, kind: str = "", *, connection: int = 0) -> list[Record]:
        """Return what went, of a kind or connection if given."""
        return self._found("out", kind, connection)

    async def until(
        self,
        kind: str,
        *,
        count: int = 1,
        connection: int = 0,
        timeout: float = 10.0,
    ) -> Record:
        """
        Wait until there are so many records of a kind, and return the last of them.

        Raises:
            TimeoutError: If there are fewer after a time.

        """
        async with asyncio.timeout(timeout):
            while True:
                news = self._news
                found = [
                    record
                    for record in self.records
                    if record.kind == kind and connection in (0, record.connection)
                ]
                if len(found) >= count:
                    return found[count - 1]
                await news.wait()

    def _found(self, direction: Direction, kind: str, connection: int) -> list[Record]:
        return [
            record
            for record in self.records
            if record.direction == direction
            and kind in ("", record.kind)
            and connection in (0, record.connection)
        ]


def now() -> float:
    """Return the time for a record."""
    return time.monotonic()
