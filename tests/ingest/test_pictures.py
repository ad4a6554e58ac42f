"""Tests of sampled pictures, with aiortc publishing to a real peer on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from aiortc import codecs, rtcrtpreceiver
from av.video.codeccontext import VideoCodecContext

from captiond.cli.whip_client import WhipPublisher
from captiond.clock import monotonic
from captiond.live.session import Capabilities, VideoImage
from tests.fakes import ScriptedEngine
from tests.harness import harness, until
from tests.media_files import write_wav
from tests.video_publisher import COLOURS, publishing

RGB = {
    "red": (254, 0, 0),
    "green": (0, 255, 1),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
}


def decode(jpeg: bytes) -> av.VideoFrame:
    """Return the frame of a JPEG."""
    context = av.CodecContext.create("mjpeg", "r")
    assert isinstance(context, VideoCodecContext)
    (frame,) = [*context.decode(av.Packet(jpeg)), *context.decode(None)]
    return frame


def colour_of(image: VideoImage) -> str:
    """Return the name of the colour in a picture's middle."""
    frame = decode(image.jpeg)
    rgb = frame.reformat(format="rgb24").planes[0]
    start = frame.height // 2 * rgb.line_size + 3 * (frame.width // 2)
    seen = bytes(rgb)[start : start + 3]

    def distance(name: str) -> int:
        return sum(abs(a - b) for a, b in zip(RGB[name], seen, strict=True))

    nearest = min(RGB, key=distance)
    assert distance(nearest) < 60, seen
    return nearest


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that gets every encoded frame that a decoder is given."""
    seen: list[bytes] = []

    def get_decoder(codec: Any) -> Any:
        decoder = codecs.get_decoder(codec)
        decode = decoder.decode

        def watch(frame: Any) -> Any:
            seen.append(frame.data)
            return decode(frame)

        monkeypatch.setattr(decoder, "decode", watch)
        return decoder

    monkeypatch.setattr(rtcrtpreceiver, "get_decoder", get_decoder)
    return seen


def count_calls(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> list[None]:
    """Return a list that grows by each call of a method."""
    calls: list[None] = []
    method: Callable[..., Any] = getattr(owner, name)

    def count(*args: Any) -> Any:
        calls.append(None)
        return method(*args)

    monkeypatch.setattr(owner, name, count)
    return calls


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_pictures_come_once_a_second(codec: str) -> None:
    """They are small, show what was sent when, and the audio goes on."""
    began = monotonic()
    async with publishing(codec) as session:
        await until(lambda: len(session.sink.images) >= 4)
        elapsed = monotonic() - began
        images = tuple(session.sink.images)
        await session.audio_goes_on()
    sizes = {(each.width, each.height) for each in (decode(i.jpeg) for i in images)}

    assert len(images) <= elapsed + 1
    assert sizes == {(768, 432)}
    for image in images:
        shown = COLOURS.index(colour_of(image))
        around = {int(image.time - 0.5) % 6, int(image.time + 0.5) % 6}
        assert shown in around, (image.time, colour_of(image))
    times = [image.time for image in images]
    assert times == sorted(times)
    assert session.sampled >= len(images)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_nothing_is_decoded_while_nobody_looks(
    codec: str, decoded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off, on, off and on again, each time with a key frame to begin with."""
    async with publishing(codec, wanted=False) as session:
        asked = count_calls(monkeypatch, session.video, "_send_keyframe")
        await session.audio_goes_on()
        never = (len(decoded), len(asked), session.sampled)

        session.sink.wanted = True
        await until(lambda: session.sink.images)
        first_asked = len(asked)

        session.sink.wanted = False
        await session.audio_goes_on()
        images, frames = len(session.sink.images), len(decoded)
        await session.audio_goes_on()
        still = (len(session.sink.images), len(decoded))

        session.sink.wanted = True
        await until(lambda: len(session.sink.images) > images)
        await session.audio_goes_on()

    assert never == (0, 0, 0.0)
    assert first_asked >= 1
    assert still == (images, frames)
    assert len(asked) > first_asked
    assert session.discarded("undecodable") == 0


async def test_pictures_end_with_their_publisher() -> None:
    """No task and no thread are left behind, and nothing is wanted any more."""
    async with publishing() as session:
        await until(lambda: session.sink.images)
        task, made = session.peer._picture_task, session.peer._pictures
        assert task is not None
        assert made is not None
    made.want(True)
    names = [thread.name for thread in threading.enumerate()]

    assert task.done()
    assert "video-decoder" not in names
    assert not made._gate._open


async def test_pictures_without_audio_follow_the_wall() -> None:
    """A sender that is muted from the beginning still has pictures with times."""
    async with publishing() as session:
        await until(lambda: session.sink.images)
        session.peer.path = None
        session.peer._on_picture(b"\xff\xd8", (session.sink.began or 0.0) + 7.5)

        assert session.sink.images[-1].time == pytest.approx(7.5)


@pytest.mark.parametrize("video", [True, False])
async def test_an_engine_gets_pictures_if_it_takes_them(
    video: bool, tmp_path: Path
) -> None:
    """From a WHIP publisher to the engine's session; others decode nothing."""
    engine = ScriptedEngine(capabilities=Capabilities(video=video))
    path = write_wav(tmp_path / "tone.wav", 2.5)
    async with harness(engine=engine) as daemon:
        url = f"{daemon.url}/whip/demo"
        publisher = WhipPublisher(path, url, tail=0, video="test")
        await publisher.start()
        await publisher.wait()
        await publisher.stop()
        sampled = daemon.count("captiond_pictures_sampled_total")
    images = [
        each
        for session in engine.sessions
        for each in session.inputs
        if isinstance(each, VideoImage)
    ]

    shown = [COLOURS.index(colour_of(each)) for each in images]

    assert shown == sorted(set(shown))
    assert (len(images) >= 2) is video
    assert (sampled > 0) is video
