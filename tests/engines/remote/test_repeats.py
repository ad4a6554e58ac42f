"""What a service says twice, and what a speaker does."""

from __future__ import annotations

import pytest

from captiond.engines.remote.repeats import LastFinal, similar, starts_anew, words


def test_words() -> None:
    """Case and punctuation are no words; an apostrophe belongs to one."""
    assert words("It's 2 o\u2019clock, \u00c4nne!") == [
        "it's",
        "2",
        "o\u2019clock",
        "\u00e4nne",
    ]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("it was the best of times", "It was the best of times.", True),
        ("it was the best of all times", "It was the best of times.", True),
        ("it was the worst of times", "It was the best of times.", False),
        ("", "", True),
    ],
)
def test_similar(one: str, other: str, expected: bool) -> None:
    """A word more or less is the same text; another word isn't."""
    assert similar(words(one), words(other)) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("it was the best", "it was the best of", False),
        ("2 l", "two litres of", True),
        ("it was the beast of", "it was the best of times", False),
        ("it was the best of times", "it", True),
        ("yes sir", "it was", True),
        ("it was the best of times", "that is another story", True),
    ],
)
def test_starts_anew(before: str, after: str, expected: bool) -> None:
    """An interim that isn't the one before, grown or revised."""
    assert starts_anew(before, after) is expected


@pytest.mark.parametrize(
    ("text", "interim", "fresh", "ended", "new"),
    [
        ("It was the best.", "", False, False, ""),
        ("it was", "", False, False, ""),
        ("That is new.", "", False, False, "That is new."),
        ("It was the best.", "", True, False, ""),
        ("It was the best.", "", True, True, "It was the best."),
        ("It was the best.", "so what", True, True, ""),
        ("It was the best.", "it was the best", True, True, "It was the best."),
        ("It was the worst.", "it", True, False, "It was the worst."),
    ],
)
def test_final(text: str, interim: str, fresh: bool, ended: bool, new: str) -> None:
    """After a final of the service's own."""
    last = LastFinal()
    last.told("It was the best.", promoted=False)

    assert last.new_in(text, interim=interim, fresh=fresh, ended=ended) == new


@pytest.mark.parametrize(
    ("text", "interim", "fresh", "new"),
    [
        ("It was the best.", "", False, ""),
        ("That is another.", "", False, ""),
        ("It was the best of times.", "", False, "of times."),
        ("It was the best of times.", "", True, "It was the best of times."),
        ("It was the best!", "so what", True, ""),
        ("So what is it?", "so what", True, "So what is it?"),
    ],
)
def test_promoted(text: str, interim: str, fresh: bool, new: str) -> None:
    """After an interim that had to do."""
    last = LastFinal()
    last.told("it was the best", promoted=True)

    assert last.new_in(text, interim=interim, fresh=fresh, ended=True) == new


def test_nothing_before() -> None:
    """The first text of a session is new, even one without words."""
    last = LastFinal()

    assert last.new_in("\u2026", interim="", fresh=False, ended=False) == "\u2026"
