"""Tests of sampled pictures: which frames are taken, and what their JPEG shows."""

from __future__ import annotations

import fractions
import random

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace

from captiond.media.picture import (
    MAX_JPEG_BYTES,
    PictureError,
    PictureSampler,
    encode_jpeg,
    is_key_frame,
)

RED = (81, 90, 240)
"""Y, Cb and Cr of BT.601, as video has them."""

LIVE_VP8 = {"lag-in-frames": "0", "deadline": "realtime"}


def solid(
    width: int,
    height: int,
    colour: tuple[int, int, int] = RED,
    *,
    pixels: str = "yuv420p",
) -> av.VideoFrame:
    """Return a frame of one colour."""
    frame = av.VideoFrame(width, height, pixels)
    for plane, value in zip(frame.planes, colour, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def noise(width: int, height: int) -> av.VideoFrame:
    """Return a frame that nothing can compress."""
    frame = av.VideoFrame(width, height, "yuv420p")
    source = random.Random(1)
    for plane in frame.planes:
        plane.update(source.randbytes(plane.buffer_size))
    return frame


def decode(jpeg: bytes) -> av.VideoFrame:
    """Return the frame of a JPEG."""
    context = av.CodecContext.create("mjpeg", "r")
    assert isinstance(context, VideoCodecContext)
    frames = [*context.decode(av.Packet(jpeg)), *context.decode(None)]
    assert len(frames) == 1
    return frames[0]


def colour_at(frame: av.VideoFrame, across: float, down: float) -> tuple[int, ...]:
    """Return the red, green and blue of a place given as fractions."""
    rgb = frame.reformat(format="rgb24").planes[0]
    x, y = int(across * (frame.width - 1)), int(down * (frame.height - 1))
    start = y * rgb.line_size + 3 * x
    return tuple(bytes(rgb)[start : start + 3])


def encode_video(codec: str, frames: int) -> list[bytes]:
    """Return encoded frames; only the first is a key frame."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.time_base = fractions.Fraction(1, 30)
    context.gop_size = 1000
    context.options = {"tune": "zerolatency"} if codec == "libx264" else LIVE_VP8
    encoded = []
    for number in range(frames):
        frame = solid(64, 48, (50 + number, 90, 240))
        frame.pts = number
        encoded += [bytes(packet) for packet in context.encode(frame)]
    return encoded


def test_sampler_takes_nothing_unwanted() -> None:
    """Nothing is taken until somebody wants it."""
    sampler = PictureSampler()

    assert not any(sampler.take(number / 30) for number in range(90))


def test_sampler_takes_one_an_interval() -> None:
    """Of thirty frames a second the first of each second is taken."""
    sampler = PictureSampler(interval=1.0)
    sampler.wanted = True
    taken = [number for number in range(300) if sampler.take(number / 30)]

    assert taken == list(range(0, 300, 30))


def test_sampler_keeps_the_interval_when_wanted_again() -> None:
    """Who switches off and on gets no second picture within the interval."""
    sampler = PictureSampler(interval=1.0)
    sampler.wanted = True
    first = sampler.take(10.0)
    sampler.wanted = False
    off = sampler.take(12.0)
    sampler.wanted = True

    assert (first, off) == (True, False)
    assert not sampler.take(10.9)
    assert sampler.take(11.1)


def test_sampler_takes_every_rare_frame() -> None:
    """A sender of slides loses none to the interval."""
    sampler = PictureSampler(interval=1.0)
    sampler.wanted = True

    assert all(sampler.take(arrival) for arrival in (0.0, 5.0, 6.5, 60.0))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 360), (640, 360)),
        ((768, 768), (768, 768)),
        ((1280, 720), (768, 432)),
        ((3840, 2160), (768, 432)),
        ((1080, 1920), (432, 768)),
        ((333, 217), (332, 216)),
        ((769, 769), (768, 768)),
        ((2, 2), (2, 2)),
        ((1, 1), (1, 1)),
        ((4000, 2), (768, 2)),
        ((1, 4000), (1, 768)),
    ],
)
def test_picture_has_the_frames_shape_and_colour(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    """The long edge is at most 768 pixels, and nothing is made larger."""
    jpeg = encode_jpeg(solid(*size))
    picture = decode(jpeg)

    assert jpeg.startswith(b"\xff\xd8")
    assert jpeg.endswith(b"\xff\xd9")
    assert (picture.width, picture.height) == expected
    assert colour_at(picture, 0.5, 0.5) == pytest.approx((254, 0, 0), abs=3)


def test_picture_shows_what_the_frame_shows() -> None:
    """Left stays left, and above stays above."""
    frame = solid(1600, 800)
    luma = frame.planes[0]
    rows = [
        bytes([40] * 800 + [200] * (luma.line_size - 800)),
        bytes([120] * luma.line_size),
    ]
    luma.update(rows[0] * 400 + rows[1] * 400)
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    picture = decode(encode_jpeg(frame))
    greys = [
        colour_at(picture, *place)[1]
        for place in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
    ]

    assert (picture.width, picture.height) == (768, 384)
    assert greys == pytest.approx([28, 214, 121, 121], abs=3)


def test_full_range_and_bt709_keep_their_colour() -> None:
    """Cameras use all 256 values, and high definition another matrix than JPEG."""
    full = solid(320, 180, (76, 85, 255), pixels="yuv420p")
    full.color_range = ColorRange.JPEG
    high = solid(1920, 1080, (63, 102, 240))
    high.colorspace = Colorspace.ITU709
    high.color_range = ColorRange.MPEG
    colours = [
        colour_at(decode(encode_jpeg(frame)), 0.5, 0.5) for frame in (full, high)
    ]

    assert colours[0] == pytest.approx((254, 0, 0), abs=4)
    assert colours[1] == pytest.approx((254, 0, 0), abs=4)


@pytest.mark.parametrize("pixels", ["rgb24", "nv12", "gray", "yuv422p", "yuv444p10le"])
def test_any_pixel_format_is_encoded(pixels: str) -> None:
    """What a decoder may return is converted."""
    picture = decode(encode_jpeg(solid(64, 48).reformat(format=pixels)))

    assert (picture.width, picture.height) == (64, 48)


def test_the_caller_sets_the_bounds() -> None:
    """A smaller edge and a coarser quantiser make smaller pictures."""
    frame = noise(640, 480)
    fine = encode_jpeg(frame, max_edge=320)
    coarse = encode_jpeg(frame, max_edge=320, quantiser=31)
    picture = decode(coarse)

    assert (picture.width, picture.height) == (320, 240)
    assert len(coarse) < len(fine) / 2


def test_noise_is_made_to_fit() -> None:
    """A picture never takes more than its bound."""
    frame = noise(768, 768)
    unbounded = encode_jpeg(frame, max_bytes=10_000_000)
    bounded = encode_jpeg(frame)

    assert len(unbounded) > MAX_JPEG_BYTES
    assert len(bounded) <= MAX_JPEG_BYTES
    assert decode(bounded).width == 768


@pytest.mark.parametrize(
    ("frame", "max_bytes", "message"),
    [
        (noise(64, 64), 100, r"64x64 yuv420p takes \d+ bytes; 100 are allowed"),
        (solid(8192, 4400), MAX_JPEG_BYTES, "8192x4400 is too large"),
        (av.VideoFrame(0, 0), MAX_JPEG_BYTES, "0x0 has no pixels"),
    ],
)
def test_what_cannot_be_encoded_is_explained(
    frame: av.VideoFrame, max_bytes: int, message: str
) -> None:
    """Each failure is one clear error."""
    with pytest.raises(PictureError, match=message):
        encode_jpeg(frame, max_bytes=max_bytes)


@pytest.mark.parametrize(("codec", "encoder"), [("VP8", "libvpx"), ("H264", "libx264")])
def test_key_frames_are_told_apart(codec: str, encoder: str) -> None:
    """Of what real encoders send, the first frame alone is where to begin."""
    frames = encode_video(encoder, 5)

    assert [is_key_frame(codec, data) for data in frames] == [True] + [False] * 4


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_nonsense_is_no_key_frame(codec: str) -> None:
    """Empty, short and random data are not where to begin."""
    assert not is_key_frame(codec, b"")
    assert not is_key_frame(codec, b"\0\0\1")
    assert not is_key_frame(codec, bytes(9))
    assert not is_key_frame(codec, b"\x9d\x01\x2a" * 5)
