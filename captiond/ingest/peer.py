"""
One publisher's connection: from its offer to the reason why it ended.

Owns the aiortc peer connection, the audio receive path and the task that makes
pictures of the video. Every way to end, wherever it starts, goes through
:meth:`Peer.end`; the connection is closed, and the task ended, in one place.
"""

from __future__ import annotations

import asyncio
import datetime
import secrets
from typing import Protocol

from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from captiond import logs
from captiond.clock import monotonic, utc_now
from captiond.config import Config
from captiond.errors import OfferError
from captiond.events import MediaTime
from captiond.ingest import receiver
from captiond.ingest.answer import repair_answer
from captiond.ingest.fragment import Fragment
from captiond.ingest.meter import AudioPathMeter
from captiond.ingest.offer import Offer
from captiond.ingest.pictures import Pictures
from captiond.ingest.sdp import MAX_CANDIDATES
from captiond.live.session import VideoImage
from captiond.media.audio_path import AudioPath, AudioPathOptions, Output
from captiond.media.chunk import SAMPLE_RATE
from captiond.media.decode import AudioCodec
from captiond.media.reorder import Packet
from captiond.metrics import Metrics

TICK = 0.05
"""Seconds between two looks for overdue packets and silence."""

CLOSE_TIMEOUT = 5.0
"""Seconds that aiortc may take to close."""


class Sink(Protocol):
    """What takes a publisher's audio and pictures."""

    def connected(self, peer: Peer) -> None:
        """The publisher's connection stands; it replaces an older one."""

    def origin(self, peer: Peer, arrival: float) -> MediaTime:
        """Return the media time of the publisher's first sample."""

    def receive(self, peer: Peer, outputs: list[Output]) -> None:
        """Take audio and gaps."""

    def wants_pictures(self, peer: Peer) -> bool:
        """Whether anybody looks at this publisher's video; asked at every tick."""

    def picture(self, peer: Peer, image: VideoImage) -> None:
        """Take a picture."""


class Peer:
    """
    A publisher.

    Args:
        stream: Name of the stream that it publishes.
        offer: Its offer.
        sink: What takes its audio and pictures.
        config: Time-outs and tuning.
        metrics: Where packets and sessions are counted.
        client: What the publisher calls itself, for logs and the API.

    """

    def __init__(
        self,
        stream: str,
        offer: Offer,
        sink: Sink,
        *,
        config: Config,
        metrics: Metrics,
        client: str = "",
    ) -> None:
        # RFC 9725 section 5: session URLs come from a cryptographic source.
        self.id = secrets.token_urlsafe(16)
        self.etag = secrets.token_urlsafe(8)
        self.stream = stream
        self.offer = offer
        self.client = client
        self.since: datetime.datetime = utc_now()
        self.path: AudioPath | None = None
        self._sink = sink
        self._config = config
        self._metrics = metrics
        self._meter = AudioPathMeter(metrics)
        self._pictures: Pictures | None = None
        """Of its video; None if it has none."""
        self._picture_task: asyncio.Task[None] | None = None
        self._codec = AudioCodec[offer.audio_codec.name.upper()]
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.on("connectionstatechange", self._follow_state)
        self._connected = asyncio.Event()
        self._candidates = 0
        self._reason: str | None = None
        self._ended = asyncio.Event()
        self._decided = asyncio.Event()
        """Connected or ended, whichever came first."""
        self._log = logs.get("publisher", stream=stream, session=self.id[:6])

    @property
    def was_connected(self) -> bool:
        """Whether the connection ever stood."""
        return self._connected.is_set()

    @property
    def is_connected(self) -> bool:
        """Whether media can flow."""
        return self._connected.is_set() and not self._ended.is_set()

    async def answer(self) -> str:
        """
        Negotiate, and return the SDP answer.

        Raises:
            OfferError: If aiortc refuses what our own checks let through.

        """
        connection = self._connection
        try:
            await connection.setRemoteDescription(
                RTCSessionDescription(self.offer.sdp, "offer")
            )
            for transceiver in connection.getTransceivers():
                if transceiver.kind == "audio":
                    receiver.tap(transceiver.receiver, self._on_packet)
                else:
                    self._pictures = self._new_pictures(transceiver.receiver)
            await connection.setLocalDescription(await connection.createAnswer())
            return repair_answer(connection.localDescription.sdp, self.offer)
        except BaseException as exc:
            await self._close()
            if not isinstance(exc, Exception):
                raise
            # aiortc raises nine kinds of exceptions on offers it can't serve.
            raise OfferError(
                f"the offer can't be answered: {type(exc).__name__}: {exc}"
            ) from exc

    async def add_candidates(self, fragment: Fragment) -> None:
        """
        Add what the publisher trickles (RFC 8840).

        The end of candidates is not passed on: without a usable one aiortc would give
        up at once, while the publisher's own checks still make the connection.

        Raises:
            OfferError: If there are too many.

        """
        self._candidates += len(fragment.candidates)
        if self._candidates > MAX_CANDIDATES:
            raise OfferError(f"more than {MAX_CANDIDATES} candidates were trickled")
        for line in fragment.candidates:
            candidate = candidate_from_sdp(line)
            candidate.sdpMid = self.offer.tagged_mid
            await self._connection.addIceCandidate(candidate)

    async def run(self) -> str:
        """Receive until the session ends; return why it did. Never raises."""
        self._log.info(
            "publisher opened", client=self.client, codec=self._codec.name.lower()
        )
        if self._pictures is not None:
            self._picture_task = asyncio.create_task(self._pictures.run())
        try:
            await self._connect()
            while not self._ended.is_set():
                await self._tick()
        finally:
            self.finish()
            reason = self._reason or "cancelled"
            self._ended.set()
            await self._close()
            self._metrics.publisher_sessions.labels(
                reason.split(":")[0].replace(" ", "_")
            ).inc()
            self._log.info("publisher closed", reason=reason, **self._figures())
        return reason

    def end(self, reason: str) -> None:
        """End the session; the first reason counts."""
        if self._reason is None:
            self._reason = reason
        self._ended.set()
        self._decided.set()

    def finish(self) -> None:
        """Hand on what is left of the audio."""
        if self.path is not None:
            self._hand_on(self.path.finish(monotonic()))
            self._meter.report(self.path)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._config.webrtc.connect_timeout):
                await self._decided.wait()
        except TimeoutError:
            self.end("never connected")

    async def _tick(self) -> None:
        try:
            async with asyncio.timeout(TICK):
                await self._ended.wait()
        except TimeoutError:
            pass  # the ordinary case: it goes on
        if self._ended.is_set():
            return
        if self.path is not None:
            self._hand_on(self.path.poll(monotonic()))
            self._meter.report(self.path)
        if self._pictures is not None:
            self._pictures.want(self._sink.wants_pictures(self))

    def _on_packet(self, packet: Packet) -> None:
        if not self.is_connected:
            self._metrics.packets_discarded.labels("not_live").inc()
            return
        try:
            self._receive(packet)
        except Exception:  # noqa: BLE001 - else aiortc would blame the publisher
            self._log.exception("receive path failed")
            self.end("failed")

    def _receive(self, packet: Packet) -> None:
        if self.path is None:
            self.path = self._new_path(packet.arrival)
        outputs = self.path.push(packet)
        self._metrics.stage_seconds.labels("receive_decode").observe(
            monotonic() - packet.arrival
        )
        self._hand_on(outputs)

    def _new_path(self, arrival: float) -> AudioPath:
        audio = self._config.audio
        return AudioPath(
            self._codec,
            origin=self._sink.origin(self, arrival),
            options=AudioPathOptions(
                reorder=audio.reorder_ms / 1000,
                max_fill=audio.max_fill,
                silence_after=audio.silence_after,
                gap_event=audio.gap_event,
                chunk_samples=audio.chunk_ms * SAMPLE_RATE // 1000,
            ),
            clock=monotonic,
        )

    def _hand_on(self, outputs: list[Output]) -> None:
        if outputs:
            self._sink.receive(self, outputs)

    def _new_pictures(self, video: RTCRtpReceiver) -> Pictures:
        return Pictures(video, self._on_picture, metrics=self._metrics, log=self._log)

    def _on_picture(self, jpeg: bytes, arrival: float) -> None:
        if not self.is_connected:
            self._metrics.pictures_discarded.labels("not_live").inc()
            return
        image = VideoImage(time=self._media_time(arrival), jpeg=jpeg)
        self._sink.picture(self, image)

    def _media_time(self, arrival: float) -> MediaTime:
        """Return where the audio lies that arrived at the same time."""
        if self.path is None:
            return self._sink.origin(self, arrival)
        return MediaTime(max(0.0, self.path.position - (monotonic() - arrival)))

    def _follow_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and not self._ended.is_set():
            # At once, not when run() wakes: the first packets may be here before.
            self._log.info("publisher connected")
            self._connected.set()
            self._decided.set()
            self._sink.connected(self)
        elif state == "failed":
            self.end("connection failed")
        elif state == "closed":
            self.end("closed by the publisher")

    async def _close(self) -> None:
        if self._picture_task is not None:
            self._picture_task.cancel()
            await asyncio.wait({self._picture_task})
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._connection.close()
        except TimeoutError:
            self._log.warning("connection took too long to close")

    def _figures(self) -> dict[str, object]:
        if self.path is None:
            return {"audio": "none came"}
        stats = self.path.packets.stats
        return {
            "seconds": round(self.path.stats.decoded / SAMPLE_RATE, 1),
            "packets": stats.received,
            "lost": stats.lost,
        }
