"""
Puts RTP packets back in order, without adding delay to a clean link.

A packet that is next in order is released at once. One that leaves a hole waits for
the hole to be filled, at most ``hold`` seconds; then the missing ones count as lost.
"""

from __future__ import annotations

import dataclasses

MAX_DROPOUT = 3000
"""RFC 3550 appendix A.1: a larger step forward must be confirmed."""

MAX_MISORDER = 100
"""RFC 3550 appendix A.1: a larger step backward must be confirmed."""

MAX_RATE = 100
"""Packets per second of a long outage that are believed to be lost."""

MAX_DISAGREEMENT = 2.0
"""Seconds by which timestamp and arrival may differ over a long outage."""


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
        clock_rate: RTP clock of the codec in Hz.
        capacity: Packets that may wait; when more do, the oldest hole is given up.

    """

    def __init__(self, *, hold: float, clock_rate: int, capacity: int = 128) -> None:
        self._hold = hold
        self._clock_rate = clock_rate
        self._capacity = capacity
        self._waiting: dict[int, Packet] = {}
        """By extended sequence number."""
        self._next = 0
        """Extended sequence number that is due."""
        self._latest: Packet | None = None
        """Last released."""
        self._stray: Packet | None = None
        """Far from the expected sequence number; the one after it would confirm it."""
        self._given_up: set[int] = set()
        """Lately given up, to tell a late packet from a duplicate."""
        self.stats = ReorderStats()

    def push(self, packet: Packet) -> list[Released]:
        """Add a packet and return those whose turn it is."""
        self.stats.received += 1
        if self._latest is None or packet.ssrc != self._latest.ssrc:
            return self._restart(packet)
        step = (packet.sequence - self._next + 0x8000) % 0x10000 - 0x8000
        if not -MAX_MISORDER <= step < MAX_DROPOUT:
            return self._push_stray(packet)
        self._discard_stray()
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
        while self._waiting:
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
        self._discard_stray()
        return [self._release(number) for number in sorted(self._waiting)]

    def _release(self, number: int) -> Released:
        lost = number - self._next
        self.stats.lost += lost
        self._give_up(self._next, number)
        self._next = number + 1
        self._latest = self._waiting.pop(number)
        return Released(self._latest, lost)

    def _restart(self, packet: Packet) -> list[Released]:
        restarted = self._latest is not None
        released = self.flush()
        self._latest = packet
        self._given_up = set()
        self._next = packet.sequence + 1
        return [*released, Released(packet, 0, restarted)]

    def _push_stray(self, packet: Packet) -> list[Released]:
        # RFC 3550 appendix A.1: two packets in a row prove that it is the sender.
        stray = self._stray
        if stray is None or packet.sequence != (stray.sequence + 1) % 0x10000:
            self._discard_stray()
            self._stray = packet
            return []
        self._stray = None
        resumed = self._latest is not None and self._continues(self._latest, stray)
        released = self._skip_to(stray) if resumed else self._restart(stray)
        return [*released, *self._skip_to(packet)]

    def _continues(self, before: Packet, after: Packet) -> bool:
        """
        Whether packets were lost between two far apart.

        They were if the sender's clock went on meanwhile as ours did, and there was
        time for as many packets: a sender that begins anew starts both its numbers at
        random (RFC 3550 section 5.1).
        """
        sent = (after.timestamp - before.timestamp) % 0x100000000 / self._clock_rate
        elapsed = after.arrival - before.arrival
        missing = (after.sequence - self._next) % 0x10000
        return abs(sent - elapsed) <= MAX_DISAGREEMENT and missing <= elapsed * MAX_RATE

    def _skip_to(self, packet: Packet) -> list[Released]:
        self._waiting[self._next + (packet.sequence - self._next) % 0x10000] = packet
        return self.flush()

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

    def _discard_stray(self) -> None:
        if self._stray is not None:
            self._stray = None
            self.stats.stray += 1
