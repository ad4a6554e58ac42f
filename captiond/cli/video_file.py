"""Pictures to publish: a media file's video decoded by PyAV, or a test picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
from av import VideoFrame

from captiond.errors import CaptiondError

TimedFrame = tuple[float, VideoFrame]
"""Seconds since the beginning, and what is shown from then on."""

MAX_EDGE = 1280
"""Pixels of the long edge of what is sent; more would keep the encoder too busy."""

TEST_COLOURS = {
    "red": (81, 90, 240),
    "green": (145, 54, 34),
    "blue": (41, 240, 110),
    "yellow": (210, 16, 146),
    "magenta": (106, 202, 222),
    "cyan": (170, 166, 16),
}
"""Colours of the test picture as Y, Cb and Cr of BT.601; each is shown for a second."""

_TEST_SIZE = (640, 360)
_TEST_RATE = 10
_UNKNOWN_FRAME_SECONDS = 1 / 25


class VideoFileError(CaptiondError):
    """The file can't be read, or has no video that can be decoded."""


def check(path: Path) -> None:
    """
    Check that a file has video.

    Raises:
        VideoFileError: If the file can't be opened or has none.

    """
    _open(path).close()


def frames(
    path: Path, *, loop: bool = False, period: float | None = None
) -> Iterator[TimedFrame]:
    """
    Decode a file's first video track.

    Args:
        path: The file.
        loop: Start over at the end, for ever.
        period: Seconds that a round of the loop takes, so that it stays in step with
            the audio; the video's own length by default.

    Raises:
        VideoFileError: If the file can't be opened or decoded, or has no video.

    """
    start = 0.0
    while True:
        seconds = None
        for seconds, frame in _decode(path):
            if not loop or period is None or seconds < period:
                yield start + seconds, frame
        if seconds is None:
            raise VideoFileError(f"{path}: has a video track without video")
        if not loop:
            return
        start += seconds + _UNKNOWN_FRAME_SECONDS if period is None else period


def colour_frames() -> Iterator[TimedFrame]:
    """Return frames of one colour that changes each second: :data:`TEST_COLOURS`."""
    colours = itertools.cycle(TEST_COLOURS.values())
    for second in itertools.count():
        colour = next(colours)
        for number in range(_TEST_RATE):
            yield second + number / _TEST_RATE, solid(*_TEST_SIZE, colour)


def solid(width: int, height: int, colour: tuple[int, int, int]) -> VideoFrame:
    """Return a frame of one colour, given as Y, Cb and Cr."""
    frame = VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, colour, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def _decode(path: Path) -> Iterator[TimedFrame]:
    seconds = -_UNKNOWN_FRAME_SECONDS
    with _open(path) as container:
        begin = (container.start_time or 0) / av.time_base
        try:
            for frame in container.decode(video=0):
                if frame.pts is None:
                    seconds += _UNKNOWN_FRAME_SECONDS
                else:
                    seconds = max(0.0, frame.time - begin)
                yield seconds, _scaled(frame)
        except av.FFmpegError as exc:
            raise VideoFileError(f"{path}: can't be decoded: {exc.strerror}") from exc


def _scaled(frame: VideoFrame) -> VideoFrame:
    scale = min(1.0, MAX_EDGE / max(frame.width, frame.height))
    width, height = (
        max(2, round(edge * scale) // 2 * 2) for edge in (frame.width, frame.height)
    )
    return frame.reformat(width, height, "yuv420p")


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as exc:
        raise VideoFileError(f"{path}: can't be opened: {exc.strerror}") from exc
    if not container.streams.video:
        container.close()
        raise VideoFileError(f"{path}: has no video")
    return container
