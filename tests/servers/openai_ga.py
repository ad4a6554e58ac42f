"""OpenAI's own dialect of the realtime transcription protocol."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from typing import Any

from tests.servers.openai_hearing import Hearing, PeerSetup, Transcripts
from tests.servers.openai_settings import CONTEXTUAL, RATE, Rejected, Settings

REALTIME_MODEL = "gpt-realtime"
"""A model for conversations."""

MIN_COMMIT_SECONDS = 0.1
MAX_APPEND_BYTES = 15 << 20

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


def refuse(authorization: str | None, key: str) -> int | None:
    """Return the HTTP status with which a handshake is refused, if it is."""
    return None if authorization == f"Bearer {key}" else 401


class GaPeer:
    """
    The server's side of one session.

    Args:
        setup: Of the connection.

    """

    def __init__(self, setup: PeerSetup) -> None:
        self._setup = setup
        self._hearing = Hearing(setup.programme, rate=RATE)
        self._transcripts = Transcripts(setup)
        self._settings = Settings()
        self._conversation = setup.query.get("model") == REALTIME_MODEL
        self._events = 0
        self._items = 0
        self._item: str | None = None
        """The item that the buffer becomes, once it was spoken of."""
        self._previous: str | None = None
        self._buffer_start = 0.0
        self._said = False
        self._detect_turns()

    @property
    def seconds(self) -> float:
        """Return how much audio came."""
        return self._hearing.seconds

    async def open(self) -> bool:
        """Begin; return whether there is a session."""
        model = self._setup.query.get("model")
        transcribing = self._setup.query.get("intent") == "transcription"
        if not self._conversation and (model or not transcribing):
            error = (
                f'Model "{model}" is a transcription model and cannot be used as the '
                "realtime session model."
                if model
                else "You must provide a model parameter."
            )
            await self._error(Rejected(error, code="invalid_model", param="model"))
            return False
        await self._send("session.created", session=self._session())
        return True

    async def receive(self, message: Mapping[str, Any]) -> None:
        """Take a message from the client."""
        try:
            await self._receive(message)
        except Rejected as exc:
            await self._error(exc, message.get("event_id"))

    async def _receive(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        if kind == "session.update":
            await self._update(message.get("session"))
        elif kind == "input_audio_buffer.append":
            await self._append(message.get("audio"))
        elif kind == "input_audio_buffer.commit":
            await self._hearing.finish()
            await self._commit()
        elif kind == "input_audio_buffer.clear":
            await self._hearing.finish()
            self._begin_buffer()
            await self._send("input_audio_buffer.cleared")
        else:
            raise Rejected(
                f"Invalid value: {kind!r}. Supported values are: 'session.update', "
                "'input_audio_buffer.append', 'input_audio_buffer.commit', …",
                code="invalid_value",
                param="type",
            )

    async def _update(self, session: object) -> None:
        if self._conversation:
            raise Rejected(
                "Passing a transcription session update event to a realtime session is "
                "not allowed.",
                code="invalid_parameter",
                param="session.type",
            )
        before, self._settings = self._settings, self._settings.updated(session)
        if self._settings.turn_detection != before.turn_detection:
            self._detect_turns()
        if not self._setup.faults.take("no_session_updated"):
            await self._send("session.updated", session=self._session())

    def _detect_turns(self) -> None:
        detection = self._settings.turn_detection
        if detection is None:
            self._hearing.detect_no_turns()
            return
        self._hearing.detect_turns(
            silence=detection.get("silence_duration_ms", 500) / 1000,
            prefix=detection.get("prefix_padding_ms", 300) / 1000,
        )

    async def _append(self, audio: object) -> None:
        if not isinstance(audio, str):
            raise Rejected(
                "Missing required parameter: 'audio'.",
                code="missing_required_parameter",
                param="audio",
            )
        try:
            pcm = base64.b64decode(audio, validate=True)
        except binascii.Error:
            raise Rejected(
                "Invalid 'audio'. Expected base64-encoded audio bytes.",
                code="invalid_value",
                param="audio",
            ) from None
        if len(pcm) > MAX_APPEND_BYTES:
            raise Rejected("Too much audio.", code="string_above_max_length")
        words = await self._hearing.feed(pcm)
        if self._settings.streaming:
            for word in words:
                await self._delta(self._open_item(), f" {word}" if self._said else word)
                self._said = True
        for turn in await self._hearing.take_turns():
            at = round(turn.at * 1000)
            if turn.started:
                await self._send(
                    "input_audio_buffer.speech_started",
                    audio_start_ms=at,
                    item_id=self._open_item(),
                )
                continue
            await self._send(
                "input_audio_buffer.speech_stopped",
                audio_end_ms=at,
                item_id=self._open_item(),
            )
            await self._commit()

    async def _commit(self) -> None:
        seconds = self.seconds - self._buffer_start
        if seconds < MIN_COMMIT_SECONDS:
            raise Rejected(
                "Error committing input audio buffer: buffer too small. Expected at "
                f"least 100ms of audio, but buffer only has {seconds * 1000:.2f}ms of "
                "audio.",
                code="input_audio_buffer_commit_empty",
            )
        item, previous = self._open_item(), self._previous
        await self._send(
            "input_audio_buffer.committed", item_id=item, previous_item_id=previous
        )
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self._send(kind, previous_item_id=previous, item=_item(item))
        self._previous = item
        words = self._hearing.take_words()
        if self._settings.model is not None:
            self._plan(item, words, seconds)
        self._begin_buffer()

    def _plan(self, item: str, words: list[str], seconds: float) -> None:
        completed: dict[str, Any] = {
            "transcript": " ".join(words),
            "usage": {"type": "duration", "seconds": seconds},
        }
        deltas: list[str] = []
        if not self._settings.streaming:
            deltas = [f" {word}" if at else word for at, word in enumerate(words)]
            tokens = {"input_tokens": round(seconds * 10), "output_tokens": len(words)}
            total = sum(tokens.values())
            completed["usage"] = {"type": "tokens", "total_tokens": total, **tokens}
        if self._settings.model in CONTEXTUAL and not self._settings.streaming:
            completed["languages"] = [{"code": "en"}]
        events = [
            self._event(f"{_TRANSCRIPTION}.delta", **_content(item), delta=delta)
            for delta in deltas
        ]
        events.append(
            self._event(f"{_TRANSCRIPTION}.completed", **_content(item), **completed)
        )
        error = {
            "type": "server_error",
            "code": "audio_unintelligible",
            "message": "The audio could not be transcribed.",
            "param": None,
        }
        failed = self._event(f"{_TRANSCRIPTION}.failed", **_content(item), error=error)
        self._transcripts.plan(events, failed=[failed])

    def _open_item(self) -> str:
        if self._item is None:
            self._items += 1
            self._item = f"item_{self._items:04}"
        return self._item

    def _begin_buffer(self) -> None:
        self._item = None
        self._said = False
        self._hearing.take_words()
        self._buffer_start = self.seconds

    async def _delta(self, item: str, text: str) -> None:
        await self._send(f"{_TRANSCRIPTION}.delta", **_content(item), delta=text)

    async def _error(self, exc: Rejected, event_id: object = None) -> None:
        error = {
            "type": "invalid_request_error",
            "code": exc.code,
            "message": exc.message,
            "param": exc.param,
            "event_id": event_id,
        }
        await self._send("error", error=error)

    async def _send(self, kind: str, **fields: object) -> None:
        await self._setup.send(self._event(kind, **fields))

    def _event(self, kind: str, **fields: object) -> dict[str, object]:
        self._events += 1
        return {"type": kind, "event_id": f"event_{self._events:06}", **fields}

    def _session(self) -> dict[str, object]:
        if self._conversation:
            return {
                "type": "realtime",
                "object": "realtime.session",
                "id": "sess_0001",
                "model": REALTIME_MODEL,
            }
        settings = self._settings
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": "sess_0001",
            "expires_at": int(time.time()) + 3600,
            "audio": {
                "input": {
                    "format": settings.format,
                    "transcription": settings.transcription,
                    "noise_reduction": settings.noise_reduction,
                    "turn_detection": settings.turn_detection,
                }
            },
            "include": None,
        }


def _content(item: str) -> dict[str, Any]:
    return {"item_id": item, "content_index": 0}


def _item(item: str) -> dict[str, object]:
    return {
        "id": item,
        "type": "message",
        "object": "realtime.item",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
