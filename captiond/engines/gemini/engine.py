"""The engine Gemini Live: opens live sessions over the SDK."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from captiond import logs
from captiond.engines.gemini.connection import make_client, make_faults, read_api_key
from captiond.engines.gemini.options import GeminiOptions
from captiond.engines.gemini.profile import Profile
from captiond.engines.gemini.session import GeminiSession
from captiond.engines.remote.faults import Faults
from captiond.errors import EngineError
from captiond.live.engine import EngineSetup, SessionContext
from captiond.live.session import Capabilities, LiveSession

if TYPE_CHECKING:
    from google import genai

RESUME_PAUSE = 1.0
"""Seconds before a state is asked for again: the last session may be closing yet."""


class GeminiEngine:
    """
    Opens live sessions with Gemini: see :class:`captiond.live.engine.Engine`.

    Args:
        setup: Its options, where its key is, and where texts left out are counted.

    Raises:
        ConfigError: If the options contradict each other.

    """

    def __init__(self, setup: EngineSetup) -> None:
        options = setup.options
        assert isinstance(options, GeminiOptions)
        self._options = options
        self._environ = setup.environ
        self._metrics = setup.metrics
        self._profile = Profile(options)
        self._log = logs.get("gemini")
        self._client: genai.Client | None = None
        self._faults: Faults | None = None
        self._sessions: set[GeminiSession] = set()
        self.name = self._profile.engine_name

    @property
    def capabilities(self) -> Capabilities:
        """What its sessions can do."""
        return self._profile.capabilities

    @property
    def not_ready(self) -> str | None:
        """Why no session can be opened now, or None."""
        return None if self._client is not None else "the engine isn't started"

    async def start(self) -> None:
        """
        Find the key; nothing is connected.

        Raises:
            ConfigError: If there is no key, or certificates can't be read.

        """
        key = read_api_key(self._options, self._environ)
        self._faults = make_faults(self._options, key)
        # The SDK reads certificates and looks about the machine: not on the loop.
        self._client = await asyncio.to_thread(make_client, self._options, key)

    async def stop(self) -> None:
        """End the engine; open sessions fail."""
        client, self._client = self._client, None
        sessions, self._sessions = self._sessions, set()
        for session in sessions:
            session.fail(
                EngineError("stopped", "the engine was stopped", retryable=False)
            )
        await asyncio.gather(*(session.wait_gone() for session in sessions))
        if client is not None:
            await client.aio.aclose()
            client.close()

    async def open(self, *, stream: str, context: SessionContext) -> LiveSession:
        """
        Open a session.

        One that can't take over the state of the last begins without it.

        Raises:
            EngineError: If the service can't be reached, or refuses.

        """
        if not self.capabilities.resumable or context.handle is None:
            return await self._open(stream, context)
        for pause in (RESUME_PAUSE, 0.0):
            try:
                return await self._open(stream, context)
            except EngineError as error:
                if error.code not in ("refused", "not_found", "connection_lost"):
                    raise
                self._log.warning(
                    "state not taken over", stream=stream, reason=error.reason
                )
                if error.code != "connection_lost":
                    break
            await asyncio.sleep(pause)
        fresh = SessionContext(vocabulary=context.vocabulary, text=context.text)
        return await self._open(stream, fresh)

    async def _open(self, stream: str, context: SessionContext) -> LiveSession:
        client, faults = self._client, self._faults
        if client is None or faults is None:
            raise EngineError("stopped", "the engine isn't started", retryable=False)

        session = GeminiSession(
            connection=client.aio.live.connect(
                model=self._options.model, config=self._profile.config(context)
            ),
            profile=self._profile,
            context=context,
            faults=faults,
            metrics=self._metrics,
            stream=stream,
        )
        self._sessions = {s for s in self._sessions if not s.gone}
        self._sessions.add(session)
        await session.open()
        return session
