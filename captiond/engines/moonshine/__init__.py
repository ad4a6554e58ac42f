"""
The local engine: Moonshine models in worker processes.

The daemon imports neither the model's library nor numpy: only workers do.
"""

from __future__ import annotations

from captiond.engines.moonshine.options import MoonshineOptions
from captiond.live.engine import Engine, EngineSetup, EngineType
from captiond.live.session import Capabilities

CAPABILITIES = Capabilities(languages=("en",))


def _create(setup: EngineSetup) -> Engine:
    from captiond.engines.moonshine.engine import MoonshineEngine

    return MoonshineEngine(setup)


ENGINE = EngineType(
    create=_create, variants={"tiny-en": CAPABILITIES}, options=MoonshineOptions
)
