"""
The floor: which of a stream's open sessions speaks, and who waits to take over.

No I/O. One session has the floor, and its events are the stream's. A successor has to
wait until it has heard what the one that speaks has heard; what it says meanwhile is
kept for the moment when it takes over.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Generic, Protocol, TypeVar

from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.session import SessionEvent

CAUGHT_UP = 0.5
"""Seconds that a successor may be behind when it takes over."""

PATIENCE = 5.0
"""Seconds after which it is enough that a successor has heard what the one that speaks
had when it was opened."""

MAX_BACKLOG = 4096
"""Events of a successor that wait until it takes over."""


class Talker(Protocol):
    """An open session, as far as the floor is concerned."""

    key: str
    """Name of its engine."""
    heard: MediaTime

    @property
    def has_heard(self) -> bool:
        """Whether it has heard audio."""


T = TypeVar("T", bound=Talker)


@dataclasses.dataclass(slots=True, eq=False)
class Candidate(Generic[T]):
    """A session that is open and doesn't speak."""

    talker: T
    reason: str
    """Why it was opened."""

    since: float
    """Monotonic time of its opening."""

    goal: MediaTime
    """How far the session that spoke had heard then."""

    events: collections.deque[SessionEvent] = dataclasses.field(
        default_factory=collections.deque
    )


class Floor(Generic[T]):
    """Who speaks on one stream."""

    def __init__(self) -> None:
        self.speaker: T | None = None
        self._candidates: list[Candidate[T]] = []

    def enter(self, talker: T, reason: str, now: float) -> None:
        """Let a session that was just opened wait for the floor."""
        goal = talker.heard if self.speaker is None else self.speaker.heard
        self._candidates.append(Candidate(talker, reason, now, goal))

    def leave(self, talker: T) -> None:
        """Forget a session that has ended."""
        self._candidates = [
            each for each in self._candidates if each.talker is not talker
        ]
        if self.speaker is talker:
            self.speaker = None

    def keep(self, talker: T, event: SessionEvent) -> None:
        """
        Keep what a session says that doesn't speak; of one that has left, nothing.

        Raises:
            EngineError: If it has said too much without ever having caught up.

        """
        for candidate in self._candidates:
            if candidate.talker is talker:
                if len(candidate.events) >= MAX_BACKLOG:
                    raise EngineError("backlog", "never caught up", retryable=True)
                candidate.events.append(event)

    def successor(
        self, preferred: str, *, hurry: bool, silent: bool, now: float
    ) -> Candidate[T] | None:
        """
        Return who may take over now, if anybody.

        Args:
            preferred: Name of the engine that should speak.
            hurry: Whether the session that speaks is about to end.
            silent: Whether there is nothing that a successor could have heard.
            now: Monotonic time.

        """
        for candidate in self._candidates:
            if not self._is_wanted(candidate.talker, preferred):
                continue
            if hurry and self.speaker and candidate.talker.key == self.speaker.key:
                return candidate
            if self._has_caught_up(candidate, silent=silent, now=now):
                return candidate
        return None

    def unwanted(self, preferred: str) -> list[T]:
        """Return who needn't wait any more: a better engine speaks already."""
        return [
            each.talker
            for each in self._candidates
            if not self._is_wanted(each.talker, preferred)
        ]

    def give(self, candidate: Candidate[T]) -> None:
        """Let a candidate speak."""
        self._candidates.remove(candidate)
        self.speaker = candidate.talker

    def _is_wanted(self, talker: T, preferred: str) -> bool:
        return self.speaker is None or talker.key in (self.speaker.key, preferred)

    def _has_caught_up(
        self, candidate: Candidate[T], *, silent: bool, now: float
    ) -> bool:
        if self.speaker is None:
            return True
        talker = candidate.talker
        # Where there is something to hear it must have heard some of it.
        if not (talker.has_heard or silent):
            return False
        if talker.heard >= self.speaker.heard - CAUGHT_UP:
            return True
        # An engine that is slower by nature won't come nearer.
        return talker.heard >= candidate.goal and now - candidate.since >= PATIENCE
