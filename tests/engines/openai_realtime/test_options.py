"""Options that contradict each other or the dialect, and what sessions can do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from captiond.engines import openai_realtime
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions
from captiond.errors import ConfigError
from tests.engines.openai_realtime.conftest import make_engine

TABLE = "engines.openai_realtime"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dialect": "vllm"},
            f"{TABLE}.model: gpt-live-transcribe is a model of OpenAI's; with the "
            "dialect 'vllm' name the one that the server has",
        ),
        (
            {"dialect": "vllm", "model": "voxtral", "language": "en"},
            f"{TABLE}.language: the dialect 'vllm' doesn't take it",
        ),
        (
            {"dialect": "vllm", "model": "voxtral", "vocabulary": ["Dickens"]},
            f"{TABLE}.vocabulary: the dialect 'vllm' doesn't take it",
        ),
        (
            {"dialect": "openai-beta", "model": "whisper", "delay": "low"},
            f"{TABLE}.delay: the dialect 'openai-beta' doesn't take it",
        ),
        (
            {"model": "gpt-realtime-whisper", "prompt": "A reading."},
            f"{TABLE}.prompt: the model gpt-realtime-whisper doesn't take it",
        ),
        (
            {"model": "gpt-4o-transcribe", "delay": "low"},
            f"{TABLE}.delay: the model gpt-4o-transcribe doesn't take it",
        ),
        (
            {"turn_detection": "server"},
            f"{TABLE}.turn_detection: the model gpt-live-transcribe doesn't end "
            "utterances; leave it to 'client'",
        ),
        (
            {"dialect": "vllm", "model": "voxtral", "turn_detection": "server"},
            f"{TABLE}.turn_detection: the dialect 'vllm' doesn't end utterances; leave "
            "it to 'client'",
        ),
        (
            {"vocabulary": ["Dickens", "<b>"]},
            f"{TABLE}.vocabulary: '<b>' can't be sent; a word or phrase has no '<' and "
            "no '>'",
        ),
    ],
)
def test_contradictions(options: dict[str, Any], message: str) -> None:
    """The text names the option and what is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        make_engine(**options)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/realtime",
        "wss://api.openai.com/v1/realtime?model=x",
        "wss://user:secret@example.org/v1/realtime",
        "api.openai.com",
        "wss://",
    ],
)
def test_bad_addresses(url: str) -> None:
    """An address is a WebSocket's, without a query and without a password."""
    with pytest.raises(ValidationError):
        OpenAiRealtimeOptions(url=url)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (True, True, 3600.0)),
        ({"model": "gpt-realtime-whisper"}, (True, False, 3600.0)),
        ({"model": "gpt-4o-transcribe"}, (False, True, 3600.0)),
        ({"dialect": "openai-beta", "model": "whisper"}, (False, False, 1800.0)),
        ({"dialect": "vllm", "model": "voxtral"}, (True, False, None)),
        ({"session_seconds": 600}, (True, True, 600.0)),
    ],
)
def test_capabilities(
    options: dict[str, Any], expected: tuple[bool, bool, float | None]
) -> None:
    """They depend on dialect and model."""
    can = make_engine(**options).capabilities

    assert (can.interims, can.vocabulary, can.max_session_seconds) == expected
    assert not any((can.text, can.video, can.tools, can.interrupt, can.resumable))


def test_variants_are_the_dialects() -> None:
    """Each dialect is a variant, and its defaults can no more than that."""
    assert set(openai_realtime.ENGINE.variants) == {"openai", "openai-beta", "vllm"}
    assert make_engine().capabilities == openai_realtime.VARIANTS["openai"]


def test_name() -> None:
    """Captions carry the engine and its model."""
    assert make_engine().name == "openai_realtime/gpt-live-transcribe"
