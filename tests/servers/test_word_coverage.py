"""How much of a word must be heard, and when it is told."""

from __future__ import annotations

from tests.servers.programme import Word
from tests.servers.word_coverage import HeardWord, WordCoverage

WORDS = (
    Word(text="one", start=1.0, end=1.5),
    Word(text="two", start=1.5, end=2.0),
    Word(text="three", start=3.0, end=4.0),
)


def hear(coverage: WordCoverage, start: float, end: float, shift: float = 0.0) -> None:
    """Credit a piece, 20 ms at a time."""
    for cell in range(round(start * 50), round(end * 50)):
        coverage.credit(start=cell / 50, end=(cell + 1) / 50, shift=shift)


def texts(coverage: WordCoverage) -> list[str]:
    return [word.text for word in coverage.take()]


def test_a_word_is_told_at_its_end_with_its_place() -> None:
    """Not before, only once, and on the received clock."""
    coverage = WordCoverage(WORDS)
    hear(coverage, 0.9, 1.44, shift=-0.5)
    assert coverage.take() == []
    hear(coverage, 1.44, 1.6, shift=-0.5)

    assert coverage.take() == [HeardWord(text="one", start=0.5, end=1.0)]
    assert coverage.take() == []


def test_half_a_word_is_enough() -> None:
    """A word of which a bit more is missing isn't heard."""
    coverage = WordCoverage(WORDS)
    hear(coverage, 1.24, 1.6)
    hear(coverage, 3.54, 4.3)

    assert texts(coverage) == ["one"]


def test_holes_count_as_missing() -> None:
    """What was heard before and after a hole is added."""
    coverage = WordCoverage(WORDS)
    hear(coverage, 3.0, 3.4)
    hear(coverage, 3.6, 4.0)

    assert texts(coverage) == ["three"]


def test_a_pause_tells_what_was_heard_enough_of() -> None:
    """The rest of it may still come, and isn't another word."""
    coverage = WordCoverage(WORDS)
    hear(coverage, 3.0, 3.8)
    assert texts(coverage) == []
    coverage.pause()
    assert texts(coverage) == ["three"]
    hear(coverage, 3.8, 4.3)

    assert texts(coverage) == []


def test_a_word_that_is_cut_belongs_to_the_larger_piece() -> None:
    """And one cut in three to none."""
    coverage = WordCoverage(WORDS)
    hear(coverage, 1.0, 1.2)
    coverage.cut()
    hear(coverage, 1.2, 2.0)
    hear(coverage, 3.0, 3.4)
    coverage.cut()
    hear(coverage, 3.4, 3.7)
    coverage.cut()
    hear(coverage, 3.7, 4.2)

    assert texts(coverage) == ["one", "two"]


def test_after_a_reset_words_may_come_again() -> None:
    """Without it a word is told once."""
    coverage = WordCoverage(WORDS)
    hear(coverage, 0.9, 2.2)
    hear(coverage, 0.9, 2.2)
    assert texts(coverage) == ["one", "two"]
    coverage.reset()
    hear(coverage, 0.9, 2.2)

    assert texts(coverage) == ["one", "two"]


def test_near_a_word_is_60_ms() -> None:
    """Before and after it, and in it."""
    coverage = WordCoverage(WORDS)

    assert not coverage.near_word(0.9)
    assert coverage.near_word(0.95)
    assert coverage.near_word(1.7)
    assert coverage.near_word(2.05)
    assert not coverage.near_word(2.5)
    assert not coverage.near_word(4.1)


def test_words_may_share_their_times() -> None:
    """The parts of a hyphenated word are told together."""
    coverage = WordCoverage(
        [Word(text=text, start=1.0, end=1.5) for text in ("ill", "disposed")]
    )
    hear(coverage, 0.9, 1.6)

    assert texts(coverage) == ["ill", "disposed"]
