"""
The protocol between the daemon and an ASR worker: framing and messages, no I/O.

A message is a header (length of the payload, kind, session; little-endian) and a
payload: PCM behind its start time for audio, JSON for the rest. Both sides are ours
and of one version; a message that doesn't fit the rules ends the connection.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import struct
from collections.abc import Mapping
from typing import Any

from captiond.events import MediaTime, Word
from captiond.live.session import (
    Closed,
    Flushed,
    Hypothesis,
    Opened,
    SessionError,
    SessionEvent,
    Settled,
    SpeechEnded,
    SpeechStarted,
)
from captiond.media.chunk import BYTES_PER_SAMPLE

HEADER = struct.Struct("<IBI")
START = struct.Struct("<d")

MAX_PAYLOAD_BYTES = 1 << 20
"""Largest payload: 32 seconds of audio, far more than a chunk or a line of text."""

BAD_MESSAGE_STATUS = 3
"""A worker's exit status after something that is not a message."""

MEMORY_STATUS = 4
"""A worker's exit status when its memory grew beyond its bound."""

NO_SESSION = 0
"""Session of messages about the worker as a whole."""


class ProtocolError(Exception):
    """The other side sent something that is not a message."""


class Kind(enum.IntEnum):
    """What a message is about."""

    OPEN = 1
    """To the worker: a session begins."""

    AUDIO = 2
    """To the worker: start time and PCM."""

    FLUSH = 3
    """To the worker: finish what was sent; answered by a flushed event."""

    CLOSE = 4
    """To the worker: finish what was sent, then forget; answered by a closed event."""

    ABANDON = 5
    """To the worker: forget the session; not answered."""

    READY = 16
    """To the daemon: the model is loaded."""

    EVENT = 17
    """To the daemon: a session event."""

    USAGE = 18
    """To the daemon: CPU time and busy time so far, once a second: the heartbeat."""


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message as it travels."""

    kind: Kind
    session: int = NO_SESSION
    payload: bytes = b""

    def encode(self) -> bytes:
        """
        Return the message's bytes.

        Raises:
            ValueError: If the payload is larger than the other side takes.

        """
        if len(self.payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(
                f"a payload has at most {MAX_PAYLOAD_BYTES} bytes, "
                f"not {len(self.payload)}"
            )
        return HEADER.pack(len(self.payload), self.kind, self.session) + self.payload


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerUsage:
    """What a worker has consumed since it was started."""

    cpu_seconds: float
    busy_seconds: float
    """Wall time spent in the model."""


class Decoder:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """
        Take bytes in and return the messages they complete.

        Raises:
            ProtocolError: If the bytes are not messages; the connection must close.

        """
        self._buffer += data
        messages: list[Message] = []
        at = 0
        while len(self._buffer) - at >= HEADER.size:
            length, kind, session = HEADER.unpack_from(self._buffer, at)
            if length > MAX_PAYLOAD_BYTES:
                raise ProtocolError(f"a payload of {length} bytes is too large")
            end = at + HEADER.size + length
            if len(self._buffer) < end:
                break
            payload = bytes(self._buffer[at + HEADER.size : end])
            messages.append(Message(_kind(kind), session, payload))
            at = end
        del self._buffer[:at]
        return messages


def encode_audio(session: int, start: MediaTime, pcm: bytes) -> bytes:
    """Return an audio message's bytes."""
    return Message(Kind.AUDIO, session, START.pack(start) + pcm).encode()


def decode_audio(payload: bytes) -> tuple[MediaTime, bytes]:
    """
    Return the start time and PCM of an audio message.

    Raises:
        ProtocolError: If the payload is not a time and whole samples.

    """
    size = len(payload) - START.size
    if size < 0 or size % BYTES_PER_SAMPLE:
        raise ProtocolError(f"audio of {len(payload)} bytes is not whole samples")
    return MediaTime(START.unpack_from(payload)[0]), payload[START.size :]


def encode_usage(usage: WorkerUsage) -> bytes:
    """Return a usage message's bytes."""
    return Message(Kind.USAGE, NO_SESSION, _json(dataclasses.asdict(usage))).encode()


def decode_usage(payload: bytes) -> WorkerUsage:
    """
    Return what a usage message says.

    Raises:
        ProtocolError: If the payload says something else.

    """
    try:
        return WorkerUsage(**_object(payload))
    except TypeError as exc:
        raise ProtocolError(f"not a usage: {exc}") from exc


_EVENTS: Mapping[str, type[SessionEvent]] = {
    "opened": Opened,
    "speech_started": SpeechStarted,
    "speech_ended": SpeechEnded,
    "hypothesis": Hypothesis,
    "settled": Settled,
    "flushed": Flushed,
    "error": SessionError,
    "closed": Closed,
}
_NAMES = {kind: name for name, kind in _EVENTS.items()}


def encode_event(session: int, event: SessionEvent) -> bytes:
    """Return a session event's bytes; only events that a worker sends are known."""
    fields = dataclasses.asdict(event)
    fields["event"] = _NAMES[type(event)]
    return Message(Kind.EVENT, session, _json(fields)).encode()


def decode_event(payload: bytes) -> SessionEvent:
    """
    Return the session event of an event message.

    Raises:
        ProtocolError: If the payload is no event that a worker sends.

    """
    fields = _object(payload)
    kind = _EVENTS.get(str(fields.pop("event", "")))
    if kind is None:
        raise ProtocolError("an event of unknown kind")
    try:
        if kind is Hypothesis:
            fields["words"] = tuple(Word(**word) for word in fields["words"])
        return kind(**fields)
    except (TypeError, KeyError) as exc:
        raise ProtocolError(f"not a {_NAMES[kind]} event: {exc}") from exc


def _kind(value: int) -> Kind:
    try:
        return Kind(value)
    except ValueError as exc:
        raise ProtocolError(f"no message is of kind {value}") from exc


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError as exc:
        raise ProtocolError(f"not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise ProtocolError("not a JSON object")
    return value
