"""What all tests share."""

from __future__ import annotations

import hypothesis

# A timing is never asserted, not by hypothesis either: machines are small and noisy.
hypothesis.settings.register_profile(
    "captiond",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("captiond")
