"""Recent latencies of one stream, for the API: what metrics can't label by stream."""

from __future__ import annotations

import collections

WINDOW = 200
"""Captions that count as recent."""


class RecentLatencies:
    """Keeps the last latencies of each kind and tells their quantiles."""

    def __init__(self) -> None:
        self._values: dict[str, collections.deque[float]] = {}

    def add(self, kind: str, seconds: float) -> None:
        """Add one."""
        values = self._values.setdefault(kind, collections.deque(maxlen=WINDOW))
        values.append(seconds)

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Return count, p50 and p95 in seconds by kind."""
        return {
            kind: {
                "count": len(values),
                "p50": round(_quantile(values, 0.5), 3),
                "p95": round(_quantile(values, 0.95), 3),
            }
            for kind, values in sorted(self._values.items())
        }


def _quantile(values: collections.deque[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
