"""Both profiles keep the contract of the live session, against the test server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from captiond.live.engine import Engine
from tests.engines.conformance import EngineConformance
from tests.engines.gemini.conftest import AGENT_MODEL, Start


class TestTranscribe(EngineConformance):
    """A model that turns speech into text."""

    max_wer = 0.0


class TestAgent(EngineConformance):
    """A model that converses."""

    max_wer = 0.0

    @pytest.fixture
    async def engine(self, start: Start) -> AsyncIterator[Engine]:
        async with start(
            model=AGENT_MODEL, resumption=False, finalise_timeout=0.5
        ) as engine:
            yield engine
