"""The engine OpenAI Realtime: opens live sessions over WebSockets."""

from __future__ import annotations

import asyncio
import dataclasses

from captiond import logs
from captiond.engines.openai_realtime import SESSION_SECONDS, VARIANTS
from captiond.engines.openai_realtime.connection import (
    NAME,
    Connector,
    find_key,
    make_context,
    make_faults,
)
from captiond.engines.openai_realtime.dialects import Dialect
from captiond.engines.openai_realtime.dialects.beta import BetaDialect
from captiond.engines.openai_realtime.dialects.openai import OpenAiDialect
from captiond.engines.openai_realtime.dialects.vllm import VllmDialect
from captiond.engines.openai_realtime.models import detects_turns, keywords, model_of
from captiond.engines.openai_realtime.options import (
    DEFAULT_MODEL,
    OpenAiRealtimeOptions,
)
from captiond.engines.openai_realtime.session import (
    OpenAiRealtimeSession,
    SessionSetup,
)
from captiond.engines.openai_realtime.steps import ExchangeSetup
from captiond.engines.remote.activity import ActivityDetector, Tuning
from captiond.engines.remote.faults import Faults
from captiond.engines.remote.outgoing import Outgoing
from captiond.errors import ConfigError, EngineError
from captiond.live.engine import EngineSetup, SessionContext
from captiond.live.session import Capabilities, LiveSession, Opened

DIALECTS: dict[str, type[OpenAiDialect | BetaDialect | VllmDialect]] = {
    "openai": OpenAiDialect,
    "openai-beta": BetaDialect,
    "vllm": VllmDialect,
}

_TABLE = f"engines.{NAME}"

STREAMING_TIMEOUT, TURN_TIMEOUT = 3.0, 15.0
"""Seconds for a final that only completes what was told, and for one that has to be
made."""


class OpenAiRealtimeEngine:
    """
    Opens live sessions: see :class:`captiond.live.engine.Engine`.

    Args:
        setup: Its options, and where its key is.

    Raises:
        ConfigError: If the options contradict each other.

    """

    def __init__(self, setup: EngineSetup) -> None:
        options = setup.options
        assert isinstance(options, OpenAiRealtimeOptions)
        _check(options)
        self._options = options
        self._environ = setup.environ
        self.metrics = setup.metrics
        self._connector: Connector | None = None
        self._faults: Faults | None = None
        self._sessions: set[OpenAiRealtimeSession] = set()
        self.name = f"{NAME}/{options.model}"
        self.capabilities = capabilities_of(options)

    @property
    def not_ready(self) -> str | None:
        """Why no session can be opened now, or None."""
        return None if self._connector is not None else "the engine isn't started"

    async def start(self) -> None:
        """
        Find the key; nothing is connected.

        Raises:
            ConfigError: If there is no key where one is needed, or it would be shown.

        """
        options = self._options
        key = find_key(options, self._environ)
        self._faults = make_faults(options, key)
        # Reading the system's certificates takes a while.
        context = await asyncio.to_thread(make_context, options.url, options.ca_file)
        self._connector = Connector(
            options.url, key=key, context=context, faults=self._faults
        )

    async def stop(self) -> None:
        """End the engine; open sessions fail."""
        self._connector = None
        sessions, self._sessions = self._sessions, set()
        for session in sessions:
            session.fail(
                EngineError("stopped", "the engine was stopped", retryable=False)
            )
        await asyncio.gather(*(session.wait_gone() for session in sessions))

    async def open(self, *, stream: str, context: SessionContext) -> LiveSession:
        """
        Open a session.

        Raises:
            EngineError: If the server can't be reached, or refuses.

        """
        if self._connector is None or self._faults is None:
            raise EngineError("stopped", "the engine isn't started", retryable=False)
        dialect: Dialect = DIALECTS[self._options.dialect](self._options)
        socket = await self._connector.open(dialect, context.vocabulary)
        session = OpenAiRealtimeSession(
            SessionSetup(
                socket=socket,
                dialect=dialect,
                exchange=exchange_setup(self._options),
                outgoing=Outgoing(
                    detector=ActivityDetector(
                        Tuning(hangover=self._options.silence_ms / 1000)
                    )
                ),
                faults=self._faults,
                log=logs.get(NAME, stream=stream),
                metrics=self.metrics,
                capabilities=self.capabilities,
            )
        )
        self._sessions = {each for each in self._sessions if not each.gone}
        self._sessions.add(session)
        session.start(Opened(engine=self.name))
        return session


def capabilities_of(options: OpenAiRealtimeOptions) -> Capabilities:
    """Return what sessions can do with these options."""
    general = VARIANTS[options.dialect]
    limit = options.session_seconds or SESSION_SECONDS[options.dialect]
    if options.dialect == "openai":
        model = model_of(options.model)
        general = dataclasses.replace(
            general, interims=model.streaming, vocabulary=model.vocabulary
        )
    languages = (options.language,) if options.language else ()
    return dataclasses.replace(general, languages=languages, max_session_seconds=limit)


def exchange_setup(options: OpenAiRealtimeOptions) -> ExchangeSetup:
    """Return who ends utterances, and when."""
    interims = capabilities_of(options).interims
    return ExchangeSetup(
        by_server=detects_turns(options),
        loose=options.dialect == "openai-beta",
        interims=interims,
        silence=options.silence_ms / 1000,
        max_utterance=options.max_utterance,
        finalise_timeout=options.finalise_timeout
        or (STREAMING_TIMEOUT if interims else TURN_TIMEOUT),
        language=options.language or None,
    )


def _check(options: OpenAiRealtimeOptions) -> None:
    if options.dialect != "openai" and options.model == DEFAULT_MODEL:
        raise ConfigError(
            f"{_TABLE}.model: {DEFAULT_MODEL} is a model of OpenAI's; with the dialect "
            f"'{options.dialect}' name the one that the server has"
        )
    what = f"the dialect '{options.dialect}'"
    if options.dialect == "openai":
        what = f"the model {options.model}"
    for name in _not_taken(options):
        if getattr(options, name):
            raise ConfigError(f"{_TABLE}.{name}: {what} doesn't take it")
    if options.turn_detection == "server" and not _can_detect_turns(options):
        raise ConfigError(
            f"{_TABLE}.turn_detection: {what} doesn't end utterances; leave it to "
            "'client'"
        )
    usable = keywords(options.vocabulary)
    for word in options.vocabulary:
        if " ".join(word.split()) not in usable:
            raise ConfigError(
                f"{_TABLE}.vocabulary: {word!r} can't be sent; a word or phrase has no "
                "'<' and no '>'"
            )


def _not_taken(options: OpenAiRealtimeOptions) -> list[str]:
    """Return the names of options that the server would ignore, or reject."""
    if options.dialect == "vllm":
        return ["language", "vocabulary", "prompt", "delay", "noise_reduction"]
    if options.dialect == "openai-beta":
        return ["delay", "noise_reduction"]
    model = model_of(options.model)
    taken = {
        "vocabulary": model.vocabulary,
        "prompt": model.prompt,
        "delay": model.streaming,
    }
    return [name for name, is_taken in taken.items() if not is_taken]


def _can_detect_turns(options: OpenAiRealtimeOptions) -> bool:
    if options.dialect == "openai":
        return not model_of(options.model).streaming
    return options.dialect == "openai-beta"
