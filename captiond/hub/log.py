"""
The caption log of one stream: numbers events, keeps the durable ones, replays them.

No I/O. A reader is a :class:`Cursor`: a place in the log, so a slow reader costs a
number and not a queue.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import itertools
import re
import secrets
from collections.abc import Callable

from captiond.errors import StreamNameError
from captiond.events import Caption, Event, Status, StreamState, is_durable

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def check_name(name: str) -> str:
    """
    Return ``name`` if a stream can have it.

    Raises:
        StreamNameError: If it can't.

    """
    if not _NAME.fullmatch(name):
        raise StreamNameError
    return name


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """A place in a log: everything up to ``seq`` of this ``epoch`` was read."""

    epoch: str
    seq: int

    @classmethod
    def parse(cls, text: str) -> Position:
        """
        Read ``epoch:seq``.

        Raises:
            ValueError: If it is not of that form.

        """
        epoch, colon, seq = text.partition(":")
        if not (colon and epoch and seq.isascii() and seq.isdigit() and len(seq) < 20):
            raise ValueError(f"a position is written <epoch>:<seq>, not '{text[:80]}'")
        return cls(epoch, int(seq))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the log adds to an event."""

    stream: str
    epoch: str
    seq: int
    """Number of the event if it is durable, else of the last durable one."""

    wall: datetime.datetime
    latency: float | None
    """Seconds from the arrival of the event's last sample to its publication."""


Encode = Callable[[Event, Stamp], bytes]


class Message:
    """
    An event, encoded once for all its readers.

    Args:
        event: The event.
        stamp: What the log added.
        payload: The event's JSON.
        number: Rises with every message of the log, interims included.

    """

    __slots__ = ("_forms", "event", "number", "payload", "stamp")

    def __init__(self, event: Event, stamp: Stamp, payload: bytes, number: int) -> None:
        self.event = event
        self.stamp = stamp
        self.payload = payload
        self.number = number
        self._forms: dict[str, bytes] = {}

    def form(self, name: str, make: Callable[[bytes], bytes]) -> bytes:
        """Return the payload as one transport writes it; made once, by the first."""
        form = self._forms.get(name)
        if form is None:
            form = self._forms[name] = make(self.payload)
        return form


class PositionLost(Exception):
    """The log no longer holds what the reader would read next."""


class StreamLog:
    """
    One life of a stream's captions.

    Args:
        name: The stream's name.
        limit: Durable events that are kept.
        encode: Encodes an event.
        wall: Wall clock.

    """

    def __init__(
        self,
        name: str,
        *,
        limit: int,
        encode: Encode,
        wall: Callable[[], datetime.datetime],
    ) -> None:
        self.name = name
        self.epoch = secrets.token_hex(6)
        self.seq = 0
        self.state = StreamState.WAITING
        self.interim: Message | None = None
        """The state of the open cue, until its final."""
        self._encode = encode
        self._wall = wall
        self._numbers = itertools.count(1)
        self._durable: collections.deque[Message] = collections.deque(maxlen=limit)

    @property
    def position(self) -> Position:
        """The end of the log."""
        return Position(self.epoch, self.seq)

    @property
    def oldest(self) -> int:
        """Number of the oldest durable event that is kept; ``seq + 1`` if none is."""
        return self.seq + 1 - len(self._durable)

    def append(self, event: Event, *, latency: float | None = None) -> Message:
        """Number, encode and keep an event."""
        durable = is_durable(event)
        if durable:
            self.seq += 1
        stamp = Stamp(
            stream=self.name,
            epoch=self.epoch,
            seq=self.seq,
            wall=self._wall(),
            latency=latency,
        )
        message = Message(event, stamp, self._encode(event, stamp), next(self._numbers))
        if isinstance(event, Status):
            self.state = event.state
        if isinstance(event, Caption):
            self.interim = None if event.final else message
        if durable:
            self._durable.append(message)
        return message

    def durable(self, seq: int) -> Message:
        """
        Return a durable event by number, at most :attr:`seq`.

        Raises:
            PositionLost: If it is no longer kept.

        """
        if seq < self.oldest:
            raise PositionLost
        return self._durable[seq - self.oldest]

    def cursor(self) -> Cursor:
        """Return a cursor that gives the open cue and then what comes."""
        return Cursor(self, self.seq)

    def cursor_after(self, position: Position) -> Cursor:
        """
        Return a cursor that gives everything after ``position``.

        What is gone is told by :attr:`Cursor.lost`: the numbers of the first and last
        event that can't be given, or of all of another epoch.
        """
        if position.epoch != self.epoch:
            return Cursor(self, self.oldest - 1, lost=Lost("epoch", None, None))
        if position.seq > self.seq:
            return Cursor(self, self.oldest - 1, lost=Lost("unknown", None, None))
        if position.seq + 1 < self.oldest:
            lost = Lost("expired", position.seq + 1, self.oldest - 1)
            return Cursor(self, self.oldest - 1, lost=lost)
        return Cursor(self, position.seq)

    def cursor_before_end(self, finals: int) -> Cursor:
        """Return a cursor that gives the last ``finals`` finals, and what follows."""
        seq, count = self.seq, 0
        while seq >= self.oldest and count < finals:
            event = self.durable(seq).event
            count += isinstance(event, Caption)
            seq -= 1
        return Cursor(self, seq)


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """What a reader that named a position can't be given."""

    reason: str
    """``epoch``: the log has begun anew. ``expired``: the events are no longer kept.
    ``unknown``: the log never reached that position."""

    first: int | None
    last: int | None


class Cursor:
    """
    One reader's place in a log.

    Args:
        log: The log.
        seq: Number of the last durable event that the reader has.
        lost: What the reader can't be given.

    """

    __slots__ = ("_interim", "_log", "lost", "seq")

    def __init__(self, log: StreamLog, seq: int, *, lost: Lost | None = None) -> None:
        self._log = log
        self.seq = seq
        self.lost = lost
        self._interim = 0
        """Number of the newest interim that the reader has."""

    def next(self) -> Message | None:
        """
        Return the next message for the reader, or None when it has everything.

        Durable events come in order; of the interims only the newest, and only after
        every durable event before it.

        Raises:
            PositionLost: If the log no longer holds the next durable event.

        """
        if self.seq < self._log.seq:
            message = self._log.durable(self.seq + 1)
            self.seq += 1
            return message
        interim = self._log.interim
        if interim is not None and interim.number > self._interim:
            self._interim = interim.number
            return interim
        return None

    @property
    def behind(self) -> int:
        """Durable events that the reader doesn't have yet."""
        return self._log.seq - self.seq
