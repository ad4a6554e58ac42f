"""Tests of the framing between daemon and worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiond.engines.moonshine.protocol import (
    HEADER,
    MAX_PAYLOAD_BYTES,
    Decoder,
    Kind,
    Message,
    ProtocolError,
    WorkerUsage,
    decode_audio,
    decode_event,
    decode_usage,
    encode_audio,
    encode_event,
    encode_usage,
)
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

EVENTS: list[SessionEvent] = [
    Opened(engine="moonshine/tiny-en"),
    SpeechStarted(time=MediaTime(1.5)),
    SpeechEnded(time=MediaTime(2.5)),
    Hypothesis(
        utterance="u1",
        final=True,
        start=MediaTime(1.5),
        end=MediaTime(2.5),
        text="naïve “café”",
        words=(Word(text="naïve", start=MediaTime(1.5), end=MediaTime(2.0)),),
        heard=100.25,
        produced=100.5,
    ),
    Settled(time=MediaTime(2.35), heard=MediaTime(3.0)),
    Flushed(),
    SessionError(code="engine_failed", reason="why", retryable=True),
    Closed(),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_round_trip(event: SessionEvent) -> None:
    """A session event arrives as it was sent."""
    [message] = Decoder().feed(encode_event(7, event))

    assert (message.kind, message.session) == (Kind.EVENT, 7)
    assert decode_event(message.payload) == event


def test_audio_round_trip() -> None:
    """Audio arrives with its start time, to the bit."""
    [message] = Decoder().feed(encode_audio(3, MediaTime(1.04), b"\x01\x02" * 640))

    assert (message.kind, message.session) == (Kind.AUDIO, 3)
    assert decode_audio(message.payload) == (1.04, b"\x01\x02" * 640)


def test_usage_round_trip() -> None:
    """Usage arrives as it was sent."""
    usage = WorkerUsage(cpu_seconds=1.5, busy_seconds=1.25)
    [message] = Decoder().feed(encode_usage(usage))

    assert decode_usage(message.payload) == usage


@given(sizes=st.lists(st.integers(1, 50), min_size=1))
def test_decoder_takes_any_cut(sizes: list[int]) -> None:
    """It doesn't matter into which pieces the bytes are cut."""
    sent = [
        Message(Kind.OPEN, 1),
        Message(Kind.AUDIO, 2, b"x" * 99),
        Message(Kind.READY),
    ]
    data = b"".join(message.encode() for message in sent)
    decoder = Decoder()
    received: list[Message] = []
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        received += decoder.feed(data[at : at + size])
        at += size

    assert received == sent


def test_encode_refuses_a_large_payload() -> None:
    """A payload that the other side would refuse is not sent."""
    message = Message(Kind.AUDIO, 1, bytes(MAX_PAYLOAD_BYTES + 1))

    with pytest.raises(ValueError, match="at most 1048576 bytes, not 1048577"):
        message.encode()


def test_decoder_refuses_a_large_payload() -> None:
    """A length beyond the limit is refused before the payload is waited for."""
    with pytest.raises(ProtocolError, match="payload of 1048577 bytes is too large"):
        Decoder().feed(HEADER.pack(MAX_PAYLOAD_BYTES + 1, Kind.AUDIO, 1))


def test_decoder_refuses_an_unknown_kind() -> None:
    """A kind that isn't known is refused."""
    with pytest.raises(ProtocolError, match="no message is of kind 99"):
        Decoder().feed(HEADER.pack(0, 99, 1))


@pytest.mark.parametrize("payload", [b"", bytes(7), bytes(9)])
def test_audio_must_be_whole_samples(payload: bytes) -> None:
    """Audio without a start time or with half a sample is refused."""
    with pytest.raises(ProtocolError, match="not whole samples"):
        decode_audio(payload)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "unknown kind"),
        (b'{"event":"gap"}', "unknown kind"),
        (b'{"event":"settled","time":1}', "not a settled event"),
        (b'{"event":"hypothesis"}', "not a hypothesis event"),
        (b'{"event":"closed","more":1}', "not a closed event"),
    ],
)
def test_events_must_be_events(payload: bytes, reason: str) -> None:
    """What is no event that a worker sends is refused."""
    with pytest.raises(ProtocolError, match=reason):
        decode_event(payload)


def test_usage_must_be_usage() -> None:
    """A usage with other fields is refused."""
    with pytest.raises(ProtocolError, match="not a usage"):
        decode_usage(b'{"memory":1}')
