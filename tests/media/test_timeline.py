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


def test_late_audio_follows_silence_and_later_holes_pay_for_it() -> None:
    """Silence that was too much is taken off the next hole; the clock is right."""
    timeline = opus_timeline()
    timeline.advance_silence(8000)
    late = timeline.place(5_000_960)
    timeline.advance(320)
    assert (late.fill, late.hole, late.anchored) == (0, 0, None)
    assert timeline.surplus == 8000

    placement = timeline.place(5_000_960 + 48_000)
    assert placement.fill == 16_000 - 320 - 8000
    assert placement.missing == (9640, 17320)
    assert placement.hole == 16_000 - 320


def test_silence_waits_until_the_surplus_is_used_up() -> None:
    """While the output is ahead of the sender, time that passes brings it closer."""
    timeline = opus_timeline()
    timeline.advance_silence(8000)
    timeline.place(5_000_960)
    timeline.advance(320)

    assert timeline.lag(7000) == 0
    assert timeline.lag(9000) == 1000


def test_audio_left_out_lowers_the_surplus() -> None:
    """leave_out() brings the sender's clock closer to the output."""
    timeline = opus_timeline()
    timeline.advance_silence(8000)
    timeline.place(5_000_960)
    timeline.leave_out(320)

    assert timeline.surplus == 7680
    assert timeline.place(5_001_920).fill == 0


def test_surplus_beyond_the_limit_is_forgiven() -> None:
    """A sender whose clock stood still for long is not waited for."""
    timeline = opus_timeline()
    timeline.advance_silence(40_000)
    placement = timeline.place(5_000_960)

    assert (placement.fill, placement.anchored) == (0, Anchoring.BACKWARD)
    assert (placement.forgiven, timeline.surplus) == (40_000, 0)


def test_step_back_is_no_surplus() -> None:
    """Timestamps before audio that was heard are a jump, whatever silence came."""
    timeline = opus_timeline()
    timeline.advance_silence(8000)
    placement = timeline.place(4_999_040)

    assert (placement.anchored, placement.forgiven) == (Anchoring.BACKWARD, 0)
    assert timeline.surplus == 0


def test_odd_timestamps_do_not_round_the_clock_away() -> None:
    """What is less than a sample is kept until it makes one."""
    timeline = opus_timeline()
    for n in range(1, 3001):
        timeline.advance_silence(timeline.place(5_000_000 + n * 961).fill)
        timeline.advance(320)

    assert timeline.position == 1000 + 3000 * 961 // 3 + 320


@pytest.mark.parametrize("skew", [200e-6, -200e-6])
def test_clock_skew_does_not_add_up(skew: float) -> None:
    """Over hours with pauses the output stays on the sender's clock."""
    timeline = Timeline(clock_rate=48_000, origin=0, max_fill=2.0)
    worst = 0
    for n in range(4 * 3600):
        start = round(n * 48_000 * (1 + skew))
        timeline.advance_silence(timeline.place(start).fill)
        worst = max(worst, abs(timeline.position - start // 3))
        timeline.advance(8000)
        timeline.advance_silence(timeline.lag(8000))

    assert worst <= 4
