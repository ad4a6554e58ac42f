"""Fixed-length chunks of mono 16 kHz PCM, cut from decoded audio."""

from __future__ import annotations

import dataclasses

from captiond.events import MediaTime

SAMPLE_RATE = 16_000
"""Samples per second of every chunk: what speech models take."""

BYTES_PER_SAMPLE = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AudioChunk:
    """A piece of mono 16 kHz signed 16-bit little-endian PCM on the media clock."""

    start: MediaTime
    pcm: bytes
    arrival: float
    """Monotonic time at which the packet with the last sample arrived."""

    decoded: float
    """Monotonic time at which the last sample was decoded."""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / (SAMPLE_RATE * BYTES_PER_SAMPLE)

    @property
    def end(self) -> MediaTime:
        """Media time after the last sample."""
        return MediaTime(self.start + self.duration)


class Chunker:
    """
    Cuts PCM into chunks of one length; a jump of the media clock cuts early.

    Args:
        chunk_samples: Length of each chunk in samples at 16 kHz.

    """

    def __init__(self, *, chunk_samples: int) -> None:
        self._chunk_bytes = chunk_samples * BYTES_PER_SAMPLE
        self._pending = bytearray()
        self._position = 0
        """Sample position of the first pending sample, on the media clock."""

    def push(
        self, position: int, pcm: bytes, *, arrival: float, decoded: float
    ) -> list[AudioChunk]:
        """
        Add PCM that starts at sample ``position`` and return the chunks completed.

        A position that doesn't follow the last sample ends the pending chunk short.
        """
        chunks: list[AudioChunk] = []
        expected = self._position + len(self._pending) // BYTES_PER_SAMPLE
        if position != expected:
            chunks += self.flush(arrival=arrival, decoded=decoded)
            self._position = position
        self._pending += pcm
        while len(self._pending) >= self._chunk_bytes:
            chunks.append(self._cut(self._chunk_bytes, arrival, decoded))
        return chunks

    def flush(self, *, arrival: float, decoded: float) -> list[AudioChunk]:
        """Return what is pending as a short chunk, if anything is."""
        if not self._pending:
            return []
        return [self._cut(len(self._pending), arrival, decoded)]

    def _cut(self, size: int, arrival: float, decoded: float) -> AudioChunk:
        chunk = AudioChunk(
            start=MediaTime(self._position / SAMPLE_RATE),
            pcm=bytes(self._pending[:size]),
            arrival=arrival,
            decoded=decoded,
        )
        del self._pending[:size]
        self._position += size // BYTES_PER_SAMPLE
        return chunk
