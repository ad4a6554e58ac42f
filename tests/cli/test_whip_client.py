"""The WHIP publisher: whole sessions against an aiortc answerer."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from captiond.cli import audio_file, main, whip_client
from captiond.cli.audio_file import AudioFileError
from captiond.cli.video_file import TEST_COLOURS, VideoFileError
from captiond.cli.whip_client import PublishError, WhipPublisher
from tests.media_files import luma, write_film, write_wav


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
        self.pictures: list[int] = []
        """Brightness of each picture."""
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
                if isinstance(frame, VideoFrame):
                    self.pictures.append(luma(frame))
                    continue
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


async def test_publishes_a_films_video(
    answerer: tuple[Answerer, Start], tmp_path: Path
) -> None:
    """Sound and pictures arrive over one connection, the pictures in order."""
    endpoint, url = answerer
    path = write_film(tmp_path / "film.mp4", 1.2)
    publisher = WhipPublisher(path, url("/whip/demo"), tail=0.2, video="file")
    await publisher.start()
    await publisher.wait()
    await publisher.stop()
    reds = [each for each in endpoint.pictures if abs(each - 81) < 10]
    blues = [each for each in endpoint.pictures if abs(each - 41) < 10]

    assert endpoint.samples >= 0.9 * 48_000
    assert len(reds) >= 5
    assert len(blues) >= 5
    assert endpoint.pictures[: len(reds)] == reds


async def test_publishes_a_test_picture(
    answerer: tuple[Answerer, Start], tmp_path: Path
) -> None:
    """A file without video is published with a colour that changes each second."""
    endpoint, url = answerer
    path = write_wav(tmp_path / "tone.wav", 1.5)
    publisher = WhipPublisher(path, url("/whip/demo"), tail=0, video="test")
    await publisher.start()
    await publisher.wait()
    await publisher.stop()
    red, green = TEST_COLOURS["red"][0], TEST_COLOURS["green"][0]

    assert endpoint.samples >= 0.9 * 48_000
    assert endpoint.pictures[0] == pytest.approx(red, abs=5)
    assert endpoint.pictures[-1] == pytest.approx(green, abs=5)


async def test_a_file_without_video_is_not_published(
    answerer: tuple[Answerer, Start], tmp_path: Path
) -> None:
    """Who asks for its video is told before anything is sent."""
    endpoint, url = answerer
    path = write_wav(tmp_path / "tone.wav", 0.1)
    publisher = WhipPublisher(path, url("/whip/demo"), video="file")

    with pytest.raises(VideoFileError, match=r"tone\.wav: has no video"):
        await publisher.start()
    assert endpoint.requests == []


def test_only_one_video_can_be_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two options exclude each other."""
    path = str(write_wav(tmp_path / "tone.wav", 0.1))
    url = "http://127.0.0.1:9/whip/x"
    with pytest.raises(SystemExit) as left:
        main(["publish", path, "--url", url, "--video", "--test-picture"])

    assert left.value.code == 2
    assert "only one video" in capsys.readouterr().err


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
