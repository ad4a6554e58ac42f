"""The caption stream, parsed."""

from __future__ import annotations

import json

import pytest

from captiond.cli.messages import (
    Caption,
    Gap,
    Hello,
    MessageError,
    Status,
    Unknown,
    parse,
)

CAPTION = {
    "v": 1,
    "type": "caption",
    "stream": "demo",
    "epoch": "m2k9",
    "seq": 42,
    "cue": 17,
    "rev": 3,
    "state": "interim",
    "start": 12.34,
    "end": 14.02,
    "text": "it was the age of",
    "stable": 10,
    "words": [],
    "latency_ms": 412,
}


def test_caption() -> None:
    """A caption keeps its place; latency is in seconds."""
    received = parse(json.dumps(CAPTION), at=5.0)

    assert received.at == pytest.approx(5)
    assert received.message == Caption(
        epoch="m2k9",
        seq=42,
        cue=17,
        final=False,
        start=12.34,
        end=14.02,
        text="it was the age of",
        stable=10,
        latency=0.412,
    )


def test_caption_without_latency() -> None:
    """An unknown latency stays unknown."""
    message = parse(json.dumps(CAPTION | {"latency_ms": None}), at=0).message

    assert isinstance(message, Caption)
    assert message.latency is None


def test_other_types() -> None:
    """hello, gap and status are known; a new type is kept by its name."""
    head = {"epoch": "e", "seq": 3, "stream": "s"}

    assert isinstance(parse(json.dumps(head | {"type": "hello"}), at=0).message, Hello)
    gap = head | {"type": "gap", "start": 1, "end": 2, "reason": "loss"}
    assert isinstance(parse(json.dumps(gap), at=0).message, Gap)
    status = head | {"type": "status", "state": "live"}
    assert isinstance(parse(json.dumps(status).encode(), at=0).message, Status)
    assert parse('{"type":"session"}', at=0).message == Unknown(type="session")


@pytest.mark.parametrize(
    "raw", ["", "[]", "null", "{}", '{"type":"caption"}', '{"type":"gap","seq":"x"}']
)
def test_bad_messages(raw: str) -> None:
    """Whatever is wrong, the error says what came."""
    with pytest.raises(MessageError, match="not a message of the caption stream"):
        parse(raw, at=0)
