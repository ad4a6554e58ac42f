"""Tests of the reorder stage."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiond.media.reorder import Packet, Released, ReorderBuffer


def packet(sequence: int, arrival: float = 0.0, *, ssrc: int = 1) -> Packet:
    """Return a 20 ms packet whose timestamp follows from its number."""
    return Packet(
        sequence=sequence % 0x10000,
        timestamp=sequence * 960 % 0x100000000,
        ssrc=ssrc,
        payload=b"x",
        arrival=arrival,
    )


def new_buffer(hold: float = 0.06, capacity: int = 128) -> ReorderBuffer:
    """Return a buffer for Opus."""
    return ReorderBuffer(hold=hold, clock_rate=48_000, capacity=capacity)


def numbers(released: list[Released]) -> list[int]:
    """Return the released sequence numbers."""
    return [item.packet.sequence for item in released]


def test_in_order_packets_are_released_at_once() -> None:
    """push() adds no delay to a clean link."""
    buffer = new_buffer()

    assert [numbers(buffer.push(packet(n))) for n in (65534, 65535, 65536)] == [
        [65534],
        [65535],
        [0],
    ]


def test_swapped_packets_come_out_in_order() -> None:
    """push() holds a packet back until the one before it is there."""
    buffer = new_buffer()
    buffer.push(packet(1))

    assert buffer.push(packet(3, 0.02)) == []
    assert numbers(buffer.push(packet(2, 0.03))) == [2, 3]
    assert buffer.stats.lost == 0


def test_hole_is_given_up_after_hold() -> None:
    """poll() releases what waits behind a hole, and counts the hole as lost."""
    buffer = new_buffer()
    buffer.push(packet(1))
    buffer.push(packet(4, 1.0))

    assert buffer.poll(1.05) == []
    (released,) = buffer.poll(1.06)
    assert (released.packet.sequence, released.lost) == (4, 2)
    assert buffer.stats.lost == 2


def test_late_and_duplicate_are_told_apart() -> None:
    """A packet given up before is late, one used before is a duplicate."""
    buffer = new_buffer(hold=0.0)
    buffer.push(packet(1))
    buffer.push(packet(3))

    assert buffer.push(packet(2)) == []
    assert buffer.push(packet(3)) == []
    assert buffer.push(packet(2)) == []
    assert (buffer.stats.late, buffer.stats.duplicate) == (1, 2)


def test_full_buffer_gives_up_the_oldest_hole() -> None:
    """A flood behind a hole is bounded by the capacity, not by time."""
    buffer = new_buffer(hold=100.0, capacity=2)
    buffer.push(packet(1))
    buffer.push(packet(3))
    buffer.push(packet(4))

    assert numbers(buffer.push(packet(5))) == [3, 4, 5]


def test_single_stray_packet_is_ignored() -> None:
    """One packet far away doesn't move the window (RFC 3550 appendix A.1)."""
    buffer = new_buffer()
    buffer.push(packet(1))

    assert buffer.push(packet(30000)) == []
    assert numbers(buffer.push(packet(2))) == [2]
    assert buffer.stats.stray == 1


def test_two_strays_in_a_row_restart() -> None:
    """A sender that restarts its numbering is followed."""
    buffer = new_buffer()
    buffer.push(packet(1))
    buffer.push(packet(30000))

    first, second = buffer.push(packet(30001))
    assert (first.packet.sequence, first.restarted) == (30000, True)
    assert (second.packet.sequence, second.restarted) == (30001, False)
    assert (buffer.stats.lost, buffer.stats.stray) == (0, 0)


@pytest.mark.parametrize("count", [3200, 32_768, 50_000])
def test_long_outage_is_lost_packets(count: int) -> None:
    """Numbers that ran on with both clocks were lost, however many they are."""
    buffer = new_buffer()
    for n in (1, 2, 4):
        buffer.push(packet(n, n * 0.02))
    after = 4 + count
    assert buffer.push(packet(after, after * 0.02)) == []

    released = buffer.push(packet(after + 1, after * 0.02 + 0.02))
    assert [(item.lost, item.restarted) for item in released] == [
        (1, False),
        (count - 1, False),
        (0, False),
    ]
    assert (buffer.stats.lost, buffer.stats.stray) == (count, 0)


@pytest.mark.parametrize(
    ("timestamp", "arrival"),
    [(4000 * 960, 1.0), (100 * 960, 80.0), (1_000_000_000, 80.0)],
)
def test_far_numbers_whose_clocks_disagree_restart(
    timestamp: int, arrival: float
) -> None:
    """Numbers far away count as lost only if timestamp and arrival agree."""
    buffer = new_buffer()
    released = buffer.push(packet(0))
    for n in (0, 1):
        far = dataclasses.replace(
            packet(4000 + n, arrival + n * 0.02), timestamp=timestamp + n * 960
        )
        released = buffer.push(far)

    assert [item.restarted for item in released] == [True, False]
    assert buffer.stats.lost == 0


def test_more_packets_than_there_was_time_for_are_a_restart() -> None:
    """A clock that ran on doesn't make a random number a loss."""
    buffer = new_buffer()
    released = buffer.push(packet(0))
    for n in (0, 1):
        late = packet(3000 + n, 60.0 + n * 0.02)
        released = buffer.push(dataclasses.replace(late, sequence=20_000 + n))

    assert released[0].restarted


def test_lone_packet_after_an_outage_is_stray_at_the_end() -> None:
    """What nothing confirmed is not released, and is counted."""
    buffer = new_buffer()
    buffer.push(packet(0))
    buffer.push(packet(3500, 70.0))

    assert buffer.flush() == []
    assert buffer.stats.stray == 1


def test_new_ssrc_restarts_after_what_waited() -> None:
    """Packets that waited are released before those of a new source."""
    buffer = new_buffer()
    buffer.push(packet(1))
    buffer.push(packet(3))

    assert numbers(buffer.push(packet(500, ssrc=2))) == [3, 500]


def test_flush_releases_the_last_packets() -> None:
    """flush() delivers what waits at the end of the track."""
    buffer = new_buffer()
    buffer.push(packet(1))
    buffer.push(packet(3))

    assert numbers(buffer.flush()) == [3]
    assert buffer.flush() == []


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.booleans(), st.booleans()),
        min_size=1,
        max_size=200,
    ),
    st.integers(0, 0xFFFF),
)
def test_any_network_keeps_order_and_accounts_for_everything(
    network: list[tuple[int, bool, bool]], first: int
) -> None:
    """Each packet that arrives is released once or counted; order is kept."""
    sent = [
        (index + delay / 10, first + index)
        for index, (delay, lost, _) in enumerate(network)
        if not lost or index == 0
    ]
    sent += [
        (index + delay / 10 + 1, first + index)
        for index, (delay, lost, doubled) in enumerate(network)
        if doubled and not lost
    ]
    buffer = new_buffer()
    released: list[Released] = []
    for time, number in sorted(sent):
        released += buffer.push(packet(number, time * 0.02))
    released += buffer.flush()

    base = released[0].packet.sequence
    order = [(n - base) % 0x10000 for n in numbers(released)]
    stats = buffer.stats
    assert order == sorted(set(order))
    assert stats.received == len(sent)
    assert stats.received == len(released) + stats.late + stats.duplicate
    assert sum(item.lost for item in released) == stats.lost
    assert order[-1] + 1 == len(released) + stats.lost
