"""The local engine keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from captiond.config import Log
from captiond.engines.moonshine import ENGINE
from captiond.engines.moonshine.options import MoonshineOptions
from captiond.live.engine import Engine, EngineSetup
from captiond.metrics import Metrics
from tests.engines.conformance import EngineConformance


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """The engine with one worker."""
    engine = ENGINE.create(
        EngineSetup(
            options=MoonshineOptions(workers=1),
            log=Log(level="warning"),
            environ={},
            metrics=Metrics(),
        )
    )
    await engine.start()
    yield engine
    await engine.stop()


class TestMoonshine(EngineConformance):
    """Every rule, on the real model."""
