"""
OpenAI Realtime transcription, and servers that speak its protocol or a dialect of it.

The dialects are ``openai`` (the service itself), ``openai-beta`` (the first, flat
schema: speaches, LocalAI) and ``vllm`` (vLLM's own realtime endpoint).
"""

from __future__ import annotations

from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions
from captiond.live.engine import Engine, EngineSetup, EngineType
from captiond.live.session import Capabilities

SESSION_SECONDS = {"openai": 3600.0, "openai-beta": 1800.0, "vllm": None}
"""After which a server ends a session; speaches does after half an hour."""

VARIANTS = {
    "openai": Capabilities(
        vocabulary=True, max_session_seconds=SESSION_SECONDS["openai"]
    ),
    "openai-beta": Capabilities(
        interims=False, max_session_seconds=SESSION_SECONDS["openai-beta"]
    ),
    "vllm": Capabilities(),
}


def _create(setup: EngineSetup) -> Engine:
    from captiond.engines.openai_realtime.engine import OpenAiRealtimeEngine

    return OpenAiRealtimeEngine(setup)


ENGINE = EngineType(create=_create, variants=VARIANTS, options=OpenAiRealtimeOptions)
