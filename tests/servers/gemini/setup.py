"""What a client asks for with its first message, and what the service refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tests.servers.gemini.wire import Message, Refusal, invalid

Profile = Literal["transcribe", "agent"]

SILENCE = 0.8
"""Seconds of silence that end an activity, unless the client says."""
_VOCABULARY_MOST = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that the server has."""

    name: str
    profile: Profile
    modalities: frozenset[str]


MODELS = (
    Model(
        name="gemini-3.5-transcribe-live",
        profile="transcribe",
        modalities=frozenset(("TEXT",)),
    ),
    Model(name="gemini-3.8-live", profile="agent", modalities=frozenset(("AUDIO",))),
    # Not a model of today: an agent that may answer in text.
    Model(
        name="gemini-2.0-flash-live-001",
        profile="agent",
        modalities=frozenset(("TEXT", "AUDIO")),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A setup that was accepted."""

    model: Model
    modality: str
    silence: float | None
    """Seconds; None with the activity detection off."""
    interrupts: bool
    """Whether speech interrupts the model."""
    transcribes: bool
    """Whether the client wants to know what was said to the model."""
    transcribes_output: bool
    tools: tuple[str, ...]
    """The names of the functions that the model may call."""
    resumption: bool
    handle: str | None


_COMMON = frozenset(
    (
        "model",
        "generationConfig",
        "inputAudioTranscription",
        "realtimeInputConfig",
        "sessionResumption",
        "contextWindowCompression",
    )
)
_FIELDS: Mapping[Profile, frozenset[str]] = {
    "transcribe": _COMMON,
    "agent": _COMMON
    | {
        "systemInstruction",
        "tools",
        "outputAudioTranscription",
        "proactivity",
        "historyConfig",
        "safetySettings",
        "labels",
    },
}
_GENERATION: Mapping[Profile, frozenset[str]] = {
    "transcribe": frozenset(("responseModalities",)),
    "agent": frozenset(
        (
            "responseModalities",
            "mediaResolution",
            "speechConfig",
            "thinkingConfig",
            "temperature",
            "topP",
            "topK",
            "maxOutputTokens",
            "seed",
            "enableAffectiveDialog",
        )
    ),
}
_TRANSCRIPTION = frozenset(
    (
        "languageCodes",
        "customVocabulary",
        "mode",
        "languageAuto",
        "languageHints",
        "adaptationPhrases",
    )
)
_DETECTION = frozenset(
    (
        "disabled",
        "startOfSpeechSensitivity",
        "endOfSpeechSensitivity",
        "prefixPaddingMs",
        "silenceDurationMs",
    )
)


def read_setup(message: Message, models: Iterable[Model], version: str) -> Setup:
    """
    Read the first message.

    Args:
        message: The message, with camelCase keys.
        models: What there is.
        version: The version of the API in the path, for the refusal.

    Raises:
        Refusal: If the service would close the connection.

    """
    if set(message) != {"setup"}:
        raise invalid()
    setup = _object(message, "setup")
    model = _model(setup, models, version)
    _only(setup, _FIELDS[model.profile])
    transcription = setup.get("inputAudioTranscription")
    if transcription is not None:
        _check_transcription(_object(setup, "inputAudioTranscription"))
    realtime = _object(setup, "realtimeInputConfig")
    resumption = setup.get("sessionResumption")
    return Setup(
        model=model,
        modality=_modality(_object(setup, "generationConfig"), model),
        silence=_silence(_object(realtime, "automaticActivityDetection")),
        interrupts=realtime.get("activityHandling") != "NO_INTERRUPTION",
        transcribes=transcription is not None,
        transcribes_output=setup.get("outputAudioTranscription") is not None,
        tools=_functions(setup.get("tools", [])),
        resumption=resumption is not None,
        handle=_object(setup, "sessionResumption").get("handle"),
    )


def _model(setup: Message, models: Iterable[Model], version: str) -> Model:
    name = setup.get("model")
    if not isinstance(name, str):
        raise invalid()
    short = name.rpartition("models/")[2]
    for model in models:
        if "models/" in name and model.name == short:
            return model
    raise Refusal(
        1008,
        f"models/{short} is not found for API version {version}, or is not supported "
        "for bidiGenerateContent",
    )


def _modality(config: Message, model: Model) -> str:
    _only(config, _GENERATION[model.profile])
    modalities = config.get("responseModalities", ["AUDIO"])
    if not isinstance(modalities, list) or len(modalities) != 1:
        raise invalid()
    if modalities[0] not in model.modalities:
        raise invalid()
    return str(modalities[0])


def _check_transcription(config: Message) -> None:
    # Word times and diarization exist in the schema, but not live.
    _only(config, _TRANSCRIPTION, ignore=frozenset(("wordTimestamp", "diarization")))
    if config.get("wordTimestamp") or config.get("diarization"):
        raise invalid()
    if config.get("mode", "VERBATIM") not in ("VERBATIM", "SMART"):
        raise invalid()
    for name in ("languageCodes", "customVocabulary"):
        value = config.get(name, [])
        if not isinstance(value, list) or len(value) > _VOCABULARY_MOST:
            raise invalid()


def _silence(detection: Message) -> float | None:
    _only(detection, _DETECTION)
    if detection.get("disabled"):
        return None
    value = detection.get("silenceDurationMs", SILENCE * 1000)
    if not isinstance(value, int | float) or value < 0:
        raise invalid()
    return value / 1000


def _functions(tools: Any) -> tuple[str, ...]:
    if not isinstance(tools, list):
        raise invalid()
    return tuple(
        function["name"]
        for tool in tools
        for function in tool.get("functionDeclarations", [])
    )


def _object(message: Message, name: str) -> Message:
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid()
    return value


def _only(
    message: Message, known: frozenset[str], *, ignore: frozenset[str] = frozenset()
) -> None:
    if set(message) - known - ignore:
        raise invalid()
