"""
Gemini Live: speech to text, or a model that converses, over Google's service.

Importable without the SDK; only :attr:`ENGINE`'s ``create`` needs the extra ``gemini``.
"""

from __future__ import annotations

from captiond.engines.gemini.options import GeminiOptions
from captiond.live.engine import Engine, EngineSetup, EngineType
from captiond.live.session import Capabilities

__all__ = ["AGENT", "ENGINE", "SESSION_SECONDS", "TRANSCRIBE", "GeminiOptions"]

SESSION_SECONDS = 600.0
"""After which the service ends a session."""

TRANSCRIBE = Capabilities(vocabulary=True, max_session_seconds=SESSION_SECONDS)
AGENT = Capabilities(
    text=True,
    video=True,
    tools=True,
    interrupt=True,
    resumable=True,
    max_session_seconds=SESSION_SECONDS,
)


def _create(setup: EngineSetup) -> Engine:
    # What is missing is named by the import error, wherever in the SDK it was.
    import google.genai  # noqa: F401

    from captiond.engines.gemini.engine import GeminiEngine

    return GeminiEngine(setup)


ENGINE = EngineType(
    create=_create,
    variants={"transcribe": TRANSCRIBE, "agent": AGENT},
    options=GeminiOptions,
)
