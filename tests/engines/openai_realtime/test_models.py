"""Tests of what each of OpenAI's models is sent."""

from __future__ import annotations

from typing import Any

import pytest

from captiond.engines.openai_realtime.models import (
    MAX_KEYWORDS,
    detects_turns,
    keywords,
    transcription_of,
)
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions

COMMON: dict[str, Any] = {
    "language": "en",
    "prompt": "A reading.",
    "vocabulary": ("Dickens",),
}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "gpt-live-transcribe",
            {
                "languages": ["en"],
                "keywords": ["Dickens", "Paris"],
                "prompt": "A reading.",
                "delay": "low",
            },
        ),
        (
            "gpt-transcribe",
            {
                "languages": ["en"],
                "keywords": ["Dickens", "Paris"],
                "prompt": "A reading.",
            },
        ),
        (
            "gpt-4o-transcribe",
            {"language": "en", "prompt": "A reading. Dickens, Paris"},
        ),
        ("gpt-realtime-whisper", {"language": "en", "delay": "low"}),
        ("gpt-4o-transcribe-diarize", {"language": "en"}),
        ("somebody's", {"language": "en", "prompt": "A reading. Dickens, Paris"}),
    ],
)
def test_transcription(model: str, expected: dict[str, Any]) -> None:
    """Each gets only what it takes."""
    options = OpenAiRealtimeOptions(model=model, delay="low", **COMMON)

    assert transcription_of(options, ["Paris", "Dickens"]) == {
        "model": model,
        **expected,
    }


def test_keywords() -> None:
    """One line each, once, and none that spoils the others."""
    assert keywords(["  a\r\nb ", "a b", "", "<x>", "c"]) == ["a b", "c"]
    assert len(keywords(map(str, range(5000)))) == MAX_KEYWORDS


@pytest.mark.parametrize(
    ("options", "server"),
    [
        ({}, False),
        ({"model": "gpt-realtime-whisper"}, False),
        ({"model": "gpt-4o-transcribe"}, True),
        ({"model": "gpt-4o-transcribe", "turn_detection": "client"}, False),
        ({"dialect": "openai-beta", "model": "whisper"}, False),
        (
            {"dialect": "openai-beta", "model": "x", "turn_detection": "server"},
            True,
        ),
        ({"dialect": "vllm", "model": "voxtral"}, False),
    ],
)
def test_who_ends_utterances(options: dict[str, Any], server: bool) -> None:
    """Unless it is said, the server does if it can and counts as we do."""
    assert detects_turns(OpenAiRealtimeOptions(**options)) is server
