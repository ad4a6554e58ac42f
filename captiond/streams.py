"""All streams of the daemon: admits publishers and runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from captiond import logs
from captiond.config import Config
from captiond.errors import StreamNotFound, Unavailable
from captiond.events import MediaTime
from captiond.hub.hub import Hub
from captiond.ingest.offer import Offer
from captiond.ingest.peer import Peer
from captiond.live.roster import Roster
from captiond.live.session import VideoImage
from captiond.media.audio_path import Output
from captiond.metrics import Metrics
from captiond.stream import Stream


class Streams:
    """
    Streams by name.

    Args:
        hub: Where their captions go.
        roster: The engines that turn their audio into text.
        config: Bounds.
        metrics: Where publishers are counted.
        tasks: Every publisher and stream runs in this group.

    """

    def __init__(
        self,
        hub: Hub,
        roster: Roster,
        *,
        config: Config,
        metrics: Metrics,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._hub = hub
        self._roster = roster
        self._config = config
        self._metrics = metrics
        self._tasks = tasks
        self._streams: dict[str, Stream] = {}
        self._peers: set[Peer] = set()
        self._peer_tasks: set[asyncio.Task[None]] = set()
        self._stream_tasks: set[asyncio.Task[None]] = set()
        self._log = logs.get("streams")
        self.draining = False
        self.on_peer_ended: Callable[[Peer], None] = lambda _: None

    def all(self) -> list[Stream]:
        """Return every stream, by name."""
        return [stream for _, stream in sorted(self._streams.items())]

    def get(self, name: str) -> Stream | None:
        """Return a stream that somebody has published, if there is one."""
        return self._streams.get(name)

    def admit(self, stream: str) -> None:
        """
        Check that a publisher may come.

        Raises:
            Unavailable: If the daemon is stopping, or has as many streams as may be.

        """
        if self.draining:
            raise Unavailable("captiond is stopping", retry_after=5)
        self._hub.check_room(stream)

    def new_peer(self, stream: str, offer: Offer, client: str) -> Peer:
        """Make a publisher of a stream."""
        return Peer(
            stream,
            offer,
            self,
            config=self._config,
            metrics=self._metrics,
            client=client,
        )

    def run_peer(self, peer: Peer) -> None:
        """Run a publisher until it ends."""
        self._peers.add(peer)
        if self.draining:
            peer.end("captiond is stopping")
        task = self._tasks.create_task(self._run_peer(peer))
        self._peer_tasks.add(task)
        task.add_done_callback(self._peer_tasks.discard)

    def connected(self, peer: Peer) -> None:
        """Give the stream to a publisher whose connection stands."""
        try:
            self._hub.check_room(peer.stream)
            channel = self._hub.open(peer.stream)
        except Unavailable as exc:
            peer.end(f"refused: {exc.detail}")
            return
        stream = self._streams.get(peer.stream)
        if stream is None or stream.channel is not channel:
            stream = self._streams[peer.stream] = Stream(
                channel,
                self._hub,
                self._roster,
                config=self._config,
                metrics=self._metrics,
            )
        stream.connect(peer, self._run_stream)
        self._metrics.publishers.inc()
        self._forget_streams()

    def origin(self, peer: Peer, arrival: float) -> MediaTime:
        """Return the media time of a publisher's first sample."""
        return self._streams[peer.stream].origin(arrival)

    def receive(self, peer: Peer, outputs: list[Output]) -> None:
        """Hand a publisher's audio to its stream."""
        stream = self._streams.get(peer.stream)
        if stream is not None:
            stream.receive(peer, outputs)

    def wants_pictures(self, peer: Peer) -> bool:
        """Whether a publisher has its stream, and an engine looks at its video."""
        stream = self._streams.get(peer.stream)
        return stream is not None and stream.publisher is peer and stream.wants_pictures

    def picture(self, peer: Peer, image: VideoImage) -> None:
        """Hand a publisher's picture to its stream."""
        stream = self._streams.get(peer.stream)
        if stream is not None:
            stream.receive_picture(peer, image)
        else:
            self._metrics.pictures_discarded.labels("no_stream").inc()

    async def drain(self) -> None:
        """Take no more publishers, end those that are there, deliver the last words."""
        self.draining = True
        for peer in self._peers:
            peer.end("captiond is stopping")
        while self._peer_tasks:
            await asyncio.wait(self._peer_tasks)
        for stream in self.all():
            stream.end()
        while self._stream_tasks:
            await asyncio.wait(self._stream_tasks)

    def abandon(self) -> None:
        """End everything at once."""
        for task in self._peer_tasks | self._stream_tasks:
            task.cancel()

    def _run_stream(self, run: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(run)
        self._stream_tasks.add(task)
        task.add_done_callback(self._stream_tasks.discard)

    async def _run_peer(self, peer: Peer) -> None:
        try:
            reason = await self._reason_of(peer)
            stream = self._streams.get(peer.stream)
            if stream is not None:
                await stream.disconnect(peer, reason)
        finally:
            if peer.was_connected:
                self._metrics.publishers.dec()
            self._peers.discard(peer)
            self.on_peer_ended(peer)

    async def _reason_of(self, peer: Peer) -> str:
        try:
            return await peer.run()
        except Exception:  # noqa: BLE001 - the outermost frame of a publisher
            self._log.exception("publisher failed", stream=peer.stream)
            return "failed"

    def _forget_streams(self) -> None:
        """Forget the streams whose logs the hub has forgotten."""
        for name, stream in tuple(self._streams.items()):
            try:
                kept = self._hub.get(name) is stream.channel
            except StreamNotFound:
                kept = False
            if not kept and not stream.running:
                del self._streams[name]
