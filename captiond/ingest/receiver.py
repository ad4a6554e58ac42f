"""
The taps on aiortc: what its receivers do with RTP packets, before its own buffers.

The only module that touches the inside of an aiortc receiver.

Audio: aiortc's buffer delays 80 ms, drops four good packets for each lost one and never
releases the last four; its decoder thread fills unbounded queues. The tap takes the
buffer's place, hands every packet on and returns nothing, so the decoder idles; RTCP
reports go on.

Video: aiortc's buffer and decoder stay, behind a gate that is closed while nobody wants
pictures.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, cast

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.mediastreams import VIDEO_CLOCK_RATE
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtpPacket
from av.frame import Frame

from captiond.clock import monotonic
from captiond.media.picture import is_key_frame
from captiond.media.reorder import Packet

BUFFER_PACKETS = 512
"""Packets of video that wait for one that is missing; aiortc's own number."""

MAX_WAITING_FRAMES = 15
"""Encoded frames that may wait for the decoder; aiortc has no bound."""

_PRIVATE = "_RTCRtpReceiver__"
"""What Python makes of private names; the names are those of aiortc 1.16."""

_VIDEO_NEEDS = (
    "_handle_rtp_packet",
    *(
        _PRIVATE + name
        for name in (
            "codecs",
            "decoder_error",
            "decoder_queue",
            "decoder_thread",
            "jitter_buffer",
            "nack_generator",
            "remote_bitrate_estimator",
            "remote_streams",
            "timestamp_mapper",
        )
    ),
)


class _JitterBuffer(Protocol):
    def add(self, packet: RtpPacket) -> tuple[bool, None]: ...


class _Tap:
    """Takes the place of :class:`aiortc.jitterbuffer.JitterBuffer`."""

    def __init__(self, on_packet: Callable[[Packet], None]) -> None:
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        self._on_packet(
            Packet(
                sequence=packet.sequence_number,
                timestamp=packet.timestamp,
                ssrc=packet.ssrc,
                payload=packet.payload,
                arrival=monotonic(),
            )
        )
        return False, None


def tap(receiver: RTCRtpReceiver, on_packet: Callable[[Packet], None]) -> None:
    """
    Send the packets of an audio receiver to ``on_packet``.

    Raises:
        RuntimeError: If this aiortc isn't built as expected.

    """
    _require(receiver, (_PRIVATE + "jitter_buffer",))
    buffer = cast(_JitterBuffer, _Tap(on_packet))
    setattr(receiver, _PRIVATE + "jitter_buffer", buffer)


class VideoGate:
    """
    Stands between the network and the decoder of a video receiver; closed at first.

    Takes the places of aiortc's buffer, which it asks in turn, and of what stamps the
    frames. Nothing goes to the decoder that it can't make a clean picture of: frames
    are held off until a key frame comes, at first, after a loss and after an error.

    Args:
        receiver: The receiver of a negotiated track, before it is connected.
        on_discard: Called with the reason for which a frame is dropped, and the
            exception if that is the reason.

    Raises:
        RuntimeError: If this aiortc isn't built as expected.

    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        on_discard: Callable[[str, Exception | None], None],
    ) -> None:
        _require(receiver, _VIDEO_NEEDS)
        self._receiver = receiver
        self._on_discard = on_discard
        self._handle = receiver._handle_rtp_packet
        self._open = False
        self._buffer = JitterBuffer(capacity=BUFFER_PACKETS, is_video=True)
        self._arrivals: dict[int, float] = {}
        """When the first packet with an RTP timestamp came, of frames not complete."""
        self._arrival = 0.0
        self._needs_key_frame = True
        self._asks = False
        """Whether a key frame is to be asked for when the next packet tells of whom."""
        self.frames_begun = 0
        """Frames of which at least a packet came, while open."""
        self._set("jitter_buffer", self)
        self._set("timestamp_mapper", self)
        receiver._handle_rtp_packet = self._handle_if_open  # type: ignore[method-assign]

    @property
    def decoder_failed(self) -> bool:
        """Whether aiortc's decoder thread has died of an error."""
        thread: threading.Thread | None = self._get("decoder_thread")
        return thread is not None and not thread.is_alive()

    def open(self) -> None:
        """
        Let frames through from the next key frame on, and ask for one.

        Starts over if it is open: what was received so far is forgotten.
        """
        self._buffer = JitterBuffer(capacity=BUFFER_PACKETS, is_video=True)
        self._arrivals.clear()
        self._needs_key_frame = True
        self._asks = True
        # What wasn't received while nobody wanted it was not lost: no NACK for it, no
        # loss in the reports, on which senders lower their bitrate.
        self._set("nack_generator", NackGenerator())
        self._set("remote_bitrate_estimator", RemoteBitrateEstimator())
        self._get("remote_streams").clear()
        self._open = True

    def close(self) -> None:
        """Drop packets right after their header, and what waits for the decoder."""
        self._open = False
        waiting: queue.Queue[object] = self._get("decoder_queue")
        while not waiting.empty():  # only this thread puts frames in
            try:
                waiting.get_nowait()
            except queue.Empty:
                break  # the decoder was faster

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet: whether to ask for a key frame, and what to decode now."""
        self._note_arrival(packet.timestamp)
        lossy, frame = self._buffer.add(packet)
        asks, self._asks = self._asks or lossy, False
        failed = self._get("decoder_error").is_set()  # for which aiortc itself asks
        if failed:
            self._on_discard("undecodable", None)
        self._needs_key_frame |= lossy or failed
        if frame is None:
            return asks, None
        self._arrival = self._arrival_of(frame.timestamp)
        reason = self._reason_against(packet, frame)
        if reason is None:
            self._needs_key_frame = False
            return asks, frame
        self._on_discard(reason, None)
        if reason == "decoder_behind":
            self._needs_key_frame = asks = True
        return asks, None

    def map(self, timestamp: int) -> int:
        """Return what aiortc stamps the frame with that :meth:`add` just returned."""
        del timestamp
        return round(self._arrival * VIDEO_CLOCK_RATE)

    @staticmethod
    def arrival_of(frame: Frame) -> float:
        """Return when a decoded frame's first packet arrived."""
        return monotonic() if frame.pts is None else frame.pts / VIDEO_CLOCK_RATE

    async def _handle_if_open(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        # aiortc's own switch is no use: negotiation puts it back on.
        if not self._open:
            return
        try:
            await self._handle(packet, arrival_time_ms)
        except Exception as exc:  # noqa: BLE001 - else aiortc would end the connection
            self._on_discard("failed", exc)

    def _note_arrival(self, timestamp: int) -> None:
        if timestamp in self._arrivals:
            return
        self._arrivals[timestamp] = monotonic()
        self.frames_begun += 1
        if len(self._arrivals) > BUFFER_PACKETS:
            del self._arrivals[next(iter(self._arrivals))]

    def _arrival_of(self, timestamp: int) -> float:
        """Return when a frame's first packet came; it and those before are done."""
        arrival = self._arrivals.get(timestamp, monotonic())
        for each in tuple(self._arrivals):
            del self._arrivals[each]
            if each == timestamp:
                break
        return arrival

    def _reason_against(self, packet: RtpPacket, frame: JitterFrame) -> str | None:
        if not frame.data:
            # It would put FFmpeg's decoder into its draining state for good.
            return "empty"
        codec = self._get("codecs")[packet.payload_type].name
        if self._needs_key_frame and not is_key_frame(codec, frame.data):
            return "no_key_frame"
        if self._get("decoder_queue").qsize() >= MAX_WAITING_FRAMES:
            return "decoder_behind"
        return None

    def _get(self, name: str) -> Any:
        return getattr(self._receiver, _PRIVATE + name)

    def _set(self, name: str, value: object) -> None:
        setattr(self._receiver, _PRIVATE + name, value)


def _require(receiver: RTCRtpReceiver, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not hasattr(receiver, name)]
    if missing:
        raise RuntimeError(
            f"this release of aiortc has no {', '.join(missing)} in its receiver"
        )
