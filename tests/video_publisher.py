"""aiortc publishing silence and coloured pictures to a real peer, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack

from captiond.cli.paced_track import PacedTrack, PacedVideoTrack
from captiond.cli.video_file import TEST_COLOURS, TimedFrame, solid
from captiond.config import Audio, Config
from captiond.events import MediaTime
from captiond.ingest import guards
from captiond.ingest.offer import parse_offer
from captiond.ingest.peer import Peer
from captiond.live.session import VideoImage
from captiond.media.audio_path import Output
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics
from tests.harness import until

RATE = 10
"""Frames a second that the publisher sends."""

COLOURS = tuple(TEST_COLOURS)


class Recorder:
    """Takes what a publisher sends."""

    def __init__(self) -> None:
        self.wanted = False
        self.images: list[VideoImage] = []
        self.heard = 0.0
        self.began: float | None = None

    def connected(self, peer: Peer) -> None:
        """Nothing depends on it."""

    def origin(self, peer: Peer, arrival: float) -> MediaTime:
        if self.began is None:
            self.began = arrival
        return MediaTime(arrival - self.began)

    def receive(self, peer: Peer, outputs: list[Output]) -> None:
        self.heard += sum(
            each.duration for each in outputs if isinstance(each, AudioChunk)
        )

    def wants_pictures(self, peer: Peer) -> bool:
        return self.wanted

    def picture(self, peer: Peer, image: VideoImage) -> None:
        self.images.append(image)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """A publisher and what it publishes to."""

    sink: Recorder
    peer: Peer
    metrics: Metrics
    video: RTCRtpSender

    @property
    def sampled(self) -> float:
        """Pictures that were made."""
        return self._value("captiond_pictures_sampled_total", {})

    def discarded(self, reason: str) -> float:
        """Frames that were not used, by reason."""
        return self._value("captiond_pictures_discarded_total", {"reason": reason})

    async def audio_goes_on(self) -> None:
        """Wait for another half second of audio."""
        heard = self.sink.heard
        await until(lambda: self.sink.heard > heard + 0.5)
        assert self.peer.is_connected

    def _value(self, name: str, labels: dict[str, str]) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def colours(width: int, height: int) -> Iterator[TimedFrame]:
    """Return frames of a colour that changes each second."""
    for number in itertools.count():
        name = COLOURS[number // RATE % len(COLOURS)]
        yield number / RATE, solid(width, height, TEST_COLOURS[name])


@contextlib.asynccontextmanager
async def publishing(
    codec: str = "VP8", *, video: MediaStreamTrack | None = None, wanted: bool = True
) -> AsyncIterator[Session]:
    """Publish silence and video to a peer."""
    metrics = Metrics()
    guards.install(metrics)
    guards.use_addresses(("127.0.0.1",))
    audio = PacedTrack(itertools.repeat(bytes(1920)))
    video = video or PacedVideoTrack(colours(960, 540), audio)
    connection = RTCPeerConnection(
        RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    )
    connection.addTransceiver(audio, direction="sendonly")
    transceiver = connection.addTransceiver(video, direction="sendonly")
    transceiver.setCodecPreferences(
        [
            each
            for each in RTCRtpSender.getCapabilities("video").codecs
            if each.mimeType == f"video/{codec}"
        ]
    )
    await connection.setLocalDescription(await connection.createOffer())
    sink = Recorder()
    sink.wanted = wanted
    peer = Peer(
        "demo",
        parse_offer(connection.localDescription.sdp),
        sink,
        config=Config(audio=Audio(chunk_ms=100)),
        metrics=metrics,
    )
    answer = await peer.answer()
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    running = asyncio.create_task(peer.run())
    try:
        await until(lambda: sink.heard)
        yield Session(sink=sink, peer=peer, metrics=metrics, video=transceiver.sender)
    finally:
        peer.end("the test is over")
        await running
        await connection.close()
