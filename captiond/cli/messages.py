"""
The caption stream and the control channel, as those see them who read.

Parsing is strict about what it needs and lenient about the rest: unknown keys are
ignored and unknown types are kept, so that an older reader follows a newer daemon.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from captiond.errors import CaptiondError


class MessageError(CaptiondError):
    """What the server sent is not a message of the caption stream."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First message of a connection: where the log stands."""

    stream: str
    epoch: str
    seq: int
    state: str
    after: int
    """Sequence number after which the durable events of this connection begin."""

    lost: str | None
    """What can't be replayed any more, as text; None when nothing is missing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """The text of a cue; times are seconds on the stream's media clock."""

    epoch: str
    seq: int
    cue: int
    final: bool
    start: float
    end: float
    text: str
    stable: int
    """Characters at the start of the text that will not change any more."""

    latency: float | None
    """Seconds from the arrival of the cue's last sample, as the daemon saw it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Audio that never arrived."""

    epoch: str
    seq: int
    start: float
    end: float
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The stream's state changed."""

    epoch: str
    seq: int
    state: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the live session did besides captioning."""

    event: str
    body: Mapping[str, Any]
    """The whole message; what is in it depends on the event."""

    epoch: str = ""
    seq: int | None = None
    """None on the control channel, whose session events are not numbered."""

    def text(self, key: str) -> str:
        """Return a value as text; empty if there is none."""
        value = self.body.get(key)
        return "" if value is None else str(value)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """A request was accepted."""

    request: str
    id: str | int | None
    done: bool | None
    """Of a flush: whether it was answered in time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A request can't be done."""

    code: str
    detail: str
    id: str | int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A message of a type that this reader doesn't know."""

    type: str


Message = Hello | Caption | Gap | Status | Session | Ack | Refused | Unknown


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message, the text it came as, and the monotonic time of its arrival."""

    at: float
    raw: str
    message: Message


def parse(raw: str | bytes, *, at: float) -> Received:
    """
    Parse one message that arrived at monotonic time ``at``.

    Raises:
        MessageError: If it is not JSON, or misses what its type must have.

    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    try:
        body = json.loads(text)
        message = _message(body)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise MessageError(
            f"not a message of the caption stream ({exc!r}): {text[:200]!r}"
        ) from exc
    return Received(at=at, raw=text, message=message)


def _message(body: dict[str, Any]) -> Message:
    kind = str(body["type"])
    if kind == "hello":
        return Hello(
            stream=str(body["stream"]),
            epoch=str(body["epoch"]),
            seq=int(body["seq"]),
            state=str(body.get("state", "")),
            after=int(body.get("after", body["seq"])),
            lost=json.dumps(body["lost"]) if body.get("lost") else None,
        )
    if kind not in ("caption", "gap", "status"):
        return _control_message(kind, body) or Unknown(type=kind)
    epoch, seq = str(body["epoch"]), int(body["seq"])
    if kind == "gap":
        return Gap(
            epoch=epoch,
            seq=seq,
            start=float(body["start"]),
            end=float(body["end"]),
            reason=str(body.get("reason", "")),
        )
    if kind == "status":
        return Status(
            epoch=epoch,
            seq=seq,
            state=str(body["state"]),
            reason=str(body.get("reason") or ""),
        )
    latency = body.get("latency_ms")
    return Caption(
        epoch=epoch,
        seq=seq,
        cue=int(body["cue"]),
        final=body["state"] == "final",
        start=float(body["start"]),
        end=float(body["end"]),
        text=str(body["text"]),
        stable=int(body.get("stable", 0)),
        latency=None if latency is None else float(latency) / 1000,
    )


def _control_message(kind: str, body: dict[str, Any]) -> Session | Ack | Refused | None:
    if kind == "session" and "event" in body:
        seq = body.get("seq")
        return Session(
            event=str(body["event"]),
            body=body,
            epoch=str(body.get("epoch", "")),
            seq=None if seq is None else int(seq),
        )
    if kind == "ack":
        return Ack(
            request=str(body["request"]), id=body.get("id"), done=body.get("done")
        )
    if kind in ("error", "unsupported"):
        return Refused(
            code=str(body.get("code", kind)),
            detail=str(body["detail"]),
            id=body.get("id"),
        )
    return None
