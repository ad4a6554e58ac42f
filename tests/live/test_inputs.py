"""Tests of the inputs that wait for a session."""

from __future__ import annotations

import pytest

from captiond.errors import ControlError
from captiond.events import MediaTime
from captiond.live.inputs import LIMIT, Inputs, Interrupt, Text
from captiond.live.session import TextPurpose, VideoImage


def text(number: int) -> Text:
    return Text(str(number), TextPurpose.QUESTION)


def image(number: int) -> VideoImage:
    return VideoImage(time=MediaTime(number), jpeg=b"")


def test_inputs_come_in_order_before_pictures() -> None:
    """What somebody said goes first; a picture is as good a moment later."""
    inputs = Inputs()
    inputs.put(image(1))
    inputs.put(text(1))
    inputs.put(Interrupt())

    assert [inputs.next() for _ in range(4)] == [text(1), Interrupt(), image(1), None]


def test_only_the_newest_picture_waits() -> None:
    """put() says when a picture takes the place of another."""
    inputs = Inputs()

    assert [inputs.put(image(1)), inputs.put(image(2))] == [False, True]
    assert [inputs.next(), inputs.next()] == [image(2), None]


def test_what_was_not_taken_is_next_again() -> None:
    """An input that a failing session was being sent isn't lost."""
    inputs = Inputs()
    inputs.put(text(2))
    inputs.put_back(text(1))
    inputs.put(image(2))
    inputs.put_back(image(1))

    assert [inputs.next() for _ in range(3)] == [text(1), text(2), image(2)]


def test_too_many_inputs_are_refused() -> None:
    """Who asks too much is told; what waits stays."""
    inputs = Inputs()
    for number in range(LIMIT):
        inputs.put(text(number))

    with pytest.raises(ControlError, match=f"{LIMIT} inputs wait"):
        inputs.put(text(99))
    assert inputs.clear() == LIMIT
    assert inputs.next() is None
