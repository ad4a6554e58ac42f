"""
How long a stream has been without an engine, and whether readers were told.

No I/O: the supervisor tells the time.
"""

from __future__ import annotations

DEGRADED_AFTER = 3.0
"""Seconds without a session before readers are told."""


class Absence:
    """
    Keeps account of the time in which nobody speaks.

    Args:
        now: Monotonic time.

    """

    def __init__(self, now: float) -> None:
        self._since: float | None = now
        self._counted = now
        self.degraded = False
        """Whether readers were told."""

    def begins(self, now: float) -> None:
        """Note that nobody speaks from now on."""
        if self._since is None:
            self._since = now

    def ends(self) -> bool:
        """Note that somebody speaks; return whether readers have to be told."""
        self._since = None
        was_degraded, self.degraded = self.degraded, False
        return was_degraded

    def lasts(self, now: float, *, hopeless: bool) -> bool:
        """Note that it goes on; return whether readers have to be told now."""
        if self._since is None or self.degraded:
            return False
        self.degraded = hopeless or now - self._since >= DEGRADED_AFTER
        self._counted = now
        return self.degraded

    def count(self, now: float) -> float:
        """Return the seconds of being degraded since the last call."""
        if not self.degraded:
            return 0.0
        seconds, self._counted = now - self._counted, now
        return seconds
