"""
The media clock of one track: where each packet's audio belongs.

Positions count samples at 16 kHz since the stream's first sample. RTP timestamps place
packets exactly; what is missing between them is filled, up to a limit, because a
sender may jump anywhere (RFC 3550 section 5.1: the timestamp's start is random).
"""

from __future__ import annotations

import dataclasses
import enum

from captiond.media.chunk import SAMPLE_RATE


class Anchoring(enum.StrEnum):
    """Why the clock was anchored anew."""

    JUMP = "jump"
    """The timestamp stepped further than may be filled."""
    BACKWARD = "backward"
    """The timestamp points at audio that was already handed on."""
    RESTART = "restart"
    """The sender began anew."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where a packet's audio goes."""

    fill: int
    """Samples of silence to put in before it."""

    missing: tuple[int, int]
    """Positions between which no audio came, silence already put in included."""

    anchored: Anchoring | None = None


class Timeline:
    """
    Maps the RTP timestamps of one track to positions.

    Args:
        clock_rate: RTP clock of the codec in Hz; divides or is divided by 16 kHz.
        origin: Position at which the track's first sample lies.
        max_fill: Longest hole in seconds that is filled.

    """

    OVERLAP = SAMPLE_RATE // 50
    """Samples that a packet may overlap the one before without a word: some senders
    start with a shorter frame."""

    def __init__(self, *, clock_rate: int, origin: int, max_fill: float) -> None:
        self._clock_rate = clock_rate
        self._max_fill = round(max_fill * SAMPLE_RATE)
        self._anchor: tuple[int, int] | None = None
        """An RTP timestamp and the position that it stands for."""
        self.position = origin
        """Where the next sample goes."""
        self._heard = origin
        """Where the last audio of the sender ended."""

    def place(self, timestamp: int, *, restarted: bool = False) -> Placement:
        """
        Return where audio with this RTP timestamp goes.

        The caller puts in the silence asked for, by :meth:`advance_silence`.
        """
        if self._anchor is None:
            return self._anchor_at(timestamp, None)
        if restarted:
            return self._anchor_at(timestamp, Anchoring.RESTART)
        base_timestamp, base_position = self._anchor
        step = (timestamp - base_timestamp + 0x80000000) % 0x100000000 - 0x80000000
        expected = base_position + step * SAMPLE_RATE // self._clock_rate
        ahead = expected - self.position
        if ahead > self._max_fill:
            return self._anchor_at(timestamp, Anchoring.JUMP)
        if ahead < 0:
            silenced = self.position > self._heard
            small = ahead >= -self.OVERLAP and not silenced
            return self._anchor_at(timestamp, None if small else Anchoring.BACKWARD)
        self._anchor = (timestamp, expected)
        return Placement(ahead, (self._heard, expected))

    def advance(self, samples: int) -> None:
        """Note that the sender's audio fills the next ``samples``."""
        self.position += samples
        self._heard = self.position

    def advance_silence(self, samples: int) -> None:
        """Note that silence fills the next ``samples``."""
        self.position += samples

    def _anchor_at(self, timestamp: int, why: Anchoring | None) -> Placement:
        self._anchor = (timestamp, self.position)
        return Placement(0, (self._heard, self.position), why)
