"""Tests of who speaks on a stream."""

from __future__ import annotations

import dataclasses

import pytest

from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.floor import MAX_BACKLOG, PATIENCE, Floor
from captiond.live.session import Flushed, TurnComplete


@dataclasses.dataclass(eq=False)
class Session:
    """A session that has heard so much."""

    key: str
    heard: MediaTime
    has_heard: bool = True


def session(key: str, heard: float, *, has_heard: bool = True) -> Session:
    return Session(key, MediaTime(heard), has_heard)


def successor(
    floor: Floor[Session], *, hurry: bool = False, now: float = 0.0
) -> str | None:
    """Return the reason of who may take over."""
    found = floor.successor("first", hurry=hurry, silent=False, now=now)
    return None if found is None else found.reason


def floor_of(speaker: Session | None, *waiting: Session) -> Floor[Session]:
    """Return a floor with these sessions, each with its number as the reason."""
    floor = Floor[Session]()
    floor.speaker = speaker
    for number, each in enumerate(waiting):
        floor.enter(each, str(number), 0.0)
    return floor


def test_while_nobody_speaks_anybody_may() -> None:
    """The first one that is open, whatever it has heard."""
    floor = floor_of(None, session("spare", 0, has_heard=False), session("first", 9))

    assert successor(floor) == "0"


def test_a_successor_has_to_catch_up() -> None:
    """It takes over when it has heard what the other one has."""
    old, new = session("first", 5.0), session("first", 4.0)
    floor = floor_of(old, new)

    assert successor(floor) is None

    new.heard = MediaTime(4.6)

    assert successor(floor) == "0"


def test_a_slower_successor_takes_over_after_a_while() -> None:
    """It is enough that it has heard what the other had when it was opened."""
    old, new = session("first", 5.0), session("first", 0.0)
    floor = floor_of(old, new)
    old.heard, new.heard = MediaTime(20.0), MediaTime(18.0)

    assert successor(floor, now=PATIENCE - 0.1) is None
    assert successor(floor, now=PATIENCE) == "0"

    new.heard = MediaTime(4.0)

    assert successor(floor, now=PATIENCE) is None


def test_where_there_is_audio_a_successor_has_to_hear_some() -> None:
    """One that may be deaf doesn't take over, but where nothing is to be heard."""
    floor = floor_of(session("first", 5.0), session("first", 5.0, has_heard=False))

    assert successor(floor) is None
    assert floor.successor("first", hurry=False, silent=True, now=0.0) is not None


def test_at_the_last_moment_its_like_may_take_over_as_it_is() -> None:
    """But no other engine, which would have no reason to hurry."""
    old = session("spare", 5.0)

    assert successor(floor_of(old, session("spare", 0.0)), hurry=True) == "0"
    assert successor(floor_of(old, session("first", 0.0)), hurry=True) is None


def test_a_fallback_that_comes_too_late_is_not_wanted() -> None:
    """The preferred engine speaks already."""
    late = session("spare", 9.0)
    floor = floor_of(session("first", 5.0), late)

    assert successor(floor) is None
    assert floor.unwanted("first") == [late]


def test_what_a_successor_says_is_kept_in_order() -> None:
    """And what somebody says who has left is not."""
    new = session("first", 5.0)
    floor = floor_of(session("first", 5.0), new)
    floor.keep(new, TurnComplete())
    floor.keep(new, Flushed())
    floor.keep(session("first", 0.0), Flushed())
    candidate = floor.successor("first", hurry=False, silent=False, now=0.0)
    assert candidate is not None
    floor.give(candidate)

    assert list(candidate.events) == [TurnComplete(), Flushed()]
    assert floor.speaker is new
    assert successor(floor) is None


def test_a_successor_that_only_talks_fails() -> None:
    """What is kept is bounded."""
    new = session("first", 0.0)
    floor = floor_of(session("first", 5.0), new)
    for _ in range(MAX_BACKLOG):
        floor.keep(new, TurnComplete())

    with pytest.raises(EngineError, match="never caught up"):
        floor.keep(new, TurnComplete())


def test_who_leaves_is_forgotten() -> None:
    """A speaker as well as one that waits."""
    old, new = session("first", 5.0), session("first", 5.0)
    floor = floor_of(old, new)
    floor.leave(new)
    floor.leave(old)

    assert successor(floor) is None
    assert floor.speaker is None
