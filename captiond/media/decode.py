"""Decoding: one RTP payload to mono samples, through FFmpeg (PyAV)."""

from __future__ import annotations

import dataclasses
import enum

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame


@dataclasses.dataclass(frozen=True, slots=True)
class CodecSpec:
    """How FFmpeg decodes what RTP carries."""

    decoder: str
    rate: int
    """Samples per second that come out."""

    clock_rate: int
    """RTP clock in Hz; not the same for G.722 (RFC 3551 section 4.5.2)."""


class AudioCodec(enum.Enum):
    """The audio codecs that a publisher may send."""

    OPUS = CodecSpec("libopus", 48_000, 48_000)
    G722 = CodecSpec("g722", 16_000, 8_000)
    PCMU = CodecSpec("pcm_mulaw", 8_000, 8_000)
    PCMA = CodecSpec("pcm_alaw", 8_000, 8_000)


class DecodeError(Exception):
    """The payload is not valid for its codec."""


class Decoder:
    """
    Decodes one track.

    Args:
        codec: What the track carries; stereo Opus is decoded to mono.

    """

    def __init__(self, codec: AudioCodec) -> None:
        spec = codec.value
        context = av.CodecContext.create(spec.decoder, "r")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = spec.rate
        context.layout = "mono"
        self._context = context

    def decode(self, payload: bytes) -> list[AudioFrame]:
        """
        Decode one packet.

        Raises:
            DecodeError: If the payload is empty or damaged.

        """
        if not payload:
            # An empty packet would put FFmpeg's decoder into its draining state, after
            # which it refuses everything.
            raise DecodeError("empty payload")
        try:
            return self._context.decode(av.Packet(payload))
        except (av.FFmpegError, ValueError) as exc:
            raise DecodeError(str(exc)) from exc
