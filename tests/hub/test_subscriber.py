"""Tests of a subscriber's policy, and of replay and live delivery together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from captiond.events import Caption
from captiond.hub.log import Message, Position, StreamLog
from captiond.hub.subscriber import Subscriber
from tests.hub.test_log import caption, new_log


class ScriptedOutlet:
    """A transport that takes ``room`` messages and then blocks."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.written: list[Message] = []
        self.reason: str | None = None
        self.is_blocked = False

    def write(self, message: Message) -> bool:
        assert not self.is_blocked
        self.written.append(message)
        self.room -= 1
        return self.room > 0

    def blocked(self) -> None:
        self.is_blocked = True

    def cut(self, reason: str) -> None:
        self.reason = reason

    def unblock(self, room: int) -> None:
        """Take ``room`` more messages."""
        self.is_blocked = False
        self.room = room


def subscribe(
    log: StreamLog, outlet: ScriptedOutlet, *, mailbox: int = 3
) -> Subscriber:
    """Attach a subscriber at the end of the log."""
    return Subscriber(log.cursor(), outlet, mailbox=mailbox)


def test_new_events_are_written_at_once() -> None:
    """A subscriber that keeps up waits for nothing."""
    log, outlet = new_log(), ScriptedOutlet()
    subscriber = subscribe(log, outlet)
    message = log.append(caption(1, "a", final=True))
    subscriber.notify()

    assert outlet.written == [message]


def test_blocked_subscriber_gets_the_newest_interim_later() -> None:
    """While the transport blocks nothing is written; then only what still counts."""
    log, outlet = new_log(), ScriptedOutlet(room=1)
    subscriber = subscribe(log, outlet)
    first = log.append(caption(1, "a", final=True))
    subscriber.notify()
    log.append(caption(2, "b", final=False))
    subscriber.notify()
    newest = log.append(caption(2, "b c", final=False, rev=2))
    subscriber.notify()
    assert outlet.written == [first]
    outlet.unblock(10)
    subscriber.resume()

    assert outlet.written == [first, newest]


def test_full_mailbox_cuts() -> None:
    """More durable events than the mailbox holds close the connection, once."""
    log, outlet = new_log(), ScriptedOutlet(room=1)
    subscriber = subscribe(log, outlet, mailbox=2)
    for n in range(1, 5):
        log.append(caption(n, str(n), final=True))
        subscriber.notify()

    assert outlet.reason == "mailbox_full"
    assert len(outlet.written) == 1


def test_long_replay_is_not_a_full_mailbox() -> None:
    """A reader that comes from far behind is cut only for what is new."""
    log, outlet = new_log(), ScriptedOutlet(room=1)
    for n in range(1, 50):
        log.append(caption(n, str(n), final=True))
    subscriber = Subscriber(log.cursor_after(Position(log.epoch, 0)), outlet, mailbox=2)
    subscriber.notify()
    log.append(caption(50, "x", final=True))
    subscriber.notify()

    assert outlet.reason is None


def test_log_that_forgets_what_a_reader_needs_cuts_it() -> None:
    """A reader whose place is gone is told so, and doesn't skip."""
    log, outlet = new_log(limit=2), ScriptedOutlet()
    subscriber = subscribe(log, outlet)
    for n in range(1, 5):
        log.append(caption(n, str(n), final=True))
    subscriber.notify()

    assert outlet.reason == "position_lost"


STEP = st.one_of(
    st.tuples(st.just("final"), st.integers(0, 0)),
    st.tuples(st.just("interim"), st.integers(0, 0)),
    st.tuples(st.just("connect"), st.integers(1, 4)),
    st.tuples(st.just("drain"), st.integers(1, 4)),
    st.tuples(st.just("drop"), st.integers(0, 0)),
)


class Reader:
    """A reader that comes, is cut, and comes back with its position."""

    def __init__(self, log: StreamLog, mailbox: int) -> None:
        self._log = log
        self._mailbox = mailbox
        self._outlet: ScriptedOutlet | None = None
        self._subscriber: Subscriber | None = None
        self.got: list[int] = []

    def connect(self, room: int) -> None:
        """Come, unless there already."""
        if self._outlet is None:
            self._outlet = ScriptedOutlet(room=room)
            last = self.got[-1] if self.got else 0
            self._subscriber = Subscriber(
                self._log.cursor_after(Position(self._log.epoch, last)),
                self._outlet,
                mailbox=self._mailbox,
            )
            self.notify()

    def notify(self) -> None:
        """Something was published."""
        if self._subscriber is not None:
            self._subscriber.notify()
        self._leave_if_cut()

    def drain(self, room: int) -> None:
        """Take more, if blocked."""
        if self._outlet is not None and self._outlet.is_blocked:
            assert self._subscriber is not None
            self._outlet.unblock(room)
            self._subscriber.resume()
        self._leave_if_cut()

    def drop(self) -> None:
        """Go."""
        if self._outlet is not None:
            self.got += [
                message.stamp.seq
                for message in self._outlet.written
                if isinstance(message.event, Caption) and message.event.final
            ]
        self._outlet = self._subscriber = None

    def _leave_if_cut(self) -> None:
        if self._outlet is not None and self._outlet.reason is not None:
            self.drop()


@given(st.lists(STEP, max_size=120), st.integers(0, 3))
def test_replay_and_live_have_no_gap_and_no_repetition(
    steps: list[tuple[str, int]], mailbox: int
) -> None:
    """However a reader is blocked, cut and comes back, it gets each final once."""
    log = new_log(limit=10_000)
    reader = Reader(log, mailbox)
    cue, rev = 1, 0
    for kind, number in steps:
        if kind in ("final", "interim"):
            rev += 1
            log.append(caption(cue, "x", final=kind == "final", rev=rev))
            if kind == "final":
                cue, rev = cue + 1, 0
            reader.notify()
        elif kind == "connect":
            reader.connect(number)
        elif kind == "drain":
            reader.drain(number)
        else:
            reader.drop()
    reader.drop()
    reader.connect(1_000_000)
    reader.drop()

    assert reader.got == list(range(1, log.seq + 1))
