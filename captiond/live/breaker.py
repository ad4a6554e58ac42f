"""
The circuit breaker of one engine, shared by all streams that use it.

No I/O. After a failure the engine is left alone for a while that doubles with each
further one; then one stream tries, and the others wait for what comes of it. A session
that was opened since and did some work closes the circuit.
"""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_PAUSE = 0.25
LAST_PAUSE = 30.0
"""Seconds, from the first failure in a row to the last."""

MOST_DOUBLINGS = 10
"""More than it takes from the first pause to the last."""

PROBE_TIMEOUT = 20.0
"""Seconds after which a try that nothing was heard of no longer keeps others away."""


class Breaker:
    """
    Tells when an engine may be tried.

    Args:
        jitter: Returns a number from 0 to 1, so that streams don't return in step.

    """

    def __init__(self, *, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._failures = 0
        self._failed_at = float("-inf")
        self._until = float("-inf")
        """Monotonic time before which nobody tries."""
        self._probing = False
        """Whether that is because somebody tries."""
        self.reason = ""
        """What failed last; empty while the circuit is closed."""

    @property
    def is_open(self) -> bool:
        """Whether the engine failed last, and nobody has got it to work since."""
        return self._failures > 0

    def wait(self, now: float) -> float:
        """Return the seconds until a try is allowed; 0 means now."""
        return max(0.0, self._until - now)

    def is_resting(self, now: float) -> bool:
        """Whether the engine is left alone, as opposed to being tried."""
        return not self._probing and self.wait(now) > 0

    def trying(self, now: float) -> None:
        """Note that somebody tries: while the circuit is open the others wait."""
        if self.is_open:
            self._until = max(self._until, now + PROBE_TIMEOUT)
            self._probing = True

    def failed(
        self, now: float, reason: str, *, retry_after: float | None = None
    ) -> None:
        """Note that a session couldn't be had, or failed before it did any work."""
        until = now + (retry_after or 0.0)
        if now >= self._until or self._probing:
            # Streams that failed together count as one: the others come in a pause.
            self._failures += 1
            doublings = min(self._failures - 1, MOST_DOUBLINGS)
            pause = min(FIRST_PAUSE * 2.0**doublings, LAST_PAUSE)
            until = max(until, now + pause * (0.5 + 0.5 * self._jitter()))
        self._until = until if self._probing else max(self._until, until)
        self._probing = False
        self._failed_at = now
        self.reason = reason

    def worked(self, opened_at: float) -> None:
        """Note that a session did some work that was opened at a monotonic time."""
        if opened_at >= self._failed_at:
            self._failures = 0
            self._until = float("-inf")
            self._probing = False
            self.reason = ""
