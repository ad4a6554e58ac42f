"""
A WHIP publisher: sends a media file to a WHIP endpoint over WebRTC in real time.

RFC 9725 from the sender's side: POST the offer, 201 with the answer and the session's
URL, media over ICE and DTLS-SRTP as Opus and VP8 or H.264, DELETE at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from yarl import URL

from captiond.cli import audio_file, video_file
from captiond.cli.paced_track import RATE, PacedTrack, PacedVideoTrack
from captiond.config import is_loopback
from captiond.errors import CaptiondError

_HTTP_TIMEOUT = aiohttp.ClientTimeout(total=15)
_MAX_REDIRECTS = 5

Video = Literal["file", "test"]
"""The file's own video, or a test picture: a colour that changes each second."""


class PublishError(CaptiondError):
    """The endpoint refused the publisher, or the connection failed; says why."""


class WhipPublisher:
    """
    Publishes one file.

    Args:
        path: Media file; only its first audio track is sent, and as ``video`` says.
        url: WHIP endpoint, ``http://host:port/whip/STREAM``.
        token: Bearer token, sent with every request and after redirects.
        loop: Start the file over at its end, without a seam, for ever.
        tail: Seconds of silence after the file, for the last words to end in.
        video: What video is sent; None for none.
        connect_timeout: Seconds from the answer until media must flow.

    """

    def __init__(
        self,
        path: Path,
        url: str,
        *,
        token: str | None = None,
        loop: bool = False,
        tail: float = 1.5,
        video: Video | None = None,
        connect_timeout: float = 15.0,
    ) -> None:
        self._path = path
        self._url = URL(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._loop = loop
        self._tail = tail
        self._video = video
        self._connect_timeout = connect_timeout
        self._track: PacedTrack | None = None
        self._video_track: PacedVideoTrack | None = None
        self._peer: RTCPeerConnection | None = None
        self._session_url: URL | None = None
        self._state_changed = asyncio.Event()
        self.total: float | None = None
        """Seconds that will be sent; None while unknown, and of a loop."""

    @property
    def started_at(self) -> float:
        """Monotonic time at which the file's first sample was spoken."""
        if self._track is None or self._track.started_at is None:
            raise RuntimeError("the publisher has not started")
        return self._track.started_at

    @property
    def sent(self) -> float:
        """Seconds of audio sent so far."""
        return self._track.position if self._track else 0.0

    async def start(self) -> None:
        """
        Connect; return when the first sample is on its way.

        Raises:
            AudioFileError: If the file can't be opened or has no audio.
            VideoFileError: If its video is to be sent and it has none.
            PublishError: If the endpoint refuses, or no connection comes about.

        """
        length = audio_file.duration(self._path)
        if length is not None and not self._loop:
            self.total = length + self._tail
        blocks = audio_file.blocks(self._path, rate=RATE, loop=self._loop)
        self._track = PacedTrack(blocks, tail=self._tail)
        self._video_track = self._new_video_track(self._track, length)
        try:
            await self._connect(self._track)
        except BaseException:
            await self.stop()
            raise

    async def wait(self, *, on_progress: Callable[[float], None] | None = None) -> None:
        """
        Return when the file and the silence after it have been sent.

        Args:
            on_progress: Called about five times a second with the seconds sent.

        Raises:
            AudioFileError: If the file turns out to be broken.
            VideoFileError: If its video does.
            PublishError: If the connection ends before the file does.

        """
        assert self._track is not None
        while not self._track.ended.is_set():
            self._require_connection()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._track.ended.wait(), 0.2)
            if on_progress is not None:
                on_progress(self.sent)
        for track in (self._track, self._video_track):
            if track is not None and track.error is not None:
                raise track.error

    async def stop(self) -> None:
        """End the session at the endpoint and close the connection. May be repeated."""
        session_url, self._session_url = self._session_url, None
        if session_url is not None:
            # A failure ends it as well, after the endpoint's own timeout.
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._http() as http, http.delete(session_url):
                    pass
        for track in (self._track, self._video_track):
            if track is not None:
                track.stop()
        if self._peer is not None:
            await self._peer.close()

    def _new_video_track(
        self, audio: PacedTrack, period: float | None
    ) -> PacedVideoTrack | None:
        if self._video is None:
            return None
        if self._video == "test":
            return PacedVideoTrack(video_file.colour_frames(), audio)
        video_file.check(self._path)
        frames = video_file.frames(self._path, loop=self._loop, period=period)
        return PacedVideoTrack(frames, audio)

    async def _connect(self, track: PacedTrack) -> None:
        # RFC 9725 4.4.1: everything goes over one transport.
        peer = self._peer = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        peer.on("connectionstatechange", self._state_changed.set)
        transceiver = peer.addTransceiver(track, direction="sendonly")
        if self._video_track is not None:
            peer.addTransceiver(self._video_track, direction="sendonly")
        if is_loopback(self._url.host or ""):
            dtls = transceiver.sender.transport
            _gather_loopback(dtls.transport.iceGatherer._connection)
        await peer.setLocalDescription(await peer.createOffer())
        answer = await self._post(peer.localDescription.sdp)
        try:
            await peer.setRemoteDescription(
                RTCSessionDescription(sdp=answer, type="answer")
            )
        # aiortc reports a bad description by whatever breaks first.
        except Exception as exc:
            raise PublishError(f"{self._url}: unusable answer: {exc!r}") from exc
        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._wait_connected(track)
        except TimeoutError:
            raise PublishError(
                f"{self._url}: no media connection within {self._connect_timeout:g} s; "
                "is UDP let through to the addresses of the answer?"
            ) from None

    async def _wait_connected(self, track: PacedTrack) -> None:
        assert self._peer is not None
        while self._peer.connectionState != "connected":
            self._require_connection()
            self._state_changed.clear()
            await self._state_changed.wait()
        await track.started.wait()

    def _require_connection(self) -> None:
        assert self._peer is not None
        if self._peer.connectionState in ("failed", "closed"):
            raise PublishError(
                f"{self._url}: the connection was lost after {self.sent:.1f} s of audio"
            )

    async def _post(self, offer: str) -> str:
        url = self._url
        headers = {**self._headers, "Content-Type": "application/sdp"}
        try:
            async with self._http() as http:
                for _ in range(_MAX_REDIRECTS):
                    async with http.post(
                        url, data=offer, headers=headers, allow_redirects=False
                    ) as response:
                        # RFC 9725 4.5: load balancing is done with 307.
                        if response.status in (307, 308):
                            url = _redirect(url, response)
                            continue
                        return await self._read_answer(url, response)
        except aiohttp.ClientError as exc:
            raise PublishError(f"{url}: can't connect: {exc}") from exc
        except TimeoutError:
            raise PublishError(
                f"{url}: no answer within {_HTTP_TIMEOUT.total:g} s"
            ) from None
        raise PublishError(f"{self._url}: redirected more than {_MAX_REDIRECTS} times")

    async def _read_answer(self, url: URL, response: aiohttp.ClientResponse) -> str:
        body = await response.text(errors="replace")
        if response.status != 201:
            raise PublishError(_refusal(url, response, body))
        location = response.headers.get("Location")
        if location is None:
            raise PublishError(f"{url}: not a WHIP endpoint: 201 without Location")
        self._session_url = url.join(URL(location))
        return body

    def _http(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=_HTTP_TIMEOUT, headers=self._headers)


def problem_detail(body: str) -> str:
    """Return what an RFC 9457 problem says, or the first line of any other body."""
    try:
        problem = json.loads(body)
        return str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, AttributeError):
        return body.strip().partition("\n")[0][:200]


def _refusal(url: URL, response: aiohttp.ClientResponse, body: str) -> str:
    text = f"{url}: refused with {response.status} {response.reason}"
    detail = problem_detail(body)
    if detail:
        text += f": {detail}"
    retry_after = response.headers.get("Retry-After")
    return f"{text} (try again after {retry_after} s)" if retry_after else text


def _redirect(url: URL, response: aiohttp.ClientResponse) -> URL:
    target = url.join(URL(response.headers.get("Location", "")))
    if url.scheme == "https" and target.scheme != "https":
        raise PublishError(f"{url}: redirected to {target}, which is not encrypted")
    return target


def _gather_loopback(connection: Any) -> None:
    # aioice never offers 127.0.0.1, and on a machine without a network there is no
    # other address. An endpoint on loopback is reached from there, so only there.
    gather = connection.get_component_candidates

    async def gather_loopback(
        component: int, addresses: list[str], timeout: int = 5
    ) -> list[Any]:
        del addresses
        candidates: list[Any] = await gather(component, ["127.0.0.1"], timeout)
        return candidates

    connection.get_component_candidates = gather_loopback
