"""
Profiles: what is asked of the service at setup, and what a session can do then.

No I/O, but for the file of tools that is read once. A field that a model doesn't take
ends its session at setup, so each profile sends only its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from google.genai import types
from pydantic import TypeAdapter, ValidationError

from captiond.engines.gemini import AGENT, TRANSCRIBE
from captiond.engines.gemini.options import GeminiOptions
from captiond.errors import ConfigError
from captiond.live.engine import SessionContext
from captiond.live.session import Capabilities

MAX_VOCABULARY = 1000
"""Words and phrases that the service takes."""

MAX_TOOLS_BYTES = 1 << 20
"""Largest file of tools."""

AGENT_PATIENCE = 3.0
"""An agent transcribes what it hears later than a model that does nothing else."""

_DECLARATIONS = TypeAdapter(list[types.FunctionDeclaration])


class Profile:
    """
    What the options make of a session.

    Args:
        options: The engine's options.

    Raises:
        ConfigError: If they contradict each other, or the tools can't be read.

    """

    def __init__(self, options: GeminiOptions) -> None:
        self._options = options
        self.name = _profile_name(options)
        _check(options, self.name)
        self._tools = _read_tools(options.tools_file)

    @property
    def is_agent(self) -> bool:
        """Whether the model converses."""
        return self.name == "agent"

    @property
    def capabilities(self) -> Capabilities:
        """What its sessions can do."""
        seconds = self._options.session_seconds
        if self.is_agent:
            return dataclasses.replace(
                AGENT,
                resumable=self._options.resumption,
                max_session_seconds=seconds,
            )
        return dataclasses.replace(
            TRANSCRIBE,
            languages=self._options.languages,
            max_session_seconds=seconds,
        )

    @property
    def engine_name(self) -> str:
        """Name that captions carry."""
        return f"gemini/{self._options.model}"

    @property
    def pause(self) -> float:
        """Seconds without speech that end an utterance."""
        return self._options.pause

    @property
    def finalise_timeout(self) -> float:
        """Seconds after the end of an utterance in which its final must come."""
        timeout = self._options.finalise_timeout
        return timeout * AGENT_PATIENCE if self.is_agent else timeout

    def config(self, context: SessionContext) -> types.LiveConnectConfig:
        """Return the setup of a session that goes on from what earlier ones left."""
        return self._agent(context) if self.is_agent else self._transcribe(context)

    def _transcribe(self, context: SessionContext) -> types.LiveConnectConfig:
        options = self._options
        words = vocabulary(options.vocabulary, context.vocabulary)
        return types.LiveConnectConfig(
            response_modalities=[types.Modality.TEXT],
            input_audio_transcription=types.AudioTranscriptionConfig(
                # An empty list is not the same as none: languages alone have been
                # seen to cost punctuation.
                language_codes=list(options.languages) or None,
                custom_vocabulary=list(words) or None,
                mode=types.AudioTranscriptionConfigMode.VERBATIM,
            ),
            realtime_input_config=self._realtime(),
        )

    def _agent(self, context: SessionContext) -> types.LiveConnectConfig:
        options = self._options
        # Models of today that converse answer by voice only; its transcript is text.
        config = types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO],
            input_audio_transcription=types.AudioTranscriptionConfig(),
            output_audio_transcription=types.AudioTranscriptionConfig(),
            realtime_input_config=self._realtime(),
            media_resolution=types.MediaResolution.MEDIA_RESOLUTION_LOW,
            temperature=options.temperature,
        )
        if options.instruction:
            config.system_instruction = types.Content(
                role="user", parts=[types.Part(text=options.instruction)]
            )
        if self._tools:
            config.tools = [types.Tool(function_declarations=self._tools)]
        if options.compression:
            config.context_window_compression = types.ContextWindowCompressionConfig(
                sliding_window=types.SlidingWindow()
            )
        if options.resumption:
            config.session_resumption = types.SessionResumptionConfig(
                handle=context.handle
            )
        return config

    def _realtime(self) -> types.RealtimeInputConfig:
        return types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(
                silence_duration_ms=self._options.silence_ms
            )
        )


def vocabulary(*sources: Sequence[str]) -> tuple[str, ...]:
    """Return the words of all sources once, at most as many as the service takes."""
    words = (word.strip() for source in sources for word in source)
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_VOCABULARY]


def _profile_name(options: GeminiOptions) -> Literal["transcribe", "agent"]:
    if options.profile != "auto":
        return options.profile
    return "transcribe" if "transcribe" in options.model else "agent"


def _check(options: GeminiOptions, profile: str) -> None:
    only = {
        "transcribe": ("instruction", "tools_file", "temperature"),
        "agent": ("languages", "vocabulary"),
    }
    for name in only[profile]:
        if getattr(options, name) not in ("", None, ()):
            raise ConfigError(
                f"engines.gemini.{name}: the model {options.model} has the profile "
                f"'{profile}', which doesn't take it"
            )
    if bool(options.vertex_project) != bool(options.vertex_location):
        raise ConfigError(
            "engines.gemini: vertex_project and vertex_location go together"
        )
    if options.base_url and not options.base_url.startswith("https://"):
        raise ConfigError("engines.gemini.base_url: must begin with https://")


def _read_tools(file: Path | None) -> list[types.FunctionDeclaration]:
    if file is None:
        return []
    option = f"engines.gemini.tools_file: {file}"
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_TOOLS_BYTES + 1)
        if len(text) > MAX_TOOLS_BYTES:
            raise ConfigError(f"{option} is larger than {MAX_TOOLS_BYTES} bytes")
        found = _DECLARATIONS.validate_python(json.loads(text))
    except OSError as exc:
        raise ConfigError(f"{option} can't be read: {exc.strerror}") from exc
    except ValidationError as exc:
        error = exc.errors()[0]
        where = ".".join(map(str, error["loc"]))
        raise ConfigError(
            f"{option} is no list of function declarations: {where}: {error['msg']}"
        ) from None
    except ValueError as exc:
        raise ConfigError(f"{option} is not valid JSON: {exc}") from exc
    if any(not declaration.name for declaration in found):
        raise ConfigError(f"{option}: a function declaration lacks its name")
    return found
