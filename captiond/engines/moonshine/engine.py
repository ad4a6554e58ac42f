"""The local engine: live sessions on worker processes."""

from __future__ import annotations

import os

from captiond.config import Config
from captiond.engines.moonshine.workers import Workers
from captiond.live.session import LiveSession
from captiond.metrics import Metrics


class MoonshineEngine:
    """
    Opens live sessions on workers: see :class:`captiond.live.session.Engine`.

    Args:
        config: The daemon's configuration.
        metrics: Where workers are counted.

    """

    name = "moonshine/tiny-en"

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._workers = Workers(
            count=config.engine.workers or max((os.cpu_count() or 1) - 1, 1),
            config=config.engine,
            metrics=metrics,
            log=config.log,
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

    async def open(self, *, stream: str) -> LiveSession:
        """
        Open a session.

        Raises:
            EngineError: If no worker can be had now.

        """
        return await self._workers.open()
