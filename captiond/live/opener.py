"""Opens one stream's sessions with what outlives them: context, vocabulary, handles."""

from __future__ import annotations

import dataclasses

from captiond import logs
from captiond.errors import EngineError
from captiond.live.engine import SessionContext
from captiond.live.engine_call import engine_call
from captiond.live.inputs import Text
from captiond.live.roster import Roster
from captiond.live.session import Capabilities, LiveSession
from captiond.live.succession import Open
from captiond.metrics import Metrics


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A session, just opened."""

    key: str
    """Name of its engine in the configuration."""

    name: str
    """Name of its engine as captions carry it."""

    session: LiveSession
    capabilities: Capabilities
    context: SessionContext
    """What it was opened with."""


class Opener:
    """
    One stream's way to its engines.

    Args:
        roster: The engines.
        stream: The stream's name.
        timeout: Seconds that an engine has to accept a session.
        metrics: Where sessions are counted.

    """

    def __init__(
        self, roster: Roster, stream: str, *, timeout: float, metrics: Metrics
    ) -> None:
        self._roster = roster
        self._stream = stream
        self._timeout = timeout
        self._metrics = metrics
        self._log = logs.get("supervisor", stream=stream)
        self._handles: dict[str, str | None] = {}
        self.context = SessionContext()
        """What the next session should know."""

    def remember(self, text: Text) -> None:
        """Remember what is said to the engine for the sessions to come."""
        self.context = self.context.with_text(text.text, text.purpose)

    def keep_handle(self, key: str, handle: str | None) -> None:
        """Remember by what the state of an engine's session can be taken over."""
        self._handles[key] = handle

    async def open(self, wanted: Open) -> OpenSession:
        """
        Open a session.

        Raises:
            EngineError: If it can't be had.

        """
        handle = self._handles.get(wanted.engine)
        try:
            opened = await self._open(
                wanted.engine, dataclasses.replace(self.context, handle=handle)
            )
        except EngineError as error:
            if handle is None or error.retryable:
                raise
            # What the handle stood for is gone; a session without it may be had.
            if self._handles.get(wanted.engine) == handle:
                self._handles[wanted.engine] = None
            raise EngineError("not_resumed", error.reason, retryable=True) from error
        self._metrics.sessions_opened.labels(wanted.engine).inc()
        self._log.info("session opened", engine=wanted.engine, reason=wanted.reason)
        return opened

    async def _open(self, key: str, context: SessionContext) -> OpenSession:
        engine = self._roster.get(key)
        async with engine_call("open_timeout", self._timeout):
            session = await engine.open(stream=self._stream, context=context)
            return OpenSession(
                key=key,
                name=engine.name,
                session=session,
                capabilities=session.capabilities,
                context=context,
            )
