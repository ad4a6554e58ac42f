"""Tests of the media clock of a track."""

from __future__ import annotations

import pytest

from captiond.media.timeline import Anchoring, Timeline


def opus_timeline() -> Timeline:
    """Return a timeline on Opus' clock, of which one packet has been placed."""
    timeline = Timeline(clock_rate=48_000, origin=1000, max_fill=2.0)
    timeline.place(5_000_000)
    timeline.advance(320)
    return timeline


def test_next_packet_follows_at_once() -> None:
    """A timestamp one packet later needs nothing before it."""
    placement = opus_timeline().place(5_000_960)

    assert (placement.fill, placement.anchored) == (0, None)


def test_hole_is_measured_in_samples() -> None:
    """A timestamp three packets later leaves a hole of two."""
    placement = opus_timeline().place(5_000_000 + 3 * 960)

    assert placement.fill == 640
    assert placement.missing == (1320, 1960)


def test_hole_covers_silence_put_in_meanwhile() -> None:
    """Silence put in while waiting is part of the hole, and isn't filled twice."""
    timeline = opus_timeline()
    timeline.advance_silence(500)
    placement = timeline.place(5_000_000 + 3 * 960)

    assert placement.fill == 140
    assert placement.missing == (1320, 1960)


@pytest.mark.parametrize(
    ("timestamp", "anchored"),
    [
        (5_000_960 + 48_000 * 3, Anchoring.JUMP),
        (5_000_960 - 48_000, Anchoring.BACKWARD),
        (5_000_960 - 300, None),
    ],
)
def test_jumps_anchor_the_clock_anew(
    timestamp: int, anchored: Anchoring | None
) -> None:
    """A step too far, or back, puts the packet next; a small overlap is no event."""
    timeline = opus_timeline()
    placement = timeline.place(timestamp)
    timeline.advance(320)

    assert (placement.fill, placement.anchored) == (0, anchored)
    assert timeline.position == 1640
    assert timeline.place(timestamp + 960).fill == 0


def test_restart_is_placed_next() -> None:
    """A sender that began anew says nothing about where its audio belongs."""
    placement = opus_timeline().place(7, restarted=True)

    assert (placement.fill, placement.anchored) == (0, Anchoring.RESTART)
