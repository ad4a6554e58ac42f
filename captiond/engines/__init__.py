"""Engines: what turns audio into text, found by entry point."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from pydantic import create_model

from captiond.config import Config, Engines
from captiond.errors import ConfigError
from captiond.live.engine import Engine, EngineSetup, EngineType
from captiond.metrics import Metrics

GROUP = "captiond.engines"


def available() -> dict[str, EntryPoint]:
    """Return the installed engines by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


@functools.cache
def _load() -> tuple[dict[str, EngineType], dict[str, str]]:
    found: dict[str, EngineType] = {}
    broken: dict[str, str] = {}
    for name, entry in sorted(available().items()):
        try:
            kind = entry.load()
        except (ImportError, AttributeError) as exc:
            # Somebody else's broken package is no reason not to start.
            broken[name] = f"{entry.value}: {exc}"
            continue
        if isinstance(kind, EngineType):
            found[name] = kind
        else:
            broken[name] = f"{entry.value} is no EngineType"
    return found, broken


def types() -> Mapping[str, EngineType]:
    """Return the engines that can be loaded, by name."""
    return _load()[0]


def broken() -> Mapping[str, str]:
    """Return why the others can't, by name."""
    return _load()[1]


def forget() -> None:
    """Look anew what is installed, the next time that somebody asks."""
    _load.cache_clear()


def schema() -> type[Config]:
    """Return the configuration with a table for each installed engine."""
    tables = {name: (kind.options, kind.options()) for name, kind in types().items()}
    # Pydantic's signature can't say that a dictionary of fields is one.
    engines = create_model("Engines", __base__=Engines, **tables)  # type: ignore[call-overload]
    return create_model("Config", __base__=Config, engines=(engines, engines()))


def create(
    config: Config, metrics: Metrics, environ: Mapping[str, str] = os.environ
) -> dict[str, Engine]:
    """
    Create the configured engines: the first is the one that captions.

    Raises:
        ConfigError: If one isn't installed, or lacks a package.

    """
    section = config.engine
    wanted = [
        ("engine.name", section.name),
        *([("engine.fallback", section.fallback)] if section.fallback else []),
        *(("engine.others", name) for name in section.others),
    ]
    if section.fallback == section.name:
        raise ConfigError("engine.fallback: must be another engine than engine.name")
    return {
        name: _create(option, name, config, metrics, environ) for option, name in wanted
    }


def _create(
    option: str,
    name: str,
    config: Config,
    metrics: Metrics,
    environ: Mapping[str, str],
) -> Engine:
    kind = types().get(name)
    if name in broken():
        raise ConfigError(f"{option}: '{name}' can't be loaded: {broken()[name]}")
    if kind is None:
        names = ", ".join(types()) or "none"
        raise ConfigError(
            f"{option}: no engine is called '{name}'; installed are {names}"
        )
    options = getattr(config.engines, name, None) or kind.options()
    setup = EngineSetup(
        options=options, log=config.log, environ=environ, metrics=metrics
    )
    try:
        return kind.create(setup)
    except ImportError as exc:
        raise ConfigError(
            f"{option}: '{name}' needs the package '{exc.name}'; "
            f"install it with: pip install 'captiond[{name}]'"
        ) from exc
