"""Options of the engine Gemini Live: the table ``[engines.gemini]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from captiond.config import Seconds, Section


class GeminiOptions(Section):
    """Gemini Live, of the Developer API or Vertex AI."""

    model: Annotated[str, Field(min_length=1)] = "gemini-3.5-transcribe-live"
    """Model that listens."""
    profile: Literal["auto", "transcribe", "agent"] = "auto"
    """``transcribe`` turns speech into text; ``agent`` converses, and takes text,
    pictures and tools; ``auto`` tells by the model's name."""
    languages: tuple[str, ...] = ()
    """BCP 47 tags of what is spoken, for ``transcribe``. Empty: the model detects
    them."""
    vocabulary: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Words and phrases to expect, for ``transcribe``; at most 1000."""
    instruction: str = ""
    """What an ``agent`` is told about its task."""
    tools_file: Path | None = None
    """JSON file with a list of function declarations that an ``agent`` may call."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """How freely an ``agent`` words its answers; without it the service decides."""
    api_key_file: Path | None = None
    """File with the API key. Without it ``GEMINI_API_KEY`` or ``GOOGLE_API_KEY``
    counts."""
    vertex_project: str = ""
    """Google Cloud project, to use Vertex AI with its application default
    credentials."""
    vertex_location: str = ""
    """Location at Vertex AI, such as ``global``; goes with the project."""
    base_url: str = ""
    """Address of the service; empty means Google's. Must begin with ``https://``."""
    api_version: Annotated[str, Field(pattern=r"^v[0-9a-z]+$")] = "v1beta"
    """Version in the address; Vertex AI has ``v1beta1`` where this is ``v1beta``."""
    ca_file: Path | None = None
    """PEM file with the certificates to trust, for a gateway of one's own."""
    compression: bool = True
    """Let the service forget the oldest of an ``agent``'s context, so that it never
    is full."""
    resumption: bool = True
    """Let the next session of an ``agent`` go on with the state of the last."""
    silence_ms: Annotated[int, Field(ge=100, le=10_000)] = 800
    """Silence after which the service ends an utterance by itself."""
    pause: Annotated[float, Field(ge=0.2, le=5)] = 0.6
    """Seconds without speech after which captiond asks for the end of an
    utterance."""
    session_seconds: Annotated[float, Field(ge=30, le=86_400)] = 600.0
    """Seconds after which the service ends a session; it is replaced before."""
    finalise_timeout: Annotated[float, Field(ge=0.5, le=30)] = 2.5
    """Seconds after the end of an utterance in which its final must come, else the
    last interim counts; an ``agent`` has three times as long."""
    ping_timeout: Seconds = 60.0
    """Seconds that the service may take to answer a keepalive ping."""
