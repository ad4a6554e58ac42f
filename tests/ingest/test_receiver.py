"""Tests of the video gate, with scripted packets on a real aiortc receiver."""

from __future__ import annotations

import queue
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from av import VideoFrame

from captiond.clock import monotonic
from captiond.ingest import receiver as taps
from captiond.ingest.receiver import MAX_WAITING_FRAMES, VideoGate

PAYLOAD_TYPE = 97
FRAME_TICKS = 3000
KEY = b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"
"""Begin of a VP8 key frame of 320x240."""
INTER = b"\x11\x00\x00" + bytes(20)


class Script:
    """A gate, and a sender of one packet a frame."""

    def __init__(self, receiver: Any) -> None:
        self.receiver = receiver
        self.dropped: list[str] = []
        codecs = self.private("codecs")
        codecs[PAYLOAD_TYPE] = RTCRtpCodecParameters(
            mimeType="video/VP8", clockRate=90_000, payloadType=PAYLOAD_TYPE
        )
        self.gate = VideoGate(
            receiver,
            lambda reason, exc: self.dropped.append(reason),
        )
        self.number = 65_530

    def private(self, name: str) -> Any:
        return getattr(self.receiver, f"_RTCRtpReceiver__{name}")

    def packet(self, data: bytes) -> RtpPacket:
        """Return the next frame's packet."""
        packet = RtpPacket(
            payload_type=PAYLOAD_TYPE,
            sequence_number=self.number % 0x10000,
            timestamp=self.number * FRAME_TICKS % 0x100000000,
            ssrc=1,
            payload=b"\x10" + data,
        )
        packet._data = data  # type: ignore[attr-defined]
        self.number += 1
        return packet

    def send(self, *frames: bytes) -> list[tuple[bool, bytes | None]]:
        """Send frames; return of each whether we asked, and what is to be decoded."""
        results = []
        for data in frames:
            asks, frame = self.gate.add(self.packet(data))
            results.append((asks, None if frame is None else frame.data))
        return results

    def lose(self, count: int = 1) -> None:
        """Let packets never come."""
        self.number += count


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """Return a script on a new receiver."""
    connection = RTCPeerConnection()
    receiver = connection.addTransceiver("video", direction="recvonly").receiver
    yield Script(receiver)
    await connection.close()


async def test_frames_pass_from_the_first_key_frame_on(script: Script) -> None:
    """One key frame is asked for; a frame is complete when the next begins."""
    script.gate.open()
    results = script.send(INTER, INTER, KEY, INTER, INTER)

    assert [asks for asks, _ in results] == [True, False, False, False, False]
    assert [data for _, data in results] == [None, None, None, KEY, INTER]
    assert script.dropped == ["no_key_frame", "no_key_frame"]
    assert script.gate.frames_begun == 5


async def test_a_closed_gate_looks_at_nothing(script: Script) -> None:
    """aiortc's own handling isn't reached, so nothing is counted or asked."""
    handle = script.receiver._handle_rtp_packet
    await handle(script.packet(KEY), arrival_time_ms=0)
    closed = script.gate.frames_begun
    script.gate.open()
    await handle(script.packet(KEY), arrival_time_ms=0)

    assert (closed, script.gate.frames_begun) == (0, 1)


async def test_after_an_error_a_key_frame_is_needed(script: Script) -> None:
    """What follows a broken frame would be decoded to a broken picture."""
    script.gate.open()
    script.send(KEY, INTER)
    script.private("decoder_error").set()
    after = script.send(INTER)
    script.private("decoder_error").clear()
    after += script.send(INTER, KEY, INTER)

    assert [data for _, data in after] == [None, None, None, KEY]
    assert script.dropped == ["undecodable", *["no_key_frame"] * 3]


async def test_a_hole_that_is_given_up_needs_a_key_frame(script: Script) -> None:
    """aiortc goes on behind a lost packet; the pictures would show the loss."""
    script.gate.open()
    script.send(KEY, INTER)
    script.lose()
    results = script.send(*[INTER] * 600)

    assert any(asks for asks, _ in results)
    assert {data for _, data in results[1:]} == {None}
    assert set(script.dropped) == {"no_key_frame"}


async def test_opening_again_forgets_the_time_between(script: Script) -> None:
    """Nothing waits for packets that weren't looked at, or asks for them again."""
    script.gate.open()
    script.send(KEY, INTER, INTER)
    script.gate.close()
    script.lose(40)
    script.gate.open()
    results = script.send(KEY, INTER, INTER)
    generator = script.private("nack_generator")

    assert results == [(True, None), (False, KEY), (False, INTER)]
    assert generator.missing == set()
    assert script.private("remote_streams") == {}


async def test_an_empty_frame_is_kept_from_the_decoder(script: Script) -> None:
    """FFmpeg would take it for the end, and refuse everything that follows."""
    script.gate.open()
    results = script.send(KEY, b"", INTER, INTER)

    assert [data for _, data in results] == [None, KEY, None, INTER]
    assert script.dropped == ["empty"]


async def test_a_decoder_that_is_behind_gets_no_more(script: Script) -> None:
    """The queue is bounded, and closing empties it."""
    waiting = script.private("decoder_queue")
    assert isinstance(waiting, queue.Queue)
    script.gate.open()
    script.send(KEY)
    for _ in range(MAX_WAITING_FRAMES):
        waiting.put(None)
    behind = script.send(INTER, INTER)
    script.gate.close()
    left = waiting.qsize()

    assert behind == [(True, None), (False, None)]
    assert script.dropped == ["decoder_behind", "no_key_frame"]
    assert left == 0


async def test_frames_carry_their_arrival(script: Script) -> None:
    """A decoded frame tells when its first packet came, not when it was complete."""
    before = monotonic()
    script.gate.open()
    script.send(KEY)
    between = monotonic()
    ((_, data),) = script.send(INTER)
    frame = VideoFrame(16, 16)
    frame.pts = script.gate.map(0)
    arrival = script.gate.arrival_of(frame)

    assert data == KEY
    assert before - 1e-4 <= arrival <= between + 1e-4


async def test_timestamps_that_never_make_a_frame_are_forgotten(
    script: Script,
) -> None:
    """Whoever sends only beginnings takes no more memory for it."""
    script.gate.open()
    for _ in range(2000):
        script.lose()
        script.send(INTER)

    assert len(script.gate._arrivals) <= taps.BUFFER_PACKETS


async def test_an_unknown_aiortc_is_refused(script: Script) -> None:
    """What the gate reaches for must be there."""
    with pytest.raises(RuntimeError, match="decoder_queue"):
        VideoGate(object(), lambda reason, exc: None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="jitter_buffer"):
        taps.tap(object(), lambda packet: None)  # type: ignore[arg-type]
