"""Engines: what turns audio into text, found by entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from captiond.config import Config
from captiond.errors import ConfigError
from captiond.live.session import Engine
from captiond.metrics import Metrics

GROUP = "captiond.engines"

Factory = Callable[[Config, Metrics], Engine]
"""What an entry point of the group names."""


def available() -> dict[str, EntryPoint]:
    """Return the installed engines by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def create(config: Config, metrics: Metrics) -> Engine:
    """
    Create the configured engine.

    Raises:
        ConfigError: If it isn't installed, or a package that it needs is missing.

    """
    entry = available().get(config.engine.name)
    if entry is None:
        names = ", ".join(sorted(available())) or "none"
        raise ConfigError(
            f"engine.name: no engine is called '{config.engine.name}'; "
            f"installed are {names}"
        )
    try:
        factory = cast(Factory, entry.load())
    except ImportError as exc:
        raise ConfigError(
            f"engine.name: '{entry.name}' needs the package '{exc.name}'; "
            f"install it with: pip install 'captiond[{entry.name}]'"
        ) from exc
    return factory(config, metrics)
