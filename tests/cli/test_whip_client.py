"""The WHIP publisher: its pace, and a whole session against an aiortc answerer."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.audio.frame import AudioFrame

from captiond.cli import audio_file, whip_client
from captiond.cli.audio_file import AudioFileError
from captiond.cli.paced_track import PacedTrack
from captiond.cli.whip_client import PublishError, WhipPublisher

BLOCK = bytes(1920)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def write_wav(path: Path, seconds: float, *, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for index in range(round(seconds * rate)):
            sample = round(8000 * math.sin(2 * math.pi * 440 * index / rate))
            file.writeframesraw(sample.to_bytes(2, "little", signed=True))
    return path


async def test_track_is_paced_without_drift() -> None:
    """Each frame leaves when its last sample has been spoken."""
    time = FakeTime()
    track = PacedTrack(itertools.repeat(BLOCK), clock=time.clock, sleep=time.sleep)
    frame = await track.recv()
    for number in range(1000):
        if number:
            frame = await track.recv()
        assert frame.pts == number * 960
        assert time.now == pytest.approx(100.0 + (number + 1) * 0.02)
        time.now += 0.003  # what encoding takes must not add up

    assert (frame.samples, frame.sample_rate) == (960, 48_000)
    assert track.position == pytest.approx(20.0)
    assert track.started_at == pytest.approx(100.0)


async def test_track_catches_up_when_late() -> None:
    """After a stall the frames that are due leave at once."""
    time = FakeTime()
    track = PacedTrack(itertools.repeat(BLOCK), clock=time.clock, sleep=time.sleep)
    await track.recv()
    time.now += 0.1
    time.slept.clear()
    for _ in range(6):
        await track.recv()

    assert sum(time.slept) == pytest.approx(0.02)


async def test_track_ends_with_silence() -> None:
    """The tail follows the file, then the track is over."""
    time = FakeTime()
    blocks = iter([b"\1\0" * 960])
    track = PacedTrack(blocks, tail=0.04, clock=time.clock, sleep=time.sleep)
    sent = [bytes((await track.recv()).planes[0])[:1920] for _ in range(3)]

    assert sent == [b"\1\0" * 960, BLOCK, BLOCK]
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert track.ended.is_set()
    assert track.readyState == "ended"


async def test_track_remembers_a_broken_file() -> None:
    """A file that breaks off ends the track, and the track knows why."""

    def broken() -> Iterator[bytes]:
        raise AudioFileError("broken")
        yield b""

    track = PacedTrack(broken())
    with pytest.raises(MediaStreamError):
        await track.recv()

    assert isinstance(track.error, AudioFileError)


def test_blocks_have_every_sample(tmp_path: Path) -> None:
    """Blocks are 20 ms each, and the last one is filled up."""
    path = write_wav(tmp_path / "tone.wav", 0.333)
    blocks = list(audio_file.blocks(path, rate=48_000))

    assert {len(block) for block in blocks} == {1920}
    assert len(blocks) == math.ceil(0.333 / 0.02)
    assert audio_file.duration(path) == pytest.approx(0.333, abs=1e-3)


def test_blocks_loop_without_a_seam(tmp_path: Path) -> None:
    """Two rounds have exactly twice the samples: nothing is filled in between."""
    path = write_wav(tmp_path / "tone.wav", 0.25)
    looped = audio_file.blocks(path, rate=16_000, loop=True)
    audio = b"".join(itertools.islice(looped, 25))
    once = b"".join(audio_file.blocks(path, rate=16_000))[: 2 * 4000]

    assert audio == once + once


def test_files_that_are_not_media(tmp_path: Path) -> None:
    """What can't be opened, and what is empty, are named."""
    text = tmp_path / "notes.txt"
    text.write_text("no audio", encoding="utf-8")
    empty = write_wav(tmp_path / "empty.wav", 0)

    with pytest.raises(AudioFileError, match=r"notes\.txt: can't be opened"):
        audio_file.duration(text)
    with pytest.raises(AudioFileError, match=r"empty\.wav"):
        next(audio_file.blocks(empty, rate=16_000, loop=True))


class Answerer:
    """A WHIP endpoint that counts what it gets."""

    def __init__(self) -> None:
        self.samples = 0
        self.heard = asyncio.Event()
        self.requests: list[tuple[str, str | None]] = []
        self._peers: list[RTCPeerConnection] = []
        self._readers: list[asyncio.Task[None]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/whip/{stream}", self.offer)
        app.router.add_delete("/session/1", self.delete)
        app.router.add_post("/redirect", self.redirect)
        app.router.add_post("/refuse", self.refuse)
        app.router.add_post("/page", self.page)
        app.router.add_post("/broken", self.broken)
        return app

    async def offer(self, request: web.Request) -> web.Response:
        self._note(request)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peers.append(peer)
        peer.on("track", self._read)
        sdp = await request.text()
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        transport = peer.getTransceivers()[0].receiver.transport.transport
        whip_client._gather_loopback(transport.iceGatherer._connection)
        await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(
            status=201,
            text=peer.localDescription.sdp,
            content_type="application/sdp",
            headers={"Location": "/session/1"},
        )

    async def delete(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response()

    async def redirect(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response(status=307, headers={"Location": "/whip/other"})

    async def refuse(self, request: web.Request) -> web.Response:
        return web.Response(
            status=503,
            text=json.dumps({"title": "Busy", "detail": "no room for a stream"}),
            content_type="application/problem+json",
            headers={"Retry-After": "5"},
        )

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(status=404, text="<h1>Not here</h1>\nmore")

    async def broken(self, request: web.Request) -> web.Response:
        return web.Response(status=201, text="v=0", headers={"Location": "/session/1"})

    async def close(self) -> None:
        for peer in self._peers:
            await peer.close()
        await asyncio.gather(*self._readers)

    def _note(self, request: web.Request) -> None:
        line = f"{request.method} {request.path}"
        self.requests.append((line, request.headers.get("Authorization")))

    def _read(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            while True:
                try:
                    frame = await track.recv()
                except MediaStreamError:
                    return
                assert isinstance(frame, AudioFrame)
                self.samples += frame.samples
                self.heard.set()

        self._readers.append(asyncio.create_task(read()))


Start = Callable[[str], str]


@pytest.fixture
async def answerer() -> AsyncIterator[tuple[Answerer, Start]]:
    """Run an answerer; gives it and what makes URLs of it."""
    answerer = Answerer()
    async with TestServer(answerer.app()) as server:
        yield answerer, lambda path: str(server.make_url(path))
        await answerer.close()


async def test_publishes_a_file(
    answerer: tuple[Answerer, Start], tmp_path: Path
) -> None:
    """A file arrives in real time and the session is deleted at the end."""
    endpoint, url = answerer
    path = write_wav(tmp_path / "tone.wav", 0.6)
    publisher = WhipPublisher(path, url("/whip/demo"), token="secret", tail=0.4)
    progress: list[float] = []
    loop = asyncio.get_running_loop()
    await publisher.start()
    await publisher.wait(on_progress=progress.append)
    took = loop.time() - publisher.started_at
    await publisher.stop()

    assert took >= 0.95  # never faster than it is spoken
    assert publisher.total == pytest.approx(1.0)
    assert publisher.sent == pytest.approx(1.0)
    assert progress == sorted(progress)
    # aiortc's own jitter buffer holds the last frames back.
    assert endpoint.samples >= 0.7 * 48_000
    assert endpoint.requests == [
        ("POST /whip/demo", "Bearer secret"),
        ("DELETE /session/1", "Bearer secret"),
    ]


async def test_follows_redirects(
    answerer: tuple[Answerer, Start], tmp_path: Path
) -> None:
    """307 is followed with the token, and the session is the final endpoint's."""
    endpoint, url = answerer
    path = write_wav(tmp_path / "tone.wav", 0.1)
    publisher = WhipPublisher(path, url("/redirect"), token="t", tail=0)
    await publisher.start()
    await publisher.stop()
    await publisher.stop()

    assert endpoint.requests == [
        ("POST /redirect", "Bearer t"),
        ("POST /whip/other", "Bearer t"),
        ("DELETE /session/1", "Bearer t"),
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/refuse", r"503 .*: no room for a stream \(try again after 5 s\)"),
        ("/page", r"404 Not Found: <h1>Not here</h1>$"),
        ("/broken", "unusable answer"),
    ],
)
async def test_refusals_say_why(
    answerer: tuple[Answerer, Start], tmp_path: Path, path: str, message: str
) -> None:
    """Problem details, plain bodies and bad answers end up in the message."""
    _, url = answerer
    publisher = WhipPublisher(write_wav(tmp_path / "tone.wav", 0.1), url(path))

    with pytest.raises(PublishError, match=message):
        await publisher.start()


async def test_nobody_listens(tmp_path: Path) -> None:
    """A refused connection is one clear line."""
    publisher = WhipPublisher(
        write_wav(tmp_path / "tone.wav", 0.1), "http://127.0.0.1:9/whip/x"
    )

    with pytest.raises(PublishError, match="can't connect"):
        await publisher.start()


async def test_connection_lost(
    answerer: tuple[Answerer, Start], tmp_path: Path
) -> None:
    """When the endpoint hangs up, waiting for the file's end fails."""
    endpoint, url = answerer
    path = write_wav(tmp_path / "tone.wav", 0.2)
    publisher = WhipPublisher(path, url("/whip/demo"), loop=True)
    await publisher.start()
    assert publisher.total is None
    waiting = asyncio.create_task(publisher.wait())
    # An endpoint that isn't connected can't say goodbye.
    await asyncio.wait_for(endpoint.heard.wait(), 5)
    await endpoint.close()

    with pytest.raises(PublishError, match="the connection was lost"):
        await asyncio.wait_for(waiting, 10)
    await publisher.stop()
