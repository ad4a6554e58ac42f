"""Options of the engine OpenAI Realtime: the table ``[engines.openai_realtime]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from captiond.config import Section

DEFAULT_MODEL = "gpt-live-transcribe"


class OpenAiRealtimeOptions(Section):
    """OpenAI Realtime transcription, or a server that speaks its protocol."""

    url: Annotated[str, Field(pattern=r"^wss?://[^/?#@\s]+(/[^?#\s]*)?$")] = (
        "wss://api.openai.com/v1/realtime"
    )
    """Address of the service, without a query."""
    dialect: Literal["openai", "openai-beta", "vllm"] = "openai"
    """What the server speaks: ``openai`` for the service itself, ``openai-beta`` for
    speaches and LocalAI, ``vllm`` for vLLM."""
    model: Annotated[str, Field(min_length=1, max_length=200)] = DEFAULT_MODEL
    """Model that listens; other servers than OpenAI's have their own."""
    language: Annotated[str, Field(pattern=r"^[A-Za-z-]{0,35}$")] = ""
    """What is spoken, as an ISO 639-1 code such as ``en``. Empty: the model detects
    it; ``vllm`` always does."""
    vocabulary: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Words and phrases to expect, at most 1000. Each is one line without ``<`` and
    ``>``."""
    prompt: Annotated[str, Field(max_length=4000)] = ""
    """What the speech is about, for models that take it."""
    api_key_file: Path | None = None
    """File with the API key. Without it the variable counts."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the API key. Empty: no key is sent."""
    turn_detection: Literal["auto", "client", "server"] = "auto"
    """Who ends utterances: ``client`` is captiond, ``server`` the service, which not
    all models can and LocalAI insists on. ``auto`` is ``server`` with those of
    OpenAI's models that can, and ``client`` else."""
    silence_ms: Annotated[int, Field(ge=100, le=5000)] = 500
    """Silence after which an utterance ends."""
    max_utterance: Annotated[float, Field(ge=3, le=60)] = 15.0
    """Seconds after which an utterance is ended while speech goes on; a pause from
    three fifths of it on does too."""
    delay: Literal["", "minimal", "low", "medium", "high", "xhigh"] = ""
    """How long a model that transcribes continuously waits before it tells text.
    Empty: as the service likes."""
    noise_reduction: Literal["", "near_field", "far_field"] = ""
    """What the dialect ``openai`` does about noise: for a headset or for a room. Empty:
    nothing."""
    session_seconds: Annotated[float, Field(ge=30, le=86_400)] | None = None
    """Seconds after which the server ends a session; it is replaced before. By default
    3600 with ``openai``, 1800 with ``openai-beta``, and never with ``vllm``."""
    finalise_timeout: Annotated[float, Field(ge=0.5, le=60)] | None = None
    """Seconds after the end of an utterance in which its final must come, else the
    last interim counts. By default 3 with models that transcribe continuously, and 15
    with others, which have nothing to show before."""
    ca_file: Path | None = None
    """PEM file with the certificates to trust, for a server of one's own."""
