"""Tests of leaving out silence."""

from __future__ import annotations

import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiond.media.chunk import BYTES_PER_SAMPLE
from captiond.media.trim import BORDER, QUIET_PEAK, Trimmer

FRAME = 320
LOUD_FRAME = array.array("h", [0, QUIET_PEAK + 1] * (FRAME // 2)).tobytes()
QUIET_FRAME = array.array("h", [QUIET_PEAK, -QUIET_PEAK] * (FRAME // 2)).tobytes()


def trim(trimmer: Trimmer, *frames: bytes, surplus: int = 100_000) -> list[int]:
    """Return how many samples of each frame are left out."""
    return [
        (len(each) - len(trimmer.trim(each, surplus))) // BYTES_PER_SAMPLE
        for each in frames
    ]


def test_pause_is_halved_after_its_border() -> None:
    """The first 100 ms stay, and half of each frame after them."""
    assert trim(Trimmer(), *[QUIET_FRAME] * 8) == [0] * 5 + [160] * 3


def test_sound_begins_a_new_border() -> None:
    """A pause counts from the last sound on."""
    trimmer = Trimmer()
    trim(trimmer, *[QUIET_FRAME] * 6)

    assert trim(trimmer, LOUD_FRAME, *[QUIET_FRAME] * 6) == [0] * 6 + [160]


@pytest.mark.parametrize(("surplus", "cut"), [(0, 0), (7, 7), (500, 160)])
def test_no_more_than_the_surplus_goes(surplus: int, cut: int) -> None:
    """The clock is made right, never slow."""
    trimmer = Trimmer()
    trim(trimmer, *[QUIET_FRAME] * 5)

    assert trim(trimmer, QUIET_FRAME, surplus=surplus) == [cut]


def test_end_of_a_quiet_frame_stays() -> None:
    """The half before what may be a sound is kept."""
    trimmer = Trimmer()
    trim(trimmer, *[QUIET_FRAME] * 5)
    ramp = array.array("h", [n // 4 for n in range(FRAME)]).tobytes()

    assert trimmer.trim(ramp, 1000) == ramp[FRAME:]


def test_empty_frame_is_nothing_to_trim() -> None:
    """A frame without samples stays as it is."""
    assert Trimmer().trim(b"", 1000) == b""


@given(st.lists(st.booleans(), max_size=100), st.integers(0, 5000))
def test_sounds_and_their_borders_stay(pattern: list[bool], surplus: int) -> None:
    """No loud frame is touched, nor any within 100 ms after it."""
    trimmer = Trimmer()
    left, quiet = surplus, 0
    for loud in pattern:
        (cut,) = trim(trimmer, LOUD_FRAME if loud else QUIET_FRAME, surplus=left)
        assert cut <= (0 if loud or quiet < BORDER else min(left, FRAME // 2))
        quiet = 0 if loud else quiet + FRAME
        left -= cut
