"""
The hub: every stream's log, its subscribers, and the fan-out between them.

Runs on the event loop but never waits: publishing writes to every subscriber's
transport and returns.
"""

from __future__ import annotations

import collections
import datetime
from collections.abc import Callable

from captiond.clock import monotonic
from captiond.config import Config
from captiond.errors import StreamNotFound, Unavailable
from captiond.events import Event, StreamState
from captiond.hub.log import Encode, Message, StreamLog, check_name
from captiond.hub.subscriber import Subscriber
from captiond.metrics import Metrics


class Channel:
    """A stream's log together with those who read it."""

    def __init__(self, log: StreamLog) -> None:
        self.log = log
        self.subscribers: set[Subscriber] = set()


class Hub:
    """
    All channels of the daemon.

    Args:
        config: Bounds.
        metrics: Where deliveries and latencies are counted.
        encode: Encodes an event.
        wall: Wall clock.

    """

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        *,
        encode: Encode,
        wall: Callable[[], datetime.datetime],
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._encode = encode
        self._wall = wall
        self._channels: dict[str, Channel] = {}
        self._ended: collections.OrderedDict[str, None] = collections.OrderedDict()
        """Names of ended streams, oldest first."""

    def get(self, name: str) -> Channel:
        """
        Return a channel that exists.

        Raises:
            StreamNotFound: If nobody has published or waits under this name.

        """
        channel = self._channels.get(name)
        if channel is None:
            raise StreamNotFound(name)
        return channel

    def open(self, name: str) -> Channel:
        """
        Return a channel, and make it if need be.

        Raises:
            StreamNameError: If no stream can have this name.
            Unavailable: If there are as many streams as may be.

        """
        channel = self._channels.get(name)
        if channel is not None:
            return channel
        self.check_room(name)
        channel = self._channels[name] = Channel(
            StreamLog(
                name,
                limit=self._config.history.events,
                encode=self._encode,
                wall=self._wall,
            )
        )
        return channel

    def check_room(self, name: str) -> None:
        """
        Check that a channel of this name exists or may be opened.

        Raises:
            StreamNameError: If no stream can have this name.
            Unavailable: If there are as many streams as may be.

        """
        check_name(name)
        live = len(self._channels) - len(self._ended)
        if name not in self._channels and live >= self._config.limits.streams:
            raise Unavailable(
                f"there are {live} streams already (limits.streams)", retry_after=10
            )

    def channels(self) -> list[Channel]:
        """Return every channel, by name."""
        return [channel for _, channel in sorted(self._channels.items())]

    def publish(
        self, channel: Channel, event: Event, *, arrival: float | None = None
    ) -> Message:
        """
        Append an event to the log and write it to every subscriber.

        Args:
            channel: The stream.
            event: The event.
            arrival: Monotonic time at which the event's last sample arrived.

        """
        began = monotonic()
        message = channel.log.append(
            event, latency=None if arrival is None else began - arrival
        )
        for subscriber in tuple(channel.subscribers):
            subscriber.notify()
        self._metrics.stage_seconds.labels("publish_written").observe(
            monotonic() - began
        )
        self._track_state(channel)
        return message

    def attach(self, channel: Channel, subscriber: Subscriber) -> None:
        """Add a subscriber and give it what it asked for, then everything new."""
        channel.subscribers.add(subscriber)
        subscriber.notify()

    def detach(self, channel: Channel, subscriber: Subscriber) -> None:
        """Remove a subscriber; a channel that nobody uses is forgotten."""
        subscriber.closed = True
        channel.subscribers.discard(subscriber)
        unused = channel.log.state is StreamState.WAITING and channel.log.seq == 0
        if unused and not channel.subscribers:
            self._channels.pop(channel.log.name, None)

    def _track_state(self, channel: Channel) -> None:
        name = channel.log.name
        if channel.log.state is not StreamState.ENDED:
            self._ended.pop(name, None)
            return
        self._ended[name] = None
        while len(self._ended) > self._config.history.ended_streams:
            oldest, _ = self._ended.popitem(last=False)
            forgotten = self._channels.pop(oldest)
            for subscriber in tuple(forgotten.subscribers):
                subscriber.cut("stream_forgotten")
