"""
The settings of a transcription session, as OpenAI checks them.

What is rejected, with which code and parameter, follows the published types and the
errors that users of the service report. A rejected update changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

STREAMING = frozenset({"gpt-live-transcribe", "gpt-realtime-whisper"})
"""Models that tell words while they are spoken, and detect no turns."""

CONTEXTUAL = frozenset({"gpt-live-transcribe", "gpt-transcribe"})
"""Models that take keywords and several languages."""

MODELS = (
    STREAMING
    | CONTEXTUAL
    | {
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "whisper-1",
    }
)

RATE = 24_000

_DELAYS = ("minimal", "low", "medium", "high", "xhigh")
_INPUT = "session.audio.input"


class Rejected(Exception):
    """A client event that the server doesn't accept; the session goes on."""

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``session.audio.input`` holds."""

    format: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"type": "audio/pcm", "rate": RATE}
    )
    noise_reduction: Mapping[str, Any] | None = None
    transcription: Mapping[str, Any] | None = None
    turn_detection: Mapping[str, Any] | None = dataclasses.field(
        default_factory=lambda: {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
        }
    )

    @property
    def model(self) -> str | None:
        """Return the model, if one was chosen."""
        return None if self.transcription is None else self.transcription["model"]

    @property
    def streaming(self) -> bool:
        """Return whether words are told while they are spoken."""
        return self.model in STREAMING

    def updated(self, session: object) -> Settings:
        """
        Return the settings with a client's changes; what isn't named stays.

        Raises:
            Rejected: If something isn't allowed.

        """
        changes = _input_of(session)
        new = dataclasses.replace(self, **changes)
        _check_format(new.format)
        if new.noise_reduction is not None:
            _one_of(
                new.noise_reduction.get("type"),
                ("near_field", "far_field"),
                f"{_INPUT}.noise_reduction.type",
            )
        if new.transcription is not None:
            _check_transcription(new.transcription)
        if new.turn_detection is not None:
            _check_turn_detection(new.turn_detection, new.model)
        return new


def _input_of(session: object) -> dict[str, Any]:
    if not isinstance(session, dict):
        raise Rejected(
            "Missing required parameter: 'session'.",
            code="missing_required_parameter",
            param="session",
        )
    if session.get("type") != "transcription":
        raise Rejected(
            "Passing a realtime session update event to a transcription session is "
            "not allowed.",
            code="invalid_parameter",
            param="session.type",
        )
    _known(session, ("type", "audio", "include"), "session")
    audio = session.get("audio", {})
    _known(audio, ("input",), "session.audio")
    changes = audio.get("input", {})
    names = [field.name for field in dataclasses.fields(Settings)]
    _known(changes, names, _INPUT)
    return dict(changes)


def _known(value: object, names: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise Rejected(
            f"Invalid type for '{path}': expected an object.",
            code="invalid_type",
            param=path,
        )
    for name in value:
        if name not in names:
            raise Rejected(
                f"Unknown parameter: '{path}.{name}'.",
                code="unknown_parameter",
                param=f"{path}.{name}",
            )


def _one_of(value: object, allowed: Any, path: str) -> None:
    if value not in allowed:
        raise _invalid(value, path, f"Supported values are: {sorted(allowed)}.")


def _invalid(value: object, path: str, rule: str) -> Rejected:
    return Rejected(
        f"Invalid value: {value!r}. {rule}", code="invalid_value", param=path
    )


def _check_format(value: Mapping[str, Any]) -> None:
    path = f"{_INPUT}.format"
    _known(value, ("type", "rate"), path)
    _one_of(value.get("type"), ("audio/pcm",), f"{path}.type")
    _one_of(value.get("rate"), (RATE,), f"{path}.rate")


def _check_transcription(value: Mapping[str, Any]) -> None:
    path = f"{_INPUT}.transcription"
    allowed = ("model", "language", "languages", "prompt", "keywords", "delay")
    _known(value, allowed, path)
    model = value.get("model")
    if model not in MODELS:
        raise Rejected(
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
            param=f"{path}.model",
        )
    for name, models in (
        ("language", MODELS - CONTEXTUAL),
        ("languages", CONTEXTUAL),
        ("keywords", CONTEXTUAL),
        ("prompt", MODELS - {"gpt-realtime-whisper"}),
        ("delay", STREAMING),
    ):
        if name in value and model not in models:
            rule = f"'{name}' is not supported with this model."
            raise _invalid(value[name], f"{path}.{name}", rule)
    if "delay" in value:
        _one_of(value["delay"], _DELAYS, f"{path}.delay")
    for keyword in value.get("keywords", ()):
        if not keyword or any(char in keyword for char in "<>\r\n"):
            raise _invalid(keyword, f"{path}.keywords", "One plain line is allowed.")


def _check_turn_detection(value: Mapping[str, Any], model: str | None) -> None:
    path = f"{_INPUT}.turn_detection"
    if model in STREAMING:
        raise Rejected(
            "Turn detection is not supported for this transcription model.",
            code="invalid_value",
            param=path,
        )
    allowed = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")
    _known(value, allowed, path)
    _one_of(value.get("type"), ("server_vad",), f"{path}.type")
