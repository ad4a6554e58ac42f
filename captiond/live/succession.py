"""
Which engine a stream speaks to, and when it changes.

No I/O: the supervisor tells what happens to its sessions, and asks :meth:`next` which
engine to open a session on now. The rules:

* The preferred engine speaks. When it has been missing for ``fallback_after``, the
  fallback is asked too; whichever is there first speaks.
* While the fallback speaks, the preferred engine is tried whenever its breaker allows,
  and takes over when it hears again.
* A session is replaced before its engine ends it: for a while at the first silence,
  then wherever it is, as the next one catches up before it takes over; and at the last
  moment even if it hasn't.
* An engine that refused (a wrong key, an unknown model) is not tried again in the life
  of the stream unless a controller asks for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from captiond.live.breaker import Breaker

LEAD = 60.0
"""Seconds before the end of a session from which a silence is waited for, at most a
fifth of its life."""

RESERVE = 25.0
"""Seconds before the end from which no silence is waited for, at most an eighth of its
life: enough to open another session and to let it catch up."""

LAST_MOMENT = 2.0
"""Seconds before the end at which a successor takes over that hasn't caught up, at most
a quarter of what is left."""

EXPECTED_PAUSE = 4.0
"""Seconds for which a session may be missing that had to end before the next begins."""


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    """Open a session now."""

    engine: str
    reason: str
    """Why: ``start``, ``failed``, ``fallback``, ``recovered``, ``limit``,
    ``going_away``, ``requested``."""


@dataclasses.dataclass(slots=True)
class _Deadline:
    soft: float
    """From then on the session is replaced at the first silence,"""

    firm: float
    """from then on wherever it is,"""

    hard: float
    """and then by a successor that hasn't caught up too."""

    reason: str


class Succession:
    """
    One stream's succession of sessions.

    Args:
        order: Names of the engines, the preferred one first.
        breakers: Of these engines and all that may be asked for.
        fallback_after: Seconds without a session until the next engine is asked.
        now: Monotonic time.

    """

    def __init__(
        self,
        order: Sequence[str],
        breakers: Mapping[str, Breaker],
        *,
        fallback_after: float,
        now: float,
    ) -> None:
        self._order = list(order)
        self._breakers = breakers
        self._fallback_after = fallback_after
        self._refused: set[str] = set()
        self._opening: set[str] = set()
        self._speaking: str | None = None
        self._silent_since = now
        self._deadline: _Deadline | None = None
        self._last_lost: str | None = None
        self._requested = False
        """Whether a controller asked for the preferred engine."""

    @property
    def preferred(self) -> str:
        """The engine that should speak."""
        return self._order[0]

    @property
    def hopeless(self) -> bool:
        """Whether every engine has refused."""
        return self._speaking is None and not self._opening and not self._willing()

    def prefer(self, engine: str) -> None:
        """Speak to another engine; the ones so far are what is left if it fails."""
        if engine in self._order:
            self._order.remove(engine)
        self._order.insert(0, engine)
        self._refused.discard(engine)
        self._requested = engine != self._speaking

    def opening(self, engine: str, now: float) -> None:
        """Note that a session is being opened."""
        self._opening.add(engine)
        self._breakers[engine].trying(now)

    def speaks(self, engine: str, now: float, *, limit: float | None) -> None:
        """Note that a session took over, which its engine ends after ``limit``."""
        self._opening.discard(engine)
        self._refused.discard(engine)
        self._speaking = engine
        self._deadline = None
        self._requested &= engine != self.preferred
        if limit is not None:
            self._deadline = _Deadline(
                soft=now + limit - min(LEAD, limit / 5),
                firm=now + limit - min(RESERVE, limit / 8),
                hard=now + limit - min(LAST_MOMENT, limit / 4),
                reason="limit",
            )

    def dropped(self, engine: str) -> None:
        """Note that a session that was opened isn't wanted any more."""
        self._opening.discard(engine)

    def worked(self, engine: str, *, opened_at: float) -> None:
        """Note that a session did some work that was opened at a monotonic time."""
        self._breakers[engine].worked(opened_at)

    def has_another(self, engine: str) -> bool:
        """Whether there is another engine that could be asked."""
        return any(each != engine for each in self._willing())

    def failed(
        self,
        engine: str,
        now: float,
        reason: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
        steady: bool = False,
        opening: bool = True,
    ) -> None:
        """
        Note that a session was lost, or couldn't be had.

        Args:
            engine: Its engine.
            now: Monotonic time.
            reason: Why, for people.
            retryable: Whether another try may help.
            retry_after: Seconds before which it won't.
            steady: Whether the session had done some work: then it is bad luck.
            opening: Whether it had not spoken yet.

        """
        if opening:
            self._opening.discard(engine)
        if not retryable:
            self._refused.add(engine)
        elif not steady or retry_after:
            self._breakers[engine].failed(now, reason, retry_after=retry_after)

    def lost_voice(self, now: float, *, expected: bool = False) -> None:
        """Note that nobody speaks now; ``expected``: the next one is being opened."""
        self._last_lost, self._speaking = self._speaking, None
        self._silent_since = now + (EXPECTED_PAUSE if expected else 0.0)
        self._deadline = None

    def going_away(self, now: float, time_left: float) -> None:
        """Note that the session that speaks ends in ``time_left`` seconds."""
        hard = now + time_left - min(LAST_MOMENT, time_left / 4)
        if self._deadline is None or hard < self._deadline.hard:
            firm = now + max(0.0, time_left - RESERVE)
            self._deadline = _Deadline(now, firm, hard, reason="going_away")

    def next(self, now: float, *, quiet: bool) -> Open | None:
        """
        Return what to open now, if anything.

        Args:
            now: Monotonic time.
            quiet: Whether nobody speaks at the moment.

        """
        if self._speaking is None:
            return self._find_voice(now)
        if self._speaking != self.preferred and self._may_open(self.preferred, now):
            return Open(self.preferred, "requested" if self._requested else "recovered")
        # Meanwhile the one that speaks may have to be replaced by its like.
        deadline = self._deadline
        if deadline is None or self._speaking in self._opening:
            return None
        due = now >= deadline.firm or (quiet and now >= deadline.soft)
        if due and self._may_open(self._speaking, now):
            return Open(self._speaking, deadline.reason)
        return None

    def must_switch(self, now: float) -> bool:
        """Whether the session that speaks is about to end: better any successor."""
        return self._deadline is not None and now >= self._deadline.hard

    def wake_in(self, now: float) -> float:
        """Return the seconds after which :meth:`next` may answer otherwise."""
        times = [self._breakers[each].wait(now) for each in self._willing()]
        if self._speaking is None:
            times.append(self._silent_since + self._fallback_after - now)
        if self._deadline is not None:
            deadline = self._deadline
            times += [each - now for each in (deadline.soft, deadline.firm)]
            times.append(deadline.hard - now)
        return min((each for each in times if each > 0), default=1.0)

    def _find_voice(self, now: float) -> Open | None:
        for index, engine in enumerate(self._order):
            if index and not self._missed_too_long(now):
                return None
            if index and self._opening - {self.preferred}:
                return None  # one fallback at a time
            if self._may_open(engine, now):
                if index:
                    return Open(engine, "fallback")
                return Open(engine, "failed" if self._last_lost else "start")
        return None

    def _missed_too_long(self, now: float) -> bool:
        """Whether the preferred engine is out of reach for longer than tolerable."""
        until = self._silent_since + self._fallback_after
        if self.preferred in self._refused:
            return True
        if self.preferred in self._opening:
            return now >= until
        return now + self._breakers[self.preferred].wait(now) >= until

    def _may_open(self, engine: str, now: float) -> bool:
        return (
            engine not in self._opening
            and engine not in self._refused
            and self._breakers[engine].wait(now) <= 0
        )

    def _willing(self) -> list[str]:
        return [each for each in self._order if each not in self._refused]
