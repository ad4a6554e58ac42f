"""
The audio ring: everything whose text isn't final yet, to be sent again if need be.

No I/O. The ring is also the queue between the receive path and the engines: each
session reads it by a cursor of its own. It is bounded in seconds, and the oldest falls
out first.
"""

from __future__ import annotations

import collections
import dataclasses

from captiond.events import MediaTime
from captiond.media.chunk import AudioChunk


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """Audio that fell out of the ring before it was settled."""

    start: MediaTime
    end: MediaTime
    seconds: float
    """Length of what fell out; less than end - start where the media clock jumps."""


class AudioRing:
    """
    Chunks on the media clock, oldest first.

    Args:
        limit: Seconds of audio that are kept.

    """

    def __init__(self, *, limit: float) -> None:
        self._limit = limit
        self._chunks: collections.deque[AudioChunk] = collections.deque()
        self._first = 0
        """Number of the oldest chunk; chunks are numbered in the order of coming."""
        self.depth = 0.0
        """Seconds of audio in the ring."""
        self.start = MediaTime(0.0)
        """Media time of the oldest sample; the end of the newest if there is none."""
        self.end = MediaTime(0.0)
        """Media time after the newest sample."""

    def push(self, chunk: AudioChunk) -> list[Lost]:
        """Add a chunk; return what fell out for it."""
        self._chunks.append(chunk)
        self.depth += chunk.duration
        self.end = chunk.end
        lost = []
        while self.depth > self._limit and len(self._chunks) > 1:
            dropped = self._drop_oldest()
            lost.append(Lost(dropped.start, dropped.end, dropped.duration))
        self._update_start()
        return lost

    def settle(self, time: MediaTime) -> None:
        """Forget audio before ``time``: no engine will need it again."""
        while self._chunks and self._chunks[0].end <= time:
            self._drop_oldest()
        self._update_start()

    def clear(self) -> None:
        """Forget everything."""
        while self._chunks:
            self._drop_oldest()
        self._update_start()

    def cursor(self) -> Cursor:
        """Return a cursor before the oldest chunk."""
        return Cursor(self, self._first)

    def get(self, number: int) -> tuple[int, AudioChunk] | None:
        """Return the first chunk from ``number`` on, with its number."""
        number = max(number, self._first)
        if number >= self._first + len(self._chunks):
            return None
        return number, self._chunks[number - self._first]

    def _drop_oldest(self) -> AudioChunk:
        chunk = self._chunks.popleft()
        self._first += 1
        self.depth -= chunk.duration
        return chunk

    def _update_start(self) -> None:
        if self._chunks:
            self.start = self._chunks[0].start
        else:
            self.start = self.end
            self.depth = 0.0  # sums of floats leave crumbs


class Cursor:
    """One session's place in the ring."""

    def __init__(self, ring: AudioRing, number: int) -> None:
        self._ring = ring
        self._next = number
        self.end = ring.start
        """Media time after the last sample taken."""

    def next(self) -> AudioChunk | None:
        """Return the next chunk, or None when all were taken."""
        found = self._ring.get(self._next)
        if found is None:
            return None
        number, chunk = found
        self._next = number + 1
        self.end = chunk.end
        return chunk
