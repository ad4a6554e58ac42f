"""
The audio ring: everything an engine hasn't settled yet, to be sent again if need be.

No I/O. The ring is also the queue between the receive path and the engine: what was
not sent yet waits here, bounded in seconds, and the oldest falls out first.
"""

from __future__ import annotations

import collections
import dataclasses

from captiond.events import MediaTime
from captiond.media.chunk import AudioChunk


@dataclasses.dataclass(frozen=True, slots=True)
class Rewound:
    """What a rewind brought back, and what it couldn't."""

    replayed: float
    """Seconds of audio that will be sent again."""

    missing: tuple[MediaTime, MediaTime] | None
    """Audio that had been sent and not settled, and is no longer kept."""


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
        self._missing: tuple[MediaTime, MediaTime] | None = None
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

    @property
    def start(self) -> MediaTime:
        """Media time of the oldest sample; the end of the newest if there is none."""
        return self._chunks[0].start if self._chunks else self.end

    def push(self, chunk: AudioChunk) -> list[AudioChunk]:
        """Add a chunk; return those that fell out without having been sent."""
        self._chunks.append(chunk)
        self._depth += chunk.duration
        self._waiting += chunk.duration
        self.end = chunk.end
        unsent = []
        while self._depth > self._limit:
            was_sent = self._sent > 0
            dropped = self._drop_oldest()
            if was_sent:
                start = dropped.start if self._missing is None else self._missing[0]
                self._missing = (start, dropped.end)
            else:
                unsent.append(dropped)
        return unsent

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
        if self._missing is not None and self._missing[1] <= time:
            self._missing = None
        while self._sent and self._chunks[0].end <= time:
            self._drop_oldest()

    def rewind(self) -> Rewound:
        """Make everything unsent again."""
        rewound = Rewound(max(0.0, self._depth - self._waiting), self._missing)
        self._missing = None
        self._sent = 0
        self._waiting = self._depth
        return rewound

    def _drop_oldest(self) -> AudioChunk:
        chunk = self._chunks.popleft()
        self._depth -= chunk.duration
        if self._sent:
            self._sent -= 1
        else:
            self._waiting -= chunk.duration
        return chunk
