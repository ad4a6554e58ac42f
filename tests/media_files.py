"""Media files for tests, made on the spot."""

from __future__ import annotations

import fractions
import math
import wave
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from captiond.cli.video_file import TEST_COLOURS, solid


def write_wav(path: Path, seconds: float, *, rate: int = 16_000) -> Path:
    """Write a tone."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for index in range(round(seconds * rate)):
            sample = round(8000 * math.sin(2 * math.pi * 440 * index / rate))
            file.writeframesraw(sample.to_bytes(2, "little", signed=True))
    return path


def write_film(path: Path, seconds: float, *, width: int = 320) -> Path:
    """Write silence and 25 pictures a second: red in the first half, then blue."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = width, width // 2, "yuv420p"
        audio = container.add_stream("aac", rate=48_000, layout="mono")
        count = round(seconds * 25)
        for number in range(count):
            colour = TEST_COLOURS["red" if number < count / 2 else "blue"]
            picture = solid(width, width // 2, colour)
            picture.pts = number
            picture.time_base = fractions.Fraction(1, 25)
            container.mux(video.encode(picture))
            sound = AudioFrame(format="fltp", layout="mono", samples=1920)
            sound.planes[0].update(bytes(sound.planes[0].buffer_size))
            sound.sample_rate = 48_000
            sound.pts = number * 1920
            container.mux(audio.encode(sound))
        container.mux([*video.encode(None), *audio.encode(None)])
    return path


def luma(frame: VideoFrame) -> int:
    """Return the brightness of a frame's middle."""
    plane = frame.planes[0]
    return bytes(plane)[frame.height // 2 * plane.line_size + frame.width // 2]
