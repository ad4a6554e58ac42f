"""Tests of the dialects: what is sent, and what is understood."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from captiond.engines.openai_realtime.dialects import Malformed
from captiond.engines.openai_realtime.dialects.beta import BetaDialect
from captiond.engines.openai_realtime.dialects.openai import OpenAiDialect
from captiond.engines.openai_realtime.dialects.said import (
    Committed,
    Completed,
    Created,
    Failed,
    Interim,
    SpeechBegan,
    SpeechStopped,
    Trouble,
    Updated,
)
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions

ITEM = "conversation.item.input_audio_transcription"


def openai(**options: Any) -> OpenAiDialect:
    return OpenAiDialect(OpenAiRealtimeOptions(**options))


def beta(**options: Any) -> BetaDialect:
    return BetaDialect(
        OpenAiRealtimeOptions(dialect="openai-beta", model="whisper", **options)
    )


class TestOpenAi:
    """OpenAI's own."""

    def test_address(self) -> None:
        """The model is not in it."""
        assert openai().query == {"intent": "transcription"}

    def test_configure(self) -> None:
        """Everything is said once, and later only what changes."""
        dialect = openai(noise_reduction="far_field", vocabulary=["Dickens"])
        [first] = dialect.configure([])
        [second] = dialect.configure(["Paris"])

        assert first["session"] == {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "noise_reduction": {"type": "far_field"},
                    "transcription": {
                        "model": "gpt-live-transcribe",
                        "keywords": ["Dickens"],
                    },
                    "turn_detection": None,
                }
            },
        }
        assert second["session"]["audio"]["input"] == {
            "transcription": {
                "model": "gpt-live-transcribe",
                "keywords": ["Dickens", "Paris"],
            }
        }

    def test_words_are_taken_back(self) -> None:
        """By name, once they were sent."""
        dialect = openai()
        sent = [
            dialect.configure(words)[0]["session"]["audio"]["input"]["transcription"]
            for words in ([], ["Paris"], [])
        ]

        assert "keywords" not in sent[0]
        assert sent[1]["keywords"] == ["Paris"]
        assert sent[2]["keywords"] == []

    def test_turn_detection(self) -> None:
        """A model that can ends utterances after the configured silence."""
        [update] = openai(model="whisper-1", silence_ms=700).configure([])

        assert update["session"]["audio"]["input"]["turn_detection"] == {
            "type": "server_vad",
            "prefix_padding_ms": 300,
            "silence_duration_ms": 700,
        }

    def test_audio(self) -> None:
        """It travels as base64."""
        [message] = openai().audio(b"\x00\x01")

        assert message["type"] == "input_audio_buffer.append"
        assert base64.b64decode(message["audio"]) == b"\x00\x01"

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            ({"type": "session.created", "session": {}}, Created()),
            ({"type": "session.updated", "session": {}}, Updated()),
            (
                {
                    "type": "input_audio_buffer.speech_started",
                    "item_id": "a",
                    "audio_start_ms": 1500,
                },
                SpeechBegan(item="a", offset=1.5),
            ),
            (
                {
                    "type": "input_audio_buffer.speech_stopped",
                    "item_id": "a",
                    "audio_end_ms": None,
                },
                SpeechStopped(item="a", offset=None),
            ),
            (
                {
                    "type": "input_audio_buffer.committed",
                    "item_id": "b",
                    "previous_item_id": "a",
                },
                Committed(item="b", previous="a"),
            ),
            (
                {"type": f"{ITEM}.delta", "item_id": "a", "delta": " it"},
                Interim(item="a", text=" it", adds=True),
            ),
            (
                {
                    "type": f"{ITEM}.completed",
                    "item_id": "a",
                    "transcript": "It was.",
                    "languages": [{"code": "en"}],
                    "usage": {"type": "tokens", "input_tokens": 7, "output_tokens": 2},
                },
                Completed(
                    item="a",
                    text="It was.",
                    language="en",
                    input_tokens=7,
                    output_tokens=2,
                ),
            ),
            (
                {
                    "type": f"{ITEM}.completed",
                    "item_id": "a",
                    "transcript": None,
                    "languages": ["en", "fr"],
                    "usage": {"type": "duration", "seconds": 1.25},
                },
                Completed(item="a", text="", audio_seconds=1.25),
            ),
            (
                {
                    "type": f"{ITEM}.failed",
                    "item_id": "a",
                    "error": {"code": "audio_unintelligible", "message": "No."},
                },
                Failed(item="a", reason="No. (audio_unintelligible)"),
            ),
        ],
    )
    def test_decode(self, message: dict[str, Any], said: object) -> None:
        """Events that matter are understood."""
        assert openai().decode(message) == [said]

    @pytest.mark.parametrize(
        "kind",
        ["rate_limits.updated", "conversation.item.added", f"{ITEM}.segment", "tada"],
    )
    def test_of_no_interest(self, kind: str) -> None:
        """Others are left out without a word."""
        assert openai().decode({"type": kind}) == []

    @pytest.mark.parametrize(
        "message",
        [
            {},
            {"type": 7},
            {"type": f"{ITEM}.delta", "delta": "x"},
            {"type": f"{ITEM}.delta", "item_id": "a", "delta": ["x"]},
            {"type": f"{ITEM}.completed", "item_id": "a" * 500, "transcript": ""},
            {"type": f"{ITEM}.completed", "item_id": "a", "transcript": "x" * 200_000},
            {"type": "input_audio_buffer.committed", "item_id": None},
        ],
    )
    def test_malformed(self, message: dict[str, Any]) -> None:
        """What can't be understood is said to be."""
        with pytest.raises(Malformed):
            openai().decode(message)

    @pytest.mark.parametrize(
        ("error", "fatal", "retryable"),
        [
            ({"type": "invalid_request_error", "code": "session_expired"}, True, True),
            ({"type": "invalid_request_error", "code": "invalid_api_key"}, True, False),
            ({"type": "invalid_request_error", "code": "model_not_found"}, True, False),
            ({"type": "server_error", "code": None}, False, True),
            ({"type": "invalid_request_error", "code": "invalid_value"}, False, False),
            ("nonsense", False, False),
        ],
    )
    def test_errors(self, error: object, fatal: bool, retryable: bool) -> None:
        """Most leave the session open."""
        [trouble] = openai().decode({"type": "error", "error": error})

        assert isinstance(trouble, Trouble)
        assert (trouble.fatal, trouble.retryable) == (fatal, retryable)


class TestBeta:
    """The first schema."""

    def test_address(self) -> None:
        """Model and language are in it."""
        assert beta(language="en").query == {
            "model": "whisper",
            "intent": "transcription",
            "language": "en",
        }

    def test_configure(self) -> None:
        """It is said in both schemas; each server reads its own."""
        dialect = beta(
            turn_detection="server", prompt="A reading.", vocabulary=["Paris"]
        )
        [update] = dialect.configure([])
        session = update["session"]
        detection = {"type": "server_vad", "silence_duration_ms": 500}

        assert session["input_audio_transcription"] == {
            "model": "whisper",
            "prompt": "A reading. Paris",
        }
        assert session["turn_detection"] == detection
        assert session["type"] == "transcription"
        assert session["audio"]["input"] == {
            "transcription": {"prompt": "A reading. Paris"},
            "turn_detection": detection,
        }
        assert beta().configure([])[0]["session"]["turn_detection"] is None

    def test_times_are_not_trusted(self) -> None:
        """They count from something else than the start of the session."""
        message = {
            "type": "input_audio_buffer.speech_started",
            "item_id": "a",
            "audio_start_ms": 1500,
        }

        assert beta().decode(message) == [SpeechBegan(item="a", offset=None)]

    def test_speech_without_an_item(self) -> None:
        """LocalAI names none."""
        message = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 7}

        assert beta().decode(message) == [SpeechStopped(item="unnamed", offset=None)]

    def test_partial(self) -> None:
        """It replaces the one before."""
        message = {
            "type": "input_audio_buffer.partial_transcription",
            "item_id": "a",
            "transcript": "it was",
        }

        assert beta().decode(message) == [Interim(item="a", text="it was", adds=False)]
