"""Tests of what can go wrong with a publisher's video: it never costs the audio."""

from __future__ import annotations

import asyncio
import fractions
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import av
import pytest
from aiortc import rtcrtpreceiver
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from captiond.ingest import pictures
from captiond.media.picture import PictureError, encode_jpeg
from tests.harness import until
from tests.video_publisher import publishing


class PacketTrack(MediaStreamTrack):
    """Sends payloads that were encoded elsewhere, twenty a second."""

    kind = "video"

    def __init__(self, payloads: Iterator[bytes]) -> None:
        super().__init__()
        self._payloads = payloads
        self._number = 0

    async def recv(self) -> av.Packet[Any]:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(0.05)
        packet = av.Packet(next(self._payloads))
        packet.pts = self._number
        packet.time_base = fractions.Fraction(1, 20)
        self._number += 1
        return packet


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a stall a matter of half a second."""
    monkeypatch.setattr(pictures, "STALL", 0.5)
    monkeypatch.setattr(pictures, "LOOK", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_a_lost_packet_costs_no_more_than_a_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A packet that never comes would hold all later ones up; we start over."""
    async with publishing() as session:
        await until(lambda: session.sink.images)
        retransmitted = asyncio.Event()

        async def retransmit(sequence_number: int) -> None:
            retransmitted.set()

        monkeypatch.setattr(session.video, "_retransmit", retransmit)
        transport = session.video.transport
        send = transport._send_rtp
        lost: list[bytes] = []

        async def lose_one(data: bytes) -> None:
            ssrc = data[8:12]
            if not lost and ssrc == session.video._ssrc.to_bytes(4, "big"):
                lost.append(data)
            else:
                await send(data)

        monkeypatch.setattr(transport, "_send_rtp", lose_one)
        before = len(session.sink.images)
        await until(lambda: session.discarded("stalled"))
        await until(lambda: len(session.sink.images) > before + 1)
        await session.audio_goes_on()

    assert lost
    assert retransmitted.is_set()


async def test_garbage_ends_nothing() -> None:
    """Payloads that claim to be key frames, and are not, cost only pictures."""
    start = b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"
    garbage = (start + bytes([number % 256]) * 300 for number in itertools.count())
    async with publishing(video=PacketTrack(garbage)) as session:
        await until(lambda: session.discarded("undecodable") >= 3)
        await session.audio_goes_on()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("impatient")
async def test_a_dead_decoder_thread_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """aiortc's thread dies of what it doesn't expect; the audio doesn't."""

    class Broken:
        def decode(self, frame: Any) -> Any:
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(rtcrtpreceiver, "get_decoder", lambda codec: Broken())
    async with publishing() as session:
        await until(lambda: session.discarded("decoder_failed"))
        session.sink.wanted = False
        await session.audio_goes_on()
        session.sink.wanted = True
        await session.audio_goes_on()

    assert session.discarded("decoder_failed") == 1
    assert session.sampled == 0


async def test_a_bug_in_the_receive_path_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception would end the whole connection; it is counted and logged."""

    def add(self: object, packet: object) -> bool:
        raise IndexError("a bug")

    monkeypatch.setattr(rtcrtpreceiver.NackGenerator, "add", add)
    async with publishing() as session:
        await until(lambda: session.discarded("failed") >= 3)
        await session.audio_goes_on()

    assert session.sampled == 0


async def test_video_that_ends_ends_nothing_else() -> None:
    """A sender may stop its camera (RTCP BYE) and go on speaking."""
    async with publishing() as session:
        await until(lambda: session.sink.images)
        task = session.peer._picture_task
        assert task is not None
        await session.video.stop()
        await until(task.done)
        await session.audio_goes_on()

    assert session.discarded("failed") == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PictureError("too large"), "not_encodable"), (MemoryError("full"), "failed")],
)
async def test_a_picture_that_fails_is_one_picture(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is made all the same."""
    errors = [error]

    def fail_once(frame: av.VideoFrame) -> bytes:
        if errors:
            raise errors.pop()
        return encode_jpeg(frame)

    monkeypatch.setattr(pictures, "encode_jpeg", fail_once)
    async with publishing() as session:
        await until(lambda: session.sink.images)

        assert session.discarded(reason) == 1


async def test_a_slow_encoder_is_not_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one picture is encoded at a time; others are left out."""
    release = threading.Event()
    running: list[None] = []

    def block(frame: av.VideoFrame) -> bytes:
        running.append(None)
        release.wait(10)
        return b"\xff\xd8"

    monkeypatch.setattr(pictures, "encode_jpeg", block)
    async with publishing() as session:
        try:
            await until(lambda: session.discarded("encoder_busy") >= 1)
            once = len(running)
        finally:
            release.set()
        await until(lambda: session.sink.images)
        await session.audio_goes_on()

    assert once == 1


async def test_a_picture_nobody_wants_any_more_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is encoded when the last one looks away reaches nobody."""
    release = threading.Event()
    running = threading.Event()

    def block(frame: av.VideoFrame) -> bytes:
        running.set()
        release.wait(10)
        return b"\xff\xd8"

    monkeypatch.setattr(pictures, "encode_jpeg", block)
    async with publishing() as session:
        try:
            await until(running.is_set)
            session.sink.wanted = False
            await session.audio_goes_on()
        finally:
            release.set()
        await until(lambda: session.discarded("no_longer_wanted"))

    assert session.sink.images == []
