"""How late captions are."""

from __future__ import annotations

import math

import pytest

from captiond.cli.measure import (
    Shown,
    SpokenWord,
    latencies,
    percentile,
    spoken_words,
    transcript,
)

STARTED = 1000.0

SPOKEN = [
    SpokenWord("it", 1.0, 1.2),
    SpokenWord("was", 1.2, 1.5),
    SpokenWord("the", 1.5, 1.6),
    SpokenWord("best", 1.6, 2.0),
    SpokenWord("it", 3.0, 3.2),
    SpokenWord("was", 3.2, 3.4),
    SpokenWord("worst", 3.4, 4.0),
]


def shown(at: float, cue: int, text: str, *, final: bool = False) -> Shown:
    return Shown(at=STARTED + at, cue=cue, final=final, text=text)


CAPTIONS = [
    shown(1.4, 1, ""),
    shown(1.7, 1, "It was"),
    shown(2.1, 1, "It was a best"),
    shown(2.6, 1, "It was the best.", final=True),
    shown(3.8, 2, "It was"),
    shown(4.9, 2, "It was worst.", final=True),
]


def test_first_interim_counts_from_the_first_word() -> None:
    """An interim without text is not the first one."""
    figures = latencies(CAPTIONS, SPOKEN, started_at=STARTED)

    assert figures.first_interim == pytest.approx([0.7, 0.8])


def test_word_counts_from_its_end_to_its_first_right_showing() -> None:
    """A word that was mistaken at first counts from when it was right."""
    figures = latencies(CAPTIONS, SPOKEN, started_at=STARTED)

    assert figures.word == pytest.approx([0.5, 0.2, 1.0, 0.1, 0.6, 0.4, 0.9])


def test_final_counts_from_the_end_of_its_last_word() -> None:
    """Each final has the last spoken word that it holds."""
    figures = latencies(CAPTIONS, SPOKEN, started_at=STARTED)

    assert figures.final == pytest.approx([0.6, 0.9])


def test_words_without_times_are_left_out() -> None:
    """A cue that ends in a word without a time gives no final latency."""
    spoken = [*SPOKEN[:-1], SpokenWord("worst", None, None)]
    figures = latencies(CAPTIONS, spoken, started_at=STARTED)

    assert figures.final == pytest.approx([0.6])
    assert len(figures.word) == len(SPOKEN) - 1


def test_invented_cues_give_no_figures() -> None:
    """A cue whose words were never spoken belongs to no spoken word."""
    captions = [
        *CAPTIONS,
        shown(6.0, 3, "Thank you", final=True),
        shown(7.0, 4, "", final=True),
    ]
    figures = latencies(captions, SPOKEN, started_at=STARTED)

    assert len(figures.final) == 2


def test_spoken_words_splits_hyphens() -> None:
    """Both halves of a hyphenated word have its times; null stays unknown."""
    words = spoken_words([["well-known", 1, 2.5], ["fact", None, None]])

    assert words == [
        SpokenWord("well", 1.0, 2.5),
        SpokenWord("known", 1.0, 2.5),
        SpokenWord("fact", None, None),
    ]


def test_transcript_joins_finals() -> None:
    """Interims and empty finals are not part of the transcript."""
    captions = [*CAPTIONS, shown(6.0, 3, " ", final=True)]

    assert transcript(captions) == "It was the best. It was worst."


def test_percentile() -> None:
    """Percentiles are interpolated, of any order of values."""
    assert percentile([3, 1, 2], 50) == pytest.approx(2)
    assert percentile([1, 2], 95) == pytest.approx(1.95)
    assert percentile([7], 95) == pytest.approx(7)
    assert math.isnan(percentile([], 50))
