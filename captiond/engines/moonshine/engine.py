"""The local engine: live sessions on worker processes."""

from __future__ import annotations

import os

from captiond.engines.moonshine import CAPABILITIES
from captiond.engines.moonshine.options import MoonshineOptions
from captiond.engines.moonshine.workers import Workers
from captiond.live.engine import EngineSetup, SessionContext
from captiond.live.session import LiveSession


class MoonshineEngine:
    """
    Opens live sessions on workers: see :class:`captiond.live.engine.Engine`.

    Args:
        setup: Its options, and where workers are counted.

    """

    name = "moonshine/tiny-en"
    capabilities = CAPABILITIES

    def __init__(self, setup: EngineSetup) -> None:
        options = setup.options
        assert isinstance(options, MoonshineOptions)
        self._workers = Workers(
            count=options.workers or max((os.cpu_count() or 1) - 1, 1),
            options=options,
            metrics=setup.metrics,
            log=setup.log,
        )

    @property
    def not_ready(self) -> str | None:
        """Why no session can be opened now, or None."""
        return None if self._workers.ready else "no worker is ready"

    async def start(self) -> None:
        """
        Start the workers; return when all are ready.

        Raises:
            EngineError: If one can't load the model.

        """
        await self._workers.start()

    async def stop(self) -> None:
        """End the workers; open sessions fail."""
        await self._workers.stop()

    async def open(self, *, stream: str, context: SessionContext) -> LiveSession:
        """
        Open a session.

        Raises:
            EngineError: If no worker can be had now.

        """
        return await self._workers.open()
