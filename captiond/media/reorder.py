"""
Puts RTP packets back in order, without adding delay to a clean link.

A packet that is next in order is released at once. One that leaves a hole waits for
the hole to be filled, at most ``hold`` seconds; then the missing ones count as lost.
"""

from __future__ import annotations

import dataclasses

MAX_DROPOUT = 3000
"""RFC 3550 appendix A.1: a larger step forward is a restart of the sender."""

MAX_MISORDER = 100
"""RFC 3550 appendix A.1: a larger step backward is a restart of the sender."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What the receive path needs of an RTP packet (RFC 3550 section 5.1)."""

    sequence: int
    """16 bits."""

    timestamp: int
    """32 bits, in the codec's RTP clock."""

    ssrc: int
    payload: bytes
    arrival: float
    """Monotonic time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """A packet in its turn."""

    packet: Packet
    lost: int
    """Packets given up between the one before and this one."""

    restarted: bool = False
    """The sender began anew: its numbers are unrelated to the ones before."""


@dataclasses.dataclass(slots=True)
class ReorderStats:
    """Counts over the life of one track."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    stray: int = 0
    """Far from the expected sequence number, and alone."""


class ReorderBuffer:
    """
    Reorders one track's packets.

    Args:
        hold: Seconds that a packet after a hole waits for the hole to be filled.
        capacity: Packets that may wait; when more do, the oldest hole is given up.

    """

    def __init__(self, *, hold: float, capacity: int = 128) -> None:
        self._hold = hold
        self._capacity = capacity
        self._waiting: dict[int, Packet] = {}
        """By extended sequence number."""
        self._next: int | None = None
        """Extended sequence number that is due."""
        self._ssrc: int | None = None
        self._stray: int | None = None
        """Sequence number that would confirm a restart."""
        self._given_up: set[int] = set()
        """Lately given up, to tell a late packet from a duplicate."""
        self.stats = ReorderStats()

    def push(self, packet: Packet) -> list[Released]:
        """Add a packet and return those whose turn it is."""
        self.stats.received += 1
        if self._next is None or packet.ssrc != self._ssrc:
            return self._restart(packet)
        step = (packet.sequence - self._next + 0x8000) % 0x10000 - 0x8000
        if not -MAX_MISORDER <= step < MAX_DROPOUT:
            return self._push_stray(packet)
        self._stray = None
        number = self._next + step
        if step < 0:
            self._count_past(number)
        elif number in self._waiting:
            self.stats.duplicate += 1
        else:
            self._waiting[number] = packet
        return self.poll(packet.arrival)

    def poll(self, now: float) -> list[Released]:
        """Return the packets whose turn it is at monotonic time ``now``."""
        released: list[Released] = []
        while self._waiting and self._next is not None:
            first = min(self._waiting)
            overdue = now - self._waiting[first].arrival >= self._hold
            if first != self._next and not (
                overdue or len(self._waiting) > self._capacity
            ):
                break
            released.append(self._release(first))
        return released

    def flush(self) -> list[Released]:
        """Return everything that waits, in order: the track ended."""
        return [self._release(number) for number in sorted(self._waiting)]

    def _release(self, number: int) -> Released:
        assert self._next is not None
        lost = number - self._next
        self.stats.lost += lost
        self._give_up(self._next, number)
        self._next = number + 1
        return Released(self._waiting.pop(number), lost)

    def _restart(self, packet: Packet) -> list[Released]:
        restarted = self._next is not None
        released = self.flush()
        self._ssrc = packet.ssrc
        self._stray = None
        self._given_up = set()
        self._next = packet.sequence + 1
        return [*released, Released(packet, 0, restarted)]

    def _push_stray(self, packet: Packet) -> list[Released]:
        # RFC 3550 appendix A.1: two packets in a row prove that the sender restarted.
        if packet.sequence == self._stray:
            return self._restart(packet)
        self._stray = (packet.sequence + 1) % 0x10000
        self.stats.stray += 1
        return []

    def _give_up(self, start: int, end: int) -> None:
        self._given_up.update(range(max(start, end - MAX_MISORDER), end))
        if len(self._given_up) > 4 * MAX_MISORDER:
            floor = end - MAX_MISORDER
            self._given_up = {n for n in self._given_up if n >= floor}

    def _count_past(self, number: int) -> None:
        if number in self._given_up:
            self._given_up.discard(number)
            self.stats.late += 1
        else:
            self.stats.duplicate += 1
