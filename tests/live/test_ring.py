"""Tests of the audio ring."""

from __future__ import annotations

import pytest

from captiond.events import MediaTime
from captiond.live.ring import AudioRing, Cursor
from tests.fakes import chunk, number_of


def ring_of(count: int, *, limit: float = 10.0) -> AudioRing:
    """Return a ring that was given so many chunks."""
    ring = AudioRing(limit=limit)
    for number in range(count):
        ring.push(chunk(number))
    return ring


def drain(cursor: Cursor) -> list[int]:
    """Take everything; return the numbers."""
    numbers = []
    while (each := cursor.next()) is not None:
        numbers.append(number_of(each))
    return numbers


def test_a_cursor_gives_each_chunk_once_in_order() -> None:
    """What was taken isn't given again; what comes later is."""
    ring = ring_of(3)
    cursor = ring.cursor()

    assert drain(cursor) == [0, 1, 2]
    assert drain(cursor) == []

    ring.push(chunk(3))

    assert drain(cursor) == [3]
    assert cursor.end == pytest.approx(0.4)


def test_a_new_cursor_begins_with_what_is_not_settled() -> None:
    """Each session hears what the ones before have not settled."""
    ring = ring_of(5)
    drain(ring.cursor())
    ring.settle(MediaTime(0.25))

    assert ring.start == pytest.approx(0.2)
    assert drain(ring.cursor()) == [2, 3, 4]


def test_cursors_are_independent() -> None:
    """One session's progress is not another's."""
    ring = ring_of(3)
    first, second = ring.cursor(), ring.cursor()
    first.next()

    assert drain(second) == [0, 1, 2]
    assert drain(first) == [1, 2]


def test_a_full_ring_drops_the_oldest_and_says_so() -> None:
    """push() returns what fell out, and a cursor goes on with the oldest kept."""
    ring = AudioRing(limit=0.25)
    cursor = ring.cursor()

    assert [len(ring.push(chunk(n))) for n in range(4)] == [0, 0, 1, 1]
    assert drain(cursor) == [2, 3]
    assert ring.depth == pytest.approx(0.2)
    assert ring.start == pytest.approx(0.2)


def test_a_chunk_longer_than_the_ring_is_kept() -> None:
    """The newest chunk is never dropped for itself."""
    ring = AudioRing(limit=0.05)

    assert ring.push(chunk(0)) == []
    assert [round(lost.end, 3) for lost in ring.push(chunk(1))] == [0.1]


def test_an_emptied_ring_starts_at_its_end() -> None:
    """After settling or clearing everything nothing is left of the depth."""
    ring = ring_of(3)
    ring.settle(MediaTime(9.0))

    assert (ring.depth, ring.start) == (0.0, ring.end)

    ring.push(chunk(3))
    ring.clear()

    assert ring.depth == 0.0
    assert ring.start == pytest.approx(0.4)
