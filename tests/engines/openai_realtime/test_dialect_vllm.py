"""Tests of vLLM's dialect."""

from __future__ import annotations

import pytest

from captiond.engines.openai_realtime.dialects import Malformed
from captiond.engines.openai_realtime.dialects.said import (
    Committed,
    Completed,
    Created,
    Interim,
    Trouble,
)
from captiond.engines.openai_realtime.dialects.vllm import VllmDialect
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions

COMMIT = {"type": "input_audio_buffer.commit"}


@pytest.fixture
def vllm() -> VllmDialect:
    return VllmDialect(OpenAiRealtimeOptions(dialect="vllm", model="voxtral"))


class TestVllm:
    """vLLM's."""

    def test_one_generation_after_the_other(self, vllm: VllmDialect) -> None:
        """Audio starts one, a final commit ends it, and then none may be sent."""
        first = vllm.audio(b"\0\0")
        second = vllm.audio(b"\0\0")
        ready = vllm.ready
        final = vllm.commit("c")
        busy = not vllm.ready
        said = vllm.decode({"type": "transcription.done", "text": " it was"})
        third = vllm.audio(b"\0\0")

        assert [message["type"] for message in first] == [
            "input_audio_buffer.commit",
            "input_audio_buffer.append",
        ]
        assert [message["type"] for message in second] == ["input_audio_buffer.append"]
        assert final == [{**COMMIT, "final": True}]
        assert ready
        assert busy
        assert said == [
            Committed(item="generation 1", previous=None),
            Completed(item="generation 1", text=" it was"),
        ]
        assert vllm.ready
        assert third[0] == COMMIT

    def test_no_final_commit_alone(self, vllm: VllmDialect) -> None:
        """It would end the next generation at once."""
        before = vllm.commit("c")
        vllm.audio(b"\0\0")
        once, twice = vllm.commit("c"), vllm.commit("c")

        assert (before, len(once), twice) == ([], 1, [])

    def test_pieces(self, vllm: VllmDialect) -> None:
        """Empty ones are nothing."""
        vllm.audio(b"\0\0")

        assert vllm.decode({"type": "transcription.delta", "delta": ""}) == []
        assert vllm.decode({"type": "transcription.delta", "delta": " it"}) == [
            Interim(item="generation 1", text=" it", adds=True)
        ]

    def test_done_twice(self, vllm: VllmDialect) -> None:
        """The second time is nobody's."""
        vllm.audio(b"\0\0")
        vllm.commit("c")
        vllm.decode({"type": "transcription.done", "text": ""})

        assert vllm.decode({"type": "transcription.done", "text": ""}) == []

    def test_done_too_early(self, vllm: VllmDialect) -> None:
        """Audio is lost: another session must hear it again."""
        vllm.audio(b"\0\0")
        [trouble] = vllm.decode({"type": "transcription.done", "text": "it"})

        assert isinstance(trouble, Trouble)
        assert (trouble.fatal, trouble.retryable) == (True, True)

    @pytest.mark.parametrize(
        ("code", "fatal", "retryable"),
        [
            ("processing_error", True, True),
            ("model_not_validated", True, False),
            ("invalid_audio", False, True),
            (None, True, True),
        ],
    )
    def test_errors(
        self, vllm: VllmDialect, code: str | None, fatal: bool, retryable: bool
    ) -> None:
        """After most of them nobody knows what the queue holds."""
        [trouble] = vllm.decode({"type": "error", "error": "No.", "code": code})

        assert isinstance(trouble, Trouble)
        assert (trouble.fatal, trouble.retryable) == (fatal, retryable)

    def test_nothing_else(self, vllm: VllmDialect) -> None:
        """The model is named, audio can't be taken back, other events don't matter."""
        assert vllm.configure([]) == [{"type": "session.update", "model": "voxtral"}]
        messages: object = vllm.clear()  # type: ignore[func-returns-value]
        assert messages is None
        assert vllm.decode({"type": "session.created", "id": "x"}) == [Created()]
        assert vllm.decode({"type": "tada"}) == []
        with pytest.raises(Malformed):
            vllm.decode({})
