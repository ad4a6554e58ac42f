"""
The local engine: Moonshine models in worker processes.

The daemon imports neither the model's library nor numpy: only workers do.
"""

from __future__ import annotations

from captiond.config import Config
from captiond.live.session import Engine
from captiond.metrics import Metrics


def create(config: Config, metrics: Metrics) -> Engine:
    """Create the engine; its workers are started by ``start``."""
    from captiond.engines.moonshine.engine import MoonshineEngine

    return MoonshineEngine(config, metrics)
