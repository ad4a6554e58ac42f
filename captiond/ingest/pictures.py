"""
Sampled pictures of a publisher's video: at most one a second, only while wanted.

Decoding is left to aiortc, behind the gate in :mod:`captiond.ingest.receiver`: while
nobody wants pictures a packet costs no more than its header, while somebody does every
frame is decoded. Whatever goes wrong here costs pictures, never the audio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from captiond import logs
from captiond.clock import monotonic
from captiond.ingest.receiver import VideoGate
from captiond.media.picture import INTERVAL, PictureError, PictureSampler, encode_jpeg
from captiond.metrics import Metrics

STALL = 2.0
"""Seconds without a decoded frame after which the sender is asked for a key frame."""

LOOK = 0.5
"""Seconds between two looks for a stall while no frame comes."""

_ORDINARY = ("no_key_frame", "no_longer_wanted")
"""Reasons that are no fault: counted, not logged."""


class Pictures:
    """
    Makes pictures of one video track.

    Args:
        receiver: aiortc's receiver of the track: negotiated, not yet connected.
        on_picture: Called with a JPEG and the monotonic time at which its frame
            arrived.
        metrics: Where pictures are counted.
        log: The publisher's.
        interval: Least seconds between two pictures.

    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        on_picture: Callable[[bytes, float], None],
        *,
        metrics: Metrics,
        log: logs.Logger,
        interval: float = INTERVAL,
    ) -> None:
        self._track = receiver.track
        self._gate = VideoGate(receiver, self._discard)
        self._on_picture = on_picture
        self._metrics = metrics
        self._log = log
        self._throttle = logs.Throttle(self._write_fault)
        self._fault: tuple[str, Exception | None] = ("", None)
        self._sampler = PictureSampler(interval=interval)
        self._encoding: asyncio.Task[None] | None = None
        self._ended = False
        self._alive_at = 0.0
        """Monotonic time of the last frame, or of the last try to get one."""
        self._begun = 0
        """How many frames the gate had seen begin by then."""

    def want(self, wanted: bool) -> None:
        """Follow whether anybody wants pictures; cheap where nothing changes."""
        if wanted == self._sampler.wanted or self._ended:
            return
        self._sampler.wanted = wanted
        if wanted:
            self._start_over()
        else:
            self._gate.close()

    async def run(self) -> None:
        """Make pictures until the track ends. Never raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._sample(tasks)
        except Exception as exc:  # noqa: BLE001 - the audio must go on
            self._discard("failed", exc)
        finally:
            # From here on nobody reads the track's queue.
            self._ended = True
            self._gate.close()

    async def _sample(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                frame = await self._next_frame()
            except MediaStreamError:
                return
            if frame is not None:
                self._take(frame, tasks)
            elif self._gate.decoder_failed:
                self._discard("decoder_failed")
                return
            elif self._is_stalled():
                self._discard("stalled")
                self._start_over()

    async def _next_frame(self) -> VideoFrame | None:
        """Return the next frame, or None if there is none for a moment."""
        try:
            async with asyncio.timeout(LOOK):
                frame = await self._track.recv()
        except TimeoutError:
            return None
        assert isinstance(frame, VideoFrame)
        return frame

    def _take(self, frame: VideoFrame, tasks: asyncio.TaskGroup) -> None:
        if frame.is_corrupt:
            self._discard("corrupt")
            return
        self._note_alive()
        arrival = self._gate.arrival_of(frame)
        if not self._sampler.take(arrival):
            return
        if self._encoding is not None:
            self._discard("encoder_busy")
        else:
            self._encoding = tasks.create_task(self._encode(frame, arrival))

    async def _encode(self, frame: VideoFrame, arrival: float) -> None:
        try:
            jpeg = await asyncio.to_thread(encode_jpeg, frame)
            if self._sampler.wanted:
                self._metrics.pictures_sampled.inc()
                self._on_picture(jpeg, arrival)
            else:
                self._discard("no_longer_wanted")
        except PictureError as exc:
            self._discard("not_encodable", exc)
        except Exception as exc:  # noqa: BLE001 - the next picture may do better
            self._discard("failed", exc)
        finally:
            self._encoding = None

    def _start_over(self) -> None:
        self._gate.open()
        self._note_alive()

    def _note_alive(self) -> None:
        self._alive_at = monotonic()
        self._begun = self._gate.frames_begun

    def _is_stalled(self) -> bool:
        # A frame is complete when the next one begins; until then one waits. Senders
        # of slides may send none for long.
        return (
            self._sampler.wanted
            and self._gate.frames_begun - self._begun >= 2
            and monotonic() - self._alive_at >= STALL
        )

    def _discard(self, reason: str, exc: Exception | None = None) -> None:
        self._metrics.pictures_discarded.labels(reason).inc()
        if reason not in _ORDINARY:
            self._fault = (reason, exc)
            self._throttle.hit()

    def _write_fault(self, count: int) -> None:
        reason, exc = self._fault
        cause = None if isinstance(exc, PictureError) else exc
        self._log.warning(
            "pictures discarded",
            reason=reason if exc is None else f"{reason}: {exc}",
            count=count,
            exc_info=cause,
        )
