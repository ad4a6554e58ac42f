"""Live captions on a terminal and as lines."""

from __future__ import annotations

import io

from rich.console import Console

from captiond.cli.messages import Caption, Gap, Hello, Message, Status, Unknown
from captiond.cli.view import CaptionView


def caption(text: str, *, final: bool = False, stable: int = 0) -> Caption:
    return Caption(
        epoch="e",
        seq=1,
        cue=1,
        final=final,
        start=62.34,
        end=64.0,
        text=text,
        stable=stable,
        latency=0.412,
    )


def render(*messages: Message, terminal: bool) -> str:
    console = Console(
        file=io.StringIO(),
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        width=80,
        markup=False,
        highlight=False,
    )
    with CaptionView(console) as view:
        for message in messages:
            view.show(message)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_prints_finals_only() -> None:
    """Off a terminal an interim leaves no trace, a final its latency."""
    output = render(caption("It w"), caption("It was.", final=True), terminal=False)

    assert output == " 1:02.3  It was.  (0.41 s)\n"


def test_terminal_shows_the_stable_part_brighter() -> None:
    """The stable part of an interim is bold, the rest dim."""
    output = render(caption("It was", stable=3), terminal=True)

    assert "\x1b[1mIt \x1b[0m" in output
    assert "\x1b[2;3mwas\x1b[0m" in output


def test_terminal_rewrites_interims_and_keeps_finals() -> None:
    """After the final nothing of the interim is left below it."""
    output = render(
        caption("It w"),
        caption("It was"),
        caption("It was.", final=True),
        terminal=True,
    )
    after_final = output.split("It was.")[1]

    assert "It w" not in after_final


def test_withdrawn_cues_print_nothing() -> None:
    """An empty final takes its interim away."""
    assert render(caption("eh"), caption("", final=True), terminal=False) == ""


def test_control_characters_do_not_reach_the_terminal() -> None:
    """A caption can't send escape sequences."""
    output = render(caption("a\x1b[2Jb\x07c", final=True), terminal=False)

    assert "a [2Jb c" in output
    assert "\x1b" not in output


def test_notes() -> None:
    """Gaps, states and lost positions are remarks."""
    output = render(
        Hello(stream="s", epoch="e", seq=9, state="live", after=4, lost="3 events"),
        Status(epoch="e", seq=1, state="live", reason=""),
        Gap(epoch="e", seq=2, start=1.0, end=2.25, reason="loss"),
        Status(epoch="e", seq=3, state="ended", reason="no publisher"),
        Unknown(type="session"),
        terminal=False,
    )

    assert output.splitlines() == [
        "-- no longer in the log: 3 events",
        "-- live",
        "-- 1.2 s of audio never arrived: loss",
        "-- ended: no publisher",
    ]
