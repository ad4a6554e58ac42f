"""Word error rate."""

from __future__ import annotations

import pytest

from captiond.cli.score import WordErrors, simple, whisper, word_errors


def test_word_errors_counts_each_kind() -> None:
    """A substitution, an insertion and a deletion are three errors."""
    errors = word_errors("one two three four", "one too three and")

    assert WordErrors(words=4, errors=2) == errors
    assert errors.percent == pytest.approx(50)
    assert word_errors("a b", "a") == WordErrors(words=2, errors=1)
    assert word_errors("a", "a b") == WordErrors(words=1, errors=1)


def test_word_errors_ignores_case_and_punctuation() -> None:
    """The normaliser takes away what is not words."""
    assert word_errors("It was, it is.", "it was it is").errors == 0


def test_word_errors_of_an_empty_reference() -> None:
    """Without spoken words, every word heard is an error."""
    assert word_errors("...", "so much") == WordErrors(words=0, errors=2)
    assert WordErrors(words=0, errors=2).percent == pytest.approx(100)
    assert WordErrors().percent == pytest.approx(0)


def test_word_errors_add_up() -> None:
    """Totals are over words, not over files."""
    total = WordErrors(words=90, errors=0) + WordErrors(words=10, errors=5)

    assert total.percent == pytest.approx(5)


def test_whisper_normalises() -> None:
    """Whatever normaliser is installed, case and punctuation go."""
    assert whisper()("Hello, World!") == simple("Hello, World!")
