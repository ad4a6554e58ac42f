"""Tests of the hub: channels, their bounds, and what is forgotten."""

from __future__ import annotations

import pytest

from captiond.config import Config, History, Limits
from captiond.egress.wire import encode
from captiond.errors import StreamNameError, StreamNotFound, Unavailable
from captiond.events import Status, StreamState
from captiond.hub.hub import Hub
from captiond.metrics import Metrics
from tests.hub.test_log import WALL, caption
from tests.hub.test_subscriber import ScriptedOutlet, subscribe


def new_hub(*, streams: int = 2, ended: int = 1) -> Hub:
    """Return a hub with narrow bounds."""
    config = Config(
        limits=Limits(streams=streams, waiting_streams=1),
        history=History(ended_streams=ended),
    )
    return Hub(config, Metrics(), encode=encode, wall=lambda: WALL)


def end(hub: Hub, name: str) -> None:
    """Publish and end a stream."""
    hub.publish(hub.open(name), Status(state=StreamState.ENDED, reason="x"))


def test_unknown_stream_is_not_found() -> None:
    """get() makes nothing."""
    with pytest.raises(StreamNotFound, match="'x'"):
        new_hub().get("x")


def live(hub: Hub, name: str) -> None:
    """Publish a stream."""
    hub.publish(hub.open(name), Status(state=StreamState.LIVE, reason="x"))


def test_streams_are_bounded_by_those_that_live() -> None:
    """Ended streams take no room, but need some to live again."""
    hub = new_hub(streams=2)
    live(hub, "one")
    end(hub, "two")
    hub.check_room("two")
    live(hub, "three")

    for name in ("two", "four"):
        with pytest.raises(Unavailable, match=r"limits\.streams"):
            hub.check_room(name)
    with pytest.raises(StreamNameError):
        hub.check_room("a/b")
    hub.check_room("one")


def test_waiting_readers_take_no_room_from_publishers() -> None:
    """Streams that readers wait for have a bound of their own."""
    hub = new_hub(streams=1)
    hub.open("later")

    hub.check_room("one")
    hub.check_waiting_room("later")
    with pytest.raises(Unavailable, match=r"limits\.waiting_streams"):
        hub.check_waiting_room("other")


def test_event_on_a_forgotten_channel_forgets_no_other() -> None:
    """A late word of a stream that is gone changes nothing."""
    hub = new_hub(ended=1)
    end(hub, "one")
    forgotten = hub.get("one")
    end(hub, "two")
    hub.publish(forgotten, Status(state=StreamState.ENDED, reason="x"))

    assert [each.log.name for each in hub.channels()] == ["two"]


def test_oldest_ended_stream_is_forgotten() -> None:
    """Only so many logs are kept after their end; their readers are told to go."""
    hub = new_hub(ended=1)
    end(hub, "one")
    outlet = ScriptedOutlet()
    subscriber = subscribe(hub.get("one").log, outlet)
    hub.attach(hub.get("one"), subscriber)
    end(hub, "two")

    with pytest.raises(StreamNotFound):
        hub.get("one")
    assert outlet.reason == "stream_forgotten"
    assert hub.get("two").log.state is StreamState.ENDED


def test_stream_that_lives_again_is_kept() -> None:
    """A stream that goes on after its end is not among the ended."""
    hub = new_hub(ended=1)
    end(hub, "one")
    hub.publish(hub.get("one"), Status(state=StreamState.LIVE, reason="x"))
    end(hub, "two")
    end(hub, "three")

    assert [each.log.name for each in hub.channels()] == ["one", "three"]


def test_channel_that_only_readers_used_goes_with_them() -> None:
    """Waiting for a stream that never comes leaves nothing behind."""
    hub = new_hub()
    channel = hub.open("later")
    subscriber = subscribe(channel.log, ScriptedOutlet())
    hub.attach(channel, subscriber)
    hub.release(channel)
    assert hub.channels() == [channel]
    hub.detach(channel, subscriber)
    hub.release(channel)

    assert hub.channels() == []


def test_every_subscriber_gets_the_same_bytes() -> None:
    """An event is encoded once, whoever reads it."""
    hub = new_hub()
    channel = hub.open("demo")
    outlets = [ScriptedOutlet() for _ in range(3)]
    for outlet in outlets:
        hub.attach(channel, subscribe(channel.log, outlet))
    message = hub.publish(channel, caption(1, "x", final=True))

    assert all(outlet.written == [message] for outlet in outlets)
    forms = {id(each.written[0].form("ws", lambda p: p + b"!")) for each in outlets}
    assert len(forms) == 1
