"""
The audio ring: everything an engine hasn't settled yet, to be sent again if need be.

No I/O. The ring is also the queue between the receive path and the engine: what was
not sent yet waits here, bounded in seconds, and the oldest falls out first.
"""

from __future__ import annotations

import collections

from captiond.events import MediaTime
from captiond.media.chunk import AudioChunk


class AudioRing:
    """
    Chunks on the media clock, oldest first.

    Args:
        limit: Seconds of audio that are kept.

    """

    def __init__(self, *, limit: float) -> None:
        self._limit = limit
        self._chunks: collections.deque[AudioChunk] = collections.deque()
        self._sent = 0
        """How many chunks at the start were sent."""
        self._depth = 0.0
        self._waiting = 0.0
        self.end = MediaTime(0.0)
        """Media time after the newest sample."""

    @property
    def depth(self) -> float:
        """Seconds of audio in the ring."""
        return self._depth

    @property
    def waiting(self) -> float:
        """Seconds of audio not sent yet."""
        return self._waiting

    def push(self, chunk: AudioChunk) -> list[AudioChunk]:
        """Add a chunk; return those that fell out without having been settled."""
        self._chunks.append(chunk)
        self._depth += chunk.duration
        self._waiting += chunk.duration
        self.end = chunk.end
        dropped = []
        while self._depth > self._limit:
            dropped.append(self._drop_oldest())
        return dropped

    def next(self) -> AudioChunk | None:
        """Return the next chunk to send, or None when all were sent."""
        if self._sent == len(self._chunks):
            return None
        chunk = self._chunks[self._sent]
        self._sent += 1
        self._waiting -= chunk.duration
        return chunk

    def settle(self, time: MediaTime) -> None:
        """Forget sent audio before ``time``: no engine will need it again."""
        while self._sent and self._chunks[0].end <= time:
            self._drop_oldest()

    def rewind(self) -> float:
        """Make everything unsent again; return how many seconds had been sent."""
        replayed = self._depth - self._waiting
        self._sent = 0
        self._waiting = self._depth
        return max(0.0, replayed)

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._sent = 0
        self._depth = self._waiting = 0.0

    def _drop_oldest(self) -> AudioChunk:
        chunk = self._chunks.popleft()
        self._depth -= chunk.duration
        if self._sent:
            self._sent -= 1
        else:
            self._waiting -= chunk.duration
        return chunk
