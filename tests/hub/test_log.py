"""Tests of the caption log and its cursors."""

from __future__ import annotations

import datetime

import pytest

from captiond.egress.wire import encode
from captiond.errors import StreamNameError
from captiond.events import Caption, CueId, MediaTime, Status, StreamState
from captiond.hub.log import Position, PositionLost, StreamLog, check_name

WALL = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def new_log(limit: int = 100) -> StreamLog:
    """Return an empty log."""
    return StreamLog("demo", limit=limit, encode=encode, wall=lambda: WALL)


def caption(cue: int, text: str, *, final: bool, rev: int = 1) -> Caption:
    """Return a state of a cue."""
    return Caption(
        cue=CueId(cue),
        rev=rev,
        final=final,
        start=MediaTime(0.0),
        end=MediaTime(1.0),
        text=text,
        stable=0,
    )


def test_only_durable_events_are_numbered() -> None:
    """An interim carries the number of the last durable event."""
    log = new_log()

    stamps = [
        log.append(event).stamp.seq
        for event in (
            Status(state=StreamState.LIVE, reason="x"),
            caption(1, "a", final=False),
            caption(1, "a", final=True),
        )
    ]
    assert stamps == [1, 1, 2]


def test_cursor_starts_with_the_open_cue() -> None:
    """A reader without a position gets the current interim, then what is new."""
    log = new_log()
    log.append(caption(1, "old", final=True))
    interim = log.append(caption(2, "now", final=False))
    cursor = log.cursor()

    assert cursor.next() is interim
    assert cursor.next() is None
    final = log.append(caption(2, "now.", final=True))
    assert cursor.next() is final


def test_cursor_gives_only_the_newest_interim() -> None:
    """Interims coalesce, and one that its final overtook is never given."""
    log = new_log()
    cursor = log.cursor()
    log.append(caption(1, "a", final=False))
    newest = log.append(caption(1, "a b", final=False, rev=2))

    assert cursor.next() is newest
    log.append(caption(1, "a b c", final=False, rev=3))
    final = log.append(caption(1, "abc", final=True, rev=4))
    assert [cursor.next(), cursor.next()] == [final, None]


def test_position_gives_everything_after_it() -> None:
    """A reader that names a position gets each durable event once, in order."""
    log = new_log()
    messages = [log.append(caption(n, str(n), final=True)) for n in range(1, 6)]
    cursor = log.cursor_after(Position(log.epoch, 2))

    assert [cursor.next() for _ in range(4)] == [*messages[2:], None]
    assert cursor.lost is None


def test_expired_position_is_told() -> None:
    """What the log no longer holds is named, and the rest is given."""
    log = new_log(limit=2)
    messages = [log.append(caption(n, str(n), final=True)) for n in range(1, 6)]
    cursor = log.cursor_after(Position(log.epoch, 1))

    assert cursor.lost is not None
    assert (cursor.lost.reason, cursor.lost.first, cursor.lost.last) == (
        "expired",
        2,
        3,
    )
    assert [cursor.next(), cursor.next()] == messages[3:]


@pytest.mark.parametrize(
    ("epoch", "seq", "reason"), [("other", 1, "epoch"), (None, 99, "unknown")]
)
def test_foreign_position_is_told(epoch: str | None, seq: int, reason: str) -> None:
    """Another epoch, or a number that was never given, replays what there is."""
    log = new_log()
    message = log.append(caption(1, "a", final=True))
    cursor = log.cursor_after(Position(epoch or log.epoch, seq))

    assert cursor.lost is not None
    assert cursor.lost.reason == reason
    assert cursor.next() is message


def test_replay_counts_finals_only() -> None:
    """``replay=N`` gives the last N finals and what lies between them."""
    log = new_log()
    log.append(caption(1, "a", final=True))
    log.append(caption(2, "b", final=True))
    log.append(Status(state=StreamState.PAUSED, reason="x"))
    log.append(caption(3, "c", final=True))
    cursor = log.cursor_before_end(2)

    assert cursor.behind == 3
    assert log.cursor_before_end(99).behind == 4


def test_cursor_that_fell_out_of_the_log_raises() -> None:
    """A reader too far behind learns that it lost something."""
    log = new_log(limit=2)
    cursor = log.cursor()
    for n in range(1, 5):
        log.append(caption(n, str(n), final=True))

    with pytest.raises(PositionLost):
        cursor.next()


@pytest.mark.parametrize("text", ["", "x", ":1", "a:", "a:-1", "a:x", "a:1:2", "a:²"])
def test_position_of_another_form_is_refused(text: str) -> None:
    """parse() takes ``epoch:seq`` only."""
    with pytest.raises(ValueError, match="position"):
        Position.parse(text)


@pytest.mark.parametrize("name", ["", "a" * 65, "a/b", "ä", "a b", "a\n", "%00"])
def test_bad_names_are_refused(name: str) -> None:
    """Only 1 to 64 harmless characters are a name."""
    with pytest.raises(StreamNameError):
        check_name(name)


def test_good_names_are_taken() -> None:
    """Every allowed character may be in a name."""
    assert check_name("A-z.0_9") == "A-z.0_9"
