"""
Engines: what opens live sessions, and how one becomes known to captiond.

A package ships an engine by naming an :class:`EngineType` in the entry-point group
``captiond.engines``::

    [project.entry-points."captiond.engines"]
    example = "captiond_example:ENGINE"

``engine.name = "example"`` then chooses it, and its options are the table
``[engines.example]``. The module that the entry point names must be importable without
what the engine needs at run time: ``create`` imports that, and an ``ImportError`` there
tells the operator which extra to install. ``tests/engines/conformance.py`` checks an
engine against the contract of :mod:`captiond.live.session`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from captiond.config import Log, Section
from captiond.live.session import Capabilities, LiveSession, TextPurpose
from captiond.metrics import Metrics

MAX_TEXTS = 32
"""Texts of context that are kept, the newest."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """What outlives a session and is given to the next one."""

    vocabulary: tuple[str, ...] = ()
    """Words and phrases to expect."""

    text: tuple[str, ...] = ()
    """What to know, oldest first."""

    texts_so_far: int = 0
    """How many there have been; only the newest are kept."""

    handle: str | None = None
    """Of the last :class:`~captiond.live.session.Resumable` of this engine."""

    def with_text(self, text: str, purpose: TextPurpose) -> SessionContext:
        """Return what the next session should know after a text was sent."""
        match purpose:
            case TextPurpose.VOCABULARY:
                words = tuple(line.strip() for line in text.splitlines())
                return dataclasses.replace(self, vocabulary=tuple(filter(None, words)))
            case TextPurpose.CONTEXT:
                texts = (*self.text, text)[-MAX_TEXTS:]
                count = self.texts_so_far + 1
                return dataclasses.replace(self, text=texts, texts_so_far=count)
            case TextPurpose.QUESTION:
                return self

    def texts_since(self, earlier: SessionContext) -> tuple[str, ...]:
        """Return the texts of context that an earlier one didn't have."""
        new = self.texts_so_far - earlier.texts_so_far
        return self.text[-new:] if new > 0 else ()


class Engine(Protocol):
    """Turns audio into text: opens live sessions."""

    @property
    def name(self) -> str:
        """Name that captions carry, such as ``moonshine/tiny-en``."""

    @property
    def capabilities(self) -> Capabilities:
        """What its sessions can do."""

    @property
    def not_ready(self) -> str | None:
        """Why no session can be opened now, or None."""

    async def start(self) -> None:
        """
        Start what sessions share, such as workers; return when ready.

        Nothing remote is asked: an engine that can't be reached now is no reason not
        to start.

        Raises:
            ConfigError: If something that it needs isn't configured, such as a key.
            EngineError: If it can't start.

        """

    async def stop(self) -> None:
        """Stop what sessions share; open sessions fail."""

    async def open(self, *, stream: str, context: SessionContext) -> LiveSession:
        """
        Open a session; return when the engine has accepted it.

        May be cancelled, and then leaves nothing behind.

        Args:
            stream: Name of the stream, for logs.
            context: What earlier sessions left.

        Raises:
            EngineError: If no session can be had now, or never.

        """


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineSetup:
    """What an engine is created with."""

    options: Any
    """An instance of :attr:`EngineType.options`."""

    log: Log
    """For processes that the engine starts."""

    environ: Mapping[str, str]
    """Where keys come from."""

    metrics: Metrics


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EngineType:
    """What an entry point of the group ``captiond.engines`` names."""

    create: Callable[[EngineSetup], Engine]
    """
    Creates the engine; nothing is started.

    Raises:
        ConfigError: If the options contradict each other.
        ImportError: If a package is missing that an extra would install.

    """

    variants: Mapping[str, Capabilities]
    """What the engine can be configured to, by name, and what each can do."""

    options: type[Section] = Section
    """The table ``[engines.NAME]`` of the configuration."""
