"""
The media clock of one track: where each packet's audio belongs.

Positions count samples at 16 kHz since the stream's first sample. RTP timestamps place
packets exactly; what is missing between them is filled, up to a limit, because a
sender may jump anywhere (RFC 3550 section 5.1: the timestamp's start is random).

Silence put in while no packet came may turn out to be too much: the packets were only
late. Their audio then follows behind it, and the surplus stays on the books: later
holes are filled by as much less, and pauses shortened, until the clock is right again.
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
    """The timestamp stepped back, or the sender's clock stood still for longer than
    may be made up for."""
    RESTART = "restart"
    """The sender began anew."""


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where a packet's audio goes."""

    fill: int
    """Samples of silence to put in before it."""

    missing: tuple[int, int]
    """Positions between which no audio came, silence already put in included."""

    hole: int
    """Samples for which no audio came, by the sender's clock: more than ``missing``
    where a surplus was paid."""

    anchored: Anchoring | None = None
    forgiven: int = 0
    """Samples of surplus silence that stay on the clock for good."""


class Timeline:
    """
    Maps the RTP timestamps of one track to positions.

    Args:
        clock_rate: RTP clock of the codec in Hz; divides or is divided by 16 kHz.
        origin: Position at which the track's first sample lies.
        max_fill: Longest hole in seconds that is filled, and longest surplus of
            silence that is made up for.

    """

    OVERLAP = SAMPLE_RATE // 50
    """Samples that a packet may overlap the one before without a word: some senders
    start with a shorter frame."""

    def __init__(self, *, clock_rate: int, origin: int, max_fill: float) -> None:
        self._clock_rate = clock_rate
        self._limit = round(max_fill * SAMPLE_RATE)
        self._anchor: tuple[int, int] | None = None
        """An RTP timestamp and the position that it stands for."""
        self.position = origin
        """Where the next sample goes."""
        self._heard = origin
        """Where the last audio of the sender ended."""
        self._due = origin
        """Where it should have ended, by the sender's clock."""

    @property
    def surplus(self) -> int:
        """Samples by which the output is ahead of the sender's last audio."""
        return self.position - self._due

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
        samples = step * SAMPLE_RATE // self._clock_rate
        due = base_position + samples
        if due - self.position > self._limit:
            return self._anchor_at(timestamp, Anchoring.JUMP)
        if due < self._due - self.OVERLAP:
            return self._anchor_at(timestamp, Anchoring.BACKWARD)
        if self.position - due > self._limit:
            return self._anchor_at(
                timestamp, Anchoring.BACKWARD, forgiven=self.position - due
            )
        if due < self._due:
            self._anchor = (timestamp, self._due)
        else:
            # What is less than a sample stays with the next step.
            whole = samples * self._clock_rate // SAMPLE_RATE
            self._anchor = (base_timestamp + whole, due)
        return self._follow(max(due, self._due))

    def lag(self, elapsed: int) -> int:
        """
        Return the samples of silence that are due ``elapsed`` after the last audio.

        None as long as a surplus lasts: audio that is late again needs no more.
        """
        return max(0, elapsed - self.surplus)

    def advance(self, samples: int) -> None:
        """Note that the sender's audio fills the next ``samples``."""
        self.position += samples
        self._heard = self.position
        self._due += samples

    def advance_silence(self, samples: int) -> None:
        """Note that silence fills the next ``samples``."""
        self.position += samples

    def leave_out(self, samples: int) -> None:
        """Note that ``samples`` of the sender's audio are not handed on."""
        self._due += samples

    def _follow(self, due: int) -> Placement:
        hole = due - self._due
        fill = max(0, due - self.position)
        self._due = due
        return Placement(fill, (self._heard, self.position + fill), hole)

    def _anchor_at(
        self, timestamp: int, why: Anchoring | None, forgiven: int = 0
    ) -> Placement:
        missing = (self._heard, self.position)
        self._anchor = (timestamp, self.position)
        self._due = self.position
        return Placement(0, missing, missing[1] - missing[0], why, forgiven)
