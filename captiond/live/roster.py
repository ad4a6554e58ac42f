"""The engines of a daemon: which caption, which stand by, and how each is doing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from captiond.clock import monotonic
from captiond.errors import ControlError
from captiond.live.breaker import Breaker
from captiond.live.engine import Engine


class Roster:
    """
    Engines by the name that the configuration gives them.

    An async context manager: the engines run in its block.

    Args:
        engines: All engines, the one that captions first.
        fallback: Name of the one that takes over while the first can't be had.

    """

    def __init__(self, engines: Mapping[str, Engine], *, fallback: str = "") -> None:
        self._engines = dict(engines)
        self._stack = AsyncExitStack()
        self.order = (next(iter(engines)), *([fallback] if fallback else []))
        """Names of the engines that streams use, the preferred one first."""
        self.breakers: Mapping[str, Breaker] = {name: Breaker() for name in engines}

    async def __aenter__(self) -> Self:
        """
        Start all engines.

        Raises:
            ConfigError: If one lacks something, such as a key.
            EngineError: If one can't start.

        """
        async with AsyncExitStack() as stack:
            for engine in self._engines.values():
                await engine.start()
                stack.push_async_callback(engine.stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def not_ready(self) -> str | None:
        """Why no engine that streams use could open a session now, or None."""
        reasons = []
        for name in self.order:
            reason = self._engines[name].not_ready
            breaker = self.breakers[name]
            if not reason and not breaker.is_resting(monotonic()):
                return None
            reasons.append(f"{name}: {reason or breaker.reason}")
        return "; ".join(reasons)

    def get(self, name: str) -> Engine:
        """
        Return an engine.

        Raises:
            ControlError: If none has that name.

        """
        engine = self._engines.get(name)
        if engine is None:
            raise ControlError(
                "unknown_engine",
                f"no engine is called '{name[:64]}'; there are "
                f"{', '.join(self._engines)} (engine.name, engine.fallback, "
                "engine.others)",
                status=404,
            )
        return engine

    def that_have(self, capability: str) -> tuple[str, ...]:
        """Return the names of the engines with a capability."""
        return tuple(
            name
            for name, engine in self._engines.items()
            if dataclasses.asdict(engine.capabilities)[capability]
        )
