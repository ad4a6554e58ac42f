"""Tests of the audio ring."""

from __future__ import annotations

import pytest

from captiond.events import MediaTime
from captiond.live.ring import AudioRing
from tests.fakes import chunk, number_of


def drain(ring: AudioRing) -> list[int]:
    """Send everything; return the numbers sent."""
    numbers = []
    while (each := ring.next()) is not None:
        numbers.append(number_of(each))
    return numbers


def test_chunks_are_sent_once_in_order() -> None:
    """next() gives each chunk once."""
    ring = AudioRing(limit=10)
    for n in range(3):
        ring.push(chunk(n))

    assert drain(ring) == [0, 1, 2]
    assert drain(ring) == []


def test_rewind_sends_what_is_not_settled_again() -> None:
    """After a failure everything that isn't settled is sent again."""
    ring = AudioRing(limit=10)
    for n in range(5):
        ring.push(chunk(n))
    drain(ring)
    ring.settle(MediaTime(0.25))
    rewound = ring.rewind()

    assert rewound.replayed == pytest.approx(0.3)
    assert rewound.missing is None
    assert drain(ring) == [2, 3, 4]


def test_unsent_audio_is_never_settled() -> None:
    """settle() forgets only what an engine can have heard."""
    ring = AudioRing(limit=10)
    ring.push(chunk(0))
    ring.settle(MediaTime(9.0))

    assert drain(ring) == [0]


def test_full_ring_drops_the_oldest_and_says_so() -> None:
    """push() returns what fell out unheard."""
    ring = AudioRing(limit=0.25)

    assert [len(ring.push(chunk(n))) for n in range(4)] == [0, 0, 1, 1]
    assert drain(ring) == [2, 3]
    assert ring.depth == pytest.approx(0.2)
    assert ring.waiting == pytest.approx(0.0)


def test_sent_audio_that_falls_out_is_missing_only_after_a_failure() -> None:
    """An engine that has it needs no second sending; its successor would."""
    ring = AudioRing(limit=0.25)
    lost = []
    for n in range(6):
        lost += ring.push(chunk(n))
        drain(ring)
    assert lost == []
    ring.settle(MediaTime(0.15))
    rewound = ring.rewind()

    assert rewound.missing is not None
    assert [round(each, 3) for each in rewound.missing] == [0.0, 0.4]
    assert ring.rewind().missing is None


def test_settled_audio_is_not_missing() -> None:
    """What fell out and was settled later is nobody's loss."""
    ring = AudioRing(limit=0.25)
    for n in range(6):
        ring.push(chunk(n))
        drain(ring)
    ring.settle(MediaTime(0.45))

    assert ring.rewind().missing is None
