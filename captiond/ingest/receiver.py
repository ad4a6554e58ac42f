"""
The tap on aiortc: RTP packets of the audio track, before aiortc's own jitter buffer.

The only module that touches the inside of an aiortc receiver. aiortc's buffer delays
80 ms, drops four good packets for each lost one and never releases the last four; its
decoder thread fills unbounded queues. The tap takes the buffer's place, hands every
packet on and returns nothing, so the decoder idles; RTCP reports go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from aiortc import RTCRtpReceiver
from aiortc.rtp import RtpPacket

from captiond.clock import monotonic
from captiond.media.reorder import Packet

_BUFFER = "_RTCRtpReceiver__jitter_buffer"
"""Name-mangled; present in the aiortc releases that pyproject.toml allows."""


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
    if not hasattr(receiver, _BUFFER):
        raise RuntimeError("this release of aiortc has no jitter buffer to replace")
    setattr(receiver, _BUFFER, cast(_JitterBuffer, _Tap(on_packet)))


def ignore(receiver: RTCRtpReceiver) -> None:
    """Drop the packets of a receiver right after their header: nobody wants them."""
    receiver._enabled = False
