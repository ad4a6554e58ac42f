"""
Sampled pictures: which frames of a video track are taken, and their JPEG.

No I/O and no clock of its own: frames come with their arrival.
"""

from __future__ import annotations

import fractions
import re

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace

INTERVAL = 1.0
"""Seconds between two pictures; models look at one a second."""

MAX_EDGE = 768
"""Pixels of a picture's long edge."""

MAX_JPEG_BYTES = 256 * 1024
"""Most that one picture may take; noise is compressed until it fits."""

MAX_FRAME_PIXELS = 8192 * 4320
"""Largest frame that is scaled down: 8K. Senders may claim four times as many."""

BEST_QUANTISER = 4
"""What FFmpeg calls ``-q:v``: 2 is the best, 31 the smallest; at 4 text is sharp."""

_QUANTISERS = (4, 8, 16, 31)

_H264_NAL_UNIT = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)
_H264_KEY_NAL_TYPES = (5, 7)
_VP8_START_CODE = b"\x9d\x01\x2a"


class PictureError(Exception):
    """The frame can't be made a picture; says why."""


class PictureSampler:
    """
    Decides which frames become pictures.

    Args:
        interval: Least seconds between two of them, also across a time without.

    """

    def __init__(self, *, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._taken = float("-inf")
        self.wanted = False
        """Whether anybody wants pictures."""

    def take(self, arrival: float) -> bool:
        """Whether the frame that arrived then becomes a picture."""
        if not self.wanted or arrival - self._taken < self._interval:
            return False
        self._taken = arrival
        return True


def encode_jpeg(
    frame: av.VideoFrame,
    *,
    max_edge: int = MAX_EDGE,
    quantiser: int = BEST_QUANTISER,
    max_bytes: int = MAX_JPEG_BYTES,
) -> bytes:
    """
    Return a frame as a JPEG; its shape stays, and it is never made larger.

    Args:
        frame: Any frame.
        max_edge: Longest edge of the picture in pixels.
        quantiser: Where to begin: 2 is the best, 31 the smallest.
        max_bytes: Coarser ones are tried until the picture fits.

    Raises:
        PictureError: If FFmpeg can't, or the picture doesn't fit.

    """
    width, height = _fit(frame.width, frame.height, max_edge)
    size = f"{frame.width}x{frame.height} {frame.format.name}"
    jpeg = b""
    try:
        # JFIF: BT.601 with all 256 values, whatever the video has.
        scaled = frame.reformat(
            width,
            height,
            "yuvj420p",
            src_color_range=frame.color_range,
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        for each in (quantiser, *(q for q in _QUANTISERS if q > quantiser)):
            jpeg = _encode(scaled, each)
            if len(jpeg) <= max_bytes:
                return jpeg
    except (av.FFmpegError, ValueError) as exc:
        raise PictureError(f"a frame of {size} can't be encoded: {exc}") from exc
    raise PictureError(
        f"a frame of {size} takes {len(jpeg)} bytes; {max_bytes} are allowed"
    )


def is_key_frame(codec: str, data: bytes) -> bool:
    """
    Whether a decoder can begin with this frame.

    Args:
        codec: ``VP8`` or ``H264``.
        data: The frame without its RTP payload headers; H.264 with start codes.

    """
    if codec == "H264":
        # An SPS too: some encoders never send an IDR, and put one where to begin.
        types = (unit[1][0] & 0x1F for unit in _H264_NAL_UNIT.finditer(data))
        return any(each in _H264_KEY_NAL_TYPES for each in types)
    # RFC 6386 §9.1: the lowest bit is clear, and a start code follows.
    return len(data) >= 10 and not data[0] & 1 and data[3:6] == _VP8_START_CODE


def _fit(width: int, height: int, max_edge: int) -> tuple[int, int]:
    """Return a size of the same shape, even where it can be: colour is halved."""
    if width * height > MAX_FRAME_PIXELS:
        raise PictureError(
            f"a frame of {width}x{height} is too large; "
            f"{MAX_FRAME_PIXELS} pixels are allowed"
        )
    if width <= 0 or height <= 0:
        raise PictureError(f"a frame of {width}x{height} has no pixels")
    scale = min(1.0, max_edge / max(width, height))
    return _even(width, scale), _even(height, scale)


def _even(edge: int, scale: float) -> int:
    return max(min(edge, 2), round(edge * scale) // 2 * 2)


def _encode(frame: av.VideoFrame, quantiser: int) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, VideoCodecContext)
    context.width = frame.width
    context.height = frame.height
    context.pix_fmt = frame.format.name
    context.time_base = fractions.Fraction(1, 1)
    context.qmin = context.qmax = quantiser
    context.thread_count = 1
    frame.pts = 0
    return b"".join(
        bytes(packet) for packet in (*context.encode(frame), *context.encode(None))
    )
