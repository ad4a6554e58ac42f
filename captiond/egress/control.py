"""
Control: what controllers ask of streams, by WebSocket and by HTTP.

Those on the control channel also hear every event of the live session. It is encoded
once for all of them.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, assert_never

from captiond import logs
from captiond.egress import requests, wire
from captiond.egress.requests import Flush, SwitchEngine
from captiond.errors import ControlError, Unavailable
from captiond.live.control import ControlEvent, Controlled, Find
from captiond.live.inputs import Interrupt, Text
from captiond.live.session import ToolResponse
from captiond.metrics import Metrics

MAX_CONTROLLERS = 16
"""Controllers that a stream may have on its control channel."""

MAX_FLUSHES = 16
"""Flushes of a stream that may be under way."""

FLUSH_TIMEOUT = 10.0
"""Seconds that a flush may take."""

UNKNOWN = "unknown"
"""Type of a request that has none of ours, in metrics."""


class Hearer(Protocol):
    """Who hears the events of a live session."""

    def post(self, payload: bytes) -> None:
        """Send a message. Never waits, never raises."""


class Control:
    """
    Takes requests to the streams that they are about, and events to who hears them.

    Args:
        find: Finds a stream.
        metrics: Where requests and controllers are counted.

    """

    def __init__(self, find: Find, metrics: Metrics) -> None:
        self._find = find
        self._metrics = metrics
        self._rooms: dict[str, _Room] = {}
        self._flushing: collections.Counter[str] = collections.Counter()

    def ask(
        self, stream: str, kind: str, document: Mapping[str, Any]
    ) -> Coroutine[Any, Any, bool] | None:
        """
        Ask something of a stream, and count it.

        Args:
            stream: The stream's name.
            kind: One of :data:`captiond.egress.requests.TYPES`.
            document: The request without its ``type`` and ``id``.

        Returns:
            None if it was accepted; for a flush what waits for its answer, and tells
            whether there was one in time.

        Raises:
            ControlError: If it is malformed, or can't be done.

        """
        try:
            request = requests.parse(kind, document)
            found = self._living(stream)
            if isinstance(request, Flush):
                self._require_flush(stream)
                return self._flush(stream, found)
            _perform(found, request)
        except ControlError as exc:
            self.count(kind, exc.code)
            raise
        self.count(kind, "ok")
        return None

    def count(self, kind: str, result: str) -> None:
        """Count a request by its result: ``ok``, or the code of what went wrong."""
        self._metrics.control_requests.labels(kind, result).inc()

    def check_room(self, stream: str) -> None:
        """
        Check that another controller may come to the channel of a stream.

        Raises:
            Unavailable: If it has as many as may be.

        """
        room = self._rooms.get(stream)
        if room is not None and len(room.hearers) >= MAX_CONTROLLERS:
            raise Unavailable(
                f"the stream has {MAX_CONTROLLERS} controllers already", retry_after=5
            )

    def join(self, stream: str, hearer: Hearer) -> None:
        """
        Let somebody hear the events of a stream's live session.

        Raises:
            Unavailable: If the stream has as many controllers as may be.

        """
        self.check_room(stream)
        room = self._rooms.get(stream)
        if room is None:
            room = self._rooms[stream] = _Room(stream, self._find, self._metrics)
        room.hearers.add(hearer)
        room.follow()
        self._metrics.controllers.inc()

    def leave(self, stream: str, hearer: Hearer) -> None:
        """Undo :meth:`join`."""
        room = self._rooms[stream]
        room.hearers.remove(hearer)
        self._metrics.controllers.dec()
        if not room.hearers:
            room.close()
            del self._rooms[stream]

    def follow(self, stream: str) -> None:
        """Hear a stream that somebody may have begun to publish only now."""
        room = self._rooms.get(stream)
        if room is not None:
            room.follow()

    def _living(self, stream: str) -> Controlled:
        found = self._find(stream)
        if found is None:
            raise ControlError("not_live", f"nobody publishes '{stream}'")
        return found

    def _require_flush(self, stream: str) -> None:
        if self._flushing[stream] >= MAX_FLUSHES:
            raise ControlError(
                "busy", f"{MAX_FLUSHES} flushes are under way already", status=503
            )

    async def _flush(self, stream: str, found: Controlled) -> bool:
        self._flushing[stream] += 1
        try:
            done = await found.flush(FLUSH_TIMEOUT)
        except ControlError as exc:
            self.count("flush", exc.code)
            raise
        finally:
            self._flushing[stream] -= 1
            if not self._flushing[stream]:
                del self._flushing[stream]
        self.count("flush", "ok" if done else "timeout")
        return done


class _Room:
    """Those who hear the live session of one stream."""

    def __init__(self, stream: str, find: Find, metrics: Metrics) -> None:
        self.hearers: set[Hearer] = set()
        self._name = stream
        self._find = find
        self._metrics = metrics
        log = logs.get("control", stream=stream)
        self._no_json = logs.Throttle(
            lambda count: log.warning("session events are not JSON", count=count)
        )
        self._stream: Controlled | None = None
        self._stop: Callable[[], None] | None = None

    def follow(self) -> None:
        """Listen to the stream of this name, if that isn't done yet."""
        stream = self._find(self._name)
        if stream is self._stream:
            return
        self.close()
        self._stream = stream
        if stream is not None:
            self._stop = stream.listen(self._tell)

    def close(self) -> None:
        """Listen no more."""
        if self._stop is not None:
            self._stop()
        self._stream = self._stop = None

    def _tell(self, event: ControlEvent) -> None:
        assert self._stream is not None
        try:
            payload = wire.encode_session(self._name, self._stream.engine, event)
        except (TypeError, ValueError, RecursionError):
            # Arguments of a tool call come from an engine that others may have written.
            self._metrics.events_discarded.labels("not_json").inc()
            self._no_json.hit()
            return
        for hearer in tuple(self.hearers):
            hearer.post(payload)


def _perform(
    stream: Controlled, request: Text | Interrupt | ToolResponse | SwitchEngine
) -> None:
    match request:
        case Text():
            stream.send_text(request.text, request.purpose)
        case Interrupt():
            stream.interrupt()
        case ToolResponse():
            stream.send_tool_response(request)
        case SwitchEngine():
            stream.switch_engine(request.name)
        case _:
            assert_never(request)
