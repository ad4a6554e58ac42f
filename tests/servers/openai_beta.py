"""
The first, flat schema of the protocol, as speaches serves it.

speaches puts the model into the URL, answers a rejected field and takes the others,
counts the milliseconds of speech from the start of its buffer and not of the session,
and tells failures without saying which item failed. LocalAI, which shares the event
names, says another item in the transcript than in the commit: see ``strange_items``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from tests.servers.openai_hearing import Hearing, PeerSetup, Transcripts

RATE = 24_000

MIN_COMMIT_MS = 100

_CLIENT_EVENTS = (
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
)
_FIXED = ("input_audio_format", "output_audio_format")


def refuse(query: Mapping[str, str], authorization: str | None, key: str) -> int | None:
    """Return the HTTP status with which a handshake is refused, if it is."""
    if "model" not in query:
        return 403
    return 403 if key and authorization != f"Bearer {key}" else None


class BetaPeer:
    """
    The server's side of one session.

    Args:
        setup: Of the connection.
        partials: Whether it tells what it believes of an item that isn't committed;
            later releases of speaches do, with their own turn detection.
        strange_items: Whether transcripts carry items that nobody has heard of.

    """

    def __init__(
        self, setup: PeerSetup, *, partials: bool = False, strange_items: bool = False
    ) -> None:
        self._setup = setup
        self._partials = partials
        self._strange_items = strange_items
        self._hearing = Hearing(setup.programme, rate=RATE)
        self._transcripts = Transcripts(setup)
        self._turn_detection: dict[str, Any] | None = {
            "type": "server_vad",
            "threshold": 0.6,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 350,
            "create_response": setup.query.get("intent") != "transcription",
        }
        self._transcription: dict[str, Any] = {
            "model": setup.query["model"],
            "language": setup.query.get("language"),
        }
        self._detect_turns()
        self._events = 0
        self._items = 1
        self._previous: str | None = None
        self._buffer_start = 0.0

    @property
    def seconds(self) -> float:
        """Return how much audio came."""
        return self._hearing.seconds

    async def open(self) -> bool:
        """Begin; return whether there is a session."""
        await self._send("session.created", session=self._session())
        return True

    async def receive(self, message: Mapping[str, Any]) -> None:
        """Take a message from the client."""
        kind = message.get("type")
        if kind not in _CLIENT_EVENTS:
            await self._error("Invalid client event: 1 validation error(s)")
        elif kind == "session.update":
            await self._update(message.get("session"))
        elif kind == "input_audio_buffer.append":
            await self._append(message.get("audio"))
        elif kind == "input_audio_buffer.commit":
            await self._commit_by_client()
        else:
            await self._hearing.finish()
            self._begin_buffer()
            await self._send("input_audio_buffer.cleared")

    async def _update(self, session: object) -> None:
        if not isinstance(session, dict):
            await self._error("Invalid client event: 1 validation error(s)")
            return
        detection = session.get("turn_detection", {})
        rejected = [name for name in _FIXED if name in session]
        if detection and "prefix_padding_ms" in detection:
            rejected.append("turn_detection.prefix_padding_ms")
        for name in rejected:
            await self._error(
                f"Specifying `session.{name}` is not supported. The server either does "
                "not support this field or it is not configurable."
            )
        self._transcription |= session.get("input_audio_transcription", {})
        self._set_turn_detection(detection)
        if not self._setup.faults.take("no_session_updated"):
            await self._send("session.updated", session=self._session())

    def _set_turn_detection(self, detection: Mapping[str, Any] | None) -> None:
        before = self._turn_detection
        if detection is None or before is None:
            self._turn_detection = dict(detection) if detection else None
        else:
            changed = {k: v for k, v in detection.items() if k != "prefix_padding_ms"}
            self._turn_detection = before | changed
        if self._turn_detection != before:
            self._detect_turns()

    async def _append(self, audio: object) -> None:
        try:
            pcm = base64.b64decode(str(audio), validate=True)
        except binascii.Error:
            return  # the server only logs it
        await self._hearing.feed(pcm)
        for turn in await self._hearing.take_turns():
            at = round((turn.at - self._buffer_start) * 1000)
            kind, name = (
                ("speech_started", "audio_start_ms")
                if turn.started
                else ("speech_stopped", "audio_end_ms")
            )
            fields = {name: at, "item_id": self._item}
            await self._send(f"input_audio_buffer.{kind}", **fields)
            if not turn.started:
                await self._commit()
        if self._partials and self._hearing.speaking and self._hearing.words:
            await self._send(
                "input_audio_buffer.partial_transcription",
                item_id=self._item,
                transcript=" ".join(self._hearing.words),
            )

    async def _commit_by_client(self) -> None:
        duration = round((self.seconds - self._buffer_start) * 1000)
        if duration < MIN_COMMIT_MS:
            await self._error(
                "Error committing input audio buffer: buffer too small. Expected at "
                f"least {MIN_COMMIT_MS}ms of audio, but buffer only has "
                f"{duration}.00ms of audio."
            )
            return
        await self._hearing.finish()
        await self._commit()

    async def _commit(self) -> None:
        item = self._item
        await self._send(
            "input_audio_buffer.committed",
            item_id=item,
            previous_item_id=self._previous,
        )
        said = f"strange_{self._items:04}" if self._strange_items else item
        created = self._event(
            "conversation.item.created",
            previous_item_id=self._previous,
            item={
                "id": said,
                "object": "realtime.item",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_audio", "transcript": None}],
            },
        )
        completed = self._event(
            "conversation.item.input_audio_transcription.completed",
            item_id=said,
            content_index=0,
            transcript=" ".join(self._hearing.words),
            usage={"type": "duration", "seconds": self.seconds - self._buffer_start},
        )
        failed = self._event(
            "error",
            error={
                "type": "server_error",
                "message": "Transcription failed",
                "code": None,
                "event_id": None,
                "param": None,
            },
        )
        self._transcripts.plan([created, completed], failed=[created, failed])
        self._previous = item
        self._begin_buffer()

    @property
    def _item(self) -> str:
        return f"item_{self._items:04}"

    def _begin_buffer(self) -> None:
        self._items += 1
        self._hearing.take_words()
        self._buffer_start = self.seconds

    def _detect_turns(self) -> None:
        if self._turn_detection is None:
            self._hearing.detect_no_turns()
            return
        silence = self._turn_detection.get("silence_duration_ms", 350)
        self._hearing.detect_turns(silence=silence / 1000, prefix=0.3)

    async def _error(self, message: str) -> None:
        error = {
            "type": "invalid_request_error",
            "message": message,
            "code": None,
            "event_id": None,
            "param": None,
        }
        await self._send("error", error=error)

    async def _send(self, kind: str, **fields: object) -> None:
        await self._setup.send(self._event(kind, **fields))

    def _event(self, kind: str, **fields: object) -> dict[str, object]:
        self._events += 1
        return {"type": kind, "event_id": f"event_{self._events:06}", **fields}

    def _session(self) -> dict[str, object]:
        return {
            "id": "sess_0001",
            "model": "gpt-4o-realtime-preview",
            "modalities": ["audio", "text"],
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm16",
            "input_audio_transcription": self._transcription,
            "turn_detection": self._turn_detection,
            "tools": [],
        }
