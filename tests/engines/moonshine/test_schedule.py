"""Tests of who is transcribed next, in virtual time."""

from __future__ import annotations

import dataclasses

from captiond.engines.moonshine.schedule import Schedule

CHUNK = 0.04


@dataclasses.dataclass
class Simulation:
    """Streams that all hear audio at the pace of a virtual clock."""

    speaking: dict[int, bool]
    cost: float
    """Seconds that an update takes while a line is open; otherwise nothing."""

    def run(self, seconds: float) -> dict[int, list[float]]:
        """Return the audio that each update of each stream covered."""
        schedule = Schedule(interim_interval=0.3)
        pending = dict.fromkeys(self.speaking, 0.0)
        updates: dict[int, list[float]] = {session: [] for session in self.speaking}
        for session in self.speaking:
            schedule.add(session)
        now = heard = 0.0
        while now < seconds:
            while heard <= now:
                heard += CHUNK
                for session in self.speaking:
                    schedule.heard(session, CHUNK)
                    pending[session] += CHUNK
            due = schedule.next()
            if due is None:
                now = heard
                continue
            updates[due].append(pending[due])
            pending[due] = 0.0
            speaking = self.speaking[due]
            now += self.cost if speaking else 0.0
            schedule.updated(due, pending=0.0, asked=False, speaking=speaking)
        return updates


def test_nobody_is_due_without_audio() -> None:
    """A stream that heard nothing is not updated."""
    schedule = Schedule(interim_interval=0.3)

    assert schedule.next() is None

    schedule.add(1)

    assert schedule.next() is None


def test_cadence_follows_the_line() -> None:
    """An open line is updated each interval, silence much more often."""
    updates = Simulation(speaking={1: True, 2: False}, cost=0.05).run(10.0)

    assert 10 / 0.4 <= len(updates[1]) <= 10 / 0.3
    assert max(updates[1][1:]) <= 0.36
    assert max(updates[2]) <= 0.2


def test_cadence_stretches_under_load() -> None:
    """With too many streams each update covers more audio, alike for all."""
    updates = Simulation(speaking=dict.fromkeys(range(8), True), cost=0.1).run(30.0)

    counts = [len(covered) for covered in updates.values()]
    assert max(counts) - min(counts) <= 1
    assert all(0.7 <= covered <= 0.9 for covered in updates[3][2:])


def test_nobody_starves() -> None:
    """Streams in silence don't keep the speaking one from its turn, nor it them."""
    speaking = {session: session in (0, 1, 2) for session in range(40)}
    updates = Simulation(speaking=speaking, cost=0.15).run(20.0)

    assert max(max(covered) for covered in updates.values()) <= 0.8


def test_the_asked_go_first() -> None:
    """Streams that were asked to finish go first, in the order of asking."""
    schedule = Schedule(interim_interval=0.3)
    for session in (1, 2, 3):
        schedule.add(session)
    schedule.heard(1, 5.0)
    schedule.ask(3)
    schedule.ask(2)
    schedule.ask(3)
    order = []
    for _ in range(3):
        due = schedule.next()
        assert due is not None
        order.append(due)
        schedule.updated(due, pending=0.0, asked=False, speaking=False)

    assert order == [3, 2, 1]
    assert schedule.next() is None


def test_asked_until_done() -> None:
    """A stream that has not finished yet stays first."""
    schedule = Schedule(interim_interval=0.3)
    schedule.add(1)
    schedule.add(2)
    schedule.heard(2, 60.0)
    schedule.ask(1)
    schedule.updated(1, pending=20.0, asked=True, speaking=True)

    assert schedule.next() == 1


def test_rest_stays_due() -> None:
    """Audio that an update left over counts for the next."""
    schedule = Schedule(interim_interval=0.3)
    schedule.add(1)
    schedule.heard(1, 8.0)
    schedule.updated(1, pending=3.0, asked=False, speaking=True)

    assert schedule.next() == 1


def test_removed_streams_are_forgotten() -> None:
    """A stream that was removed is never due."""
    schedule = Schedule(interim_interval=0.3)
    schedule.add(1)
    schedule.heard(1, 1.0)
    schedule.ask(1)
    schedule.remove(1)

    assert schedule.next() is None
