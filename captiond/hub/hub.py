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

_LIVING = frozenset({StreamState.LIVE, StreamState.PAUSED, StreamState.DEGRADED})
_WAITING = frozenset({StreamState.WAITING})


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

        """
        channel = self._channels.get(name)
        if channel is not None:
            return channel
        check_name(name)
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
        Check that a stream of this name lives, or that there is room for it.

        Raises:
            StreamNameError: If no stream can have this name.
            Unavailable: If there are as many streams as may be.

        """
        check_name(name)
        self._check(name, self._config.limits.streams, "limits.streams", _LIVING)

    def check_waiting_room(self, name: str) -> None:
        """
        Check that a reader may wait for a stream of this name.

        Raises:
            StreamNameError: If no stream can have this name.
            Unavailable: If readers wait for as many streams as may be.

        """
        check_name(name)
        if name not in self._channels:
            limit = self._config.limits.waiting_streams
            self._check(name, limit, "limits.waiting_streams", _WAITING)

    def _check(
        self, name: str, limit: int, option: str, states: frozenset[StreamState]
    ) -> None:
        counted = {
            channel.log.name
            for channel in self._channels.values()
            if channel.log.state in states
        }
        if name not in counted and len(counted) >= limit:
            raise Unavailable(
                f"there are {len(counted)} streams already ({option})", retry_after=10
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
        """Remove a subscriber."""
        subscriber.closed = True
        channel.subscribers.discard(subscriber)

    def release(self, channel: Channel) -> None:
        """Forget a channel that nobody has published and nobody reads any more."""
        if channel.log.state is StreamState.WAITING and not channel.subscribers:
            self._forget(channel)

    def _track_state(self, channel: Channel) -> None:
        name = channel.log.name
        if self._channels.get(name) is not channel:
            return  # forgotten already
        if channel.log.state is not StreamState.ENDED:
            self._ended.pop(name, None)
            return
        self._ended[name] = None
        while len(self._ended) > self._config.history.ended_streams:
            oldest, _ = self._ended.popitem(last=False)
            self._forget(self._channels[oldest])

    def _forget(self, channel: Channel) -> None:
        if self._channels.get(channel.log.name) is channel:
            del self._channels[channel.log.name]
        for subscriber in tuple(channel.subscribers):
            subscriber.cut("stream_forgotten")
