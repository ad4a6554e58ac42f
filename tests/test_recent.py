"""Tests of recent latencies."""

from __future__ import annotations

from captiond.recent import WINDOW, RecentLatencies


def test_quantiles_are_of_the_window() -> None:
    """Old values leave; p50 and p95 are those of the rest."""
    latencies = RecentLatencies()
    for _ in range(100):
        latencies.add("final", 9.0)
    for n in range(WINDOW):
        latencies.add("final", n / 1000)

    assert latencies.quantiles() == {
        "final": {"count": WINDOW, "p50": 0.1, "p95": 0.19}
    }
