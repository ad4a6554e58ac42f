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


@given(st.lists(STEP, max_size=120), st.integers(0, 3))
def test_replay_and_live_have_no_gap_and_no_repetition(
    steps: list[tuple[str, int]], mailbox: int
) -> None:
    """However a reader is blocked, cut and comes back, it gets each final once."""
    log = new_log(limit=10_000)
    got: list[int] = []
    outlet: ScriptedOutlet | None = None
    subscriber: Subscriber | None = None
    cue, rev = 1, 0

    def leave() -> None:
        nonlocal outlet, subscriber
        if outlet is not None:
            got.extend(
                m.stamp.seq
                for m in outlet.written
                if isinstance(m.event, Caption) and m.event.final
            )
        outlet = subscriber = None

    for kind, number in steps:
        if kind in ("final", "interim"):
            rev += 1
            log.append(caption(cue, "x", final=kind == "final", rev=rev))
            if kind == "final":
                cue, rev = cue + 1, 0
            if subscriber is not None:
                subscriber.notify()
        elif kind == "connect" and outlet is None:
            outlet = ScriptedOutlet(room=number)
            position = Position(log.epoch, got[-1] if got else 0)
            subscriber = Subscriber(log.cursor_after(position), outlet, mailbox=mailbox)
            subscriber.notify()
        elif kind == "drain" and outlet is not None and outlet.is_blocked:
            assert subscriber is not None
            outlet.unblock(number)
            subscriber.resume()
        elif kind == "drop":
            leave()
        if outlet is not None and outlet.reason is not None:
            leave()
    leave()
    outlet = ScriptedOutlet()
    Subscriber(
        log.cursor_after(Position(log.epoch, got[-1] if got else 0)),
        outlet,
        mailbox=mailbox,
    ).notify()
    leave()

    assert got == list(range(1, log.seq + 1))
