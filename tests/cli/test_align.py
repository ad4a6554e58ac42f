"""Words and their alignment."""

from __future__ import annotations

import pytest

from captiond.cli.align import align, tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It was the best of times,", ["it", "was", "the", "best", "of", "times"]),
        ("well-known \u2014 it\u2019s", ["well", "known", "it's"]),
        ("'quoted' and/or [noise]", ["quoted", "and", "or", "noise"]),
        (" ... ", []),
    ],
)
def test_tokens(text: str, words: list[str]) -> None:
    """tokens() keeps apostrophes inside words and nothing else."""
    assert words == tokens(text)


@pytest.mark.parametrize(
    ("heard", "spoken", "pairs"),
    [
        ("a b c", "a b c", [(0, 0), (1, 1), (2, 2)]),
        ("a x c", "a b c", [(0, 0), (1, 1), (2, 2)]),
        ("a c", "a b c", [(0, 0), (1, 2)]),
        ("a b x c", "a b c", [(0, 0), (1, 1), (3, 2)]),
        ("", "a b", []),
        ("a", "", []),
    ],
)
def test_align(heard: str, spoken: str, pairs: list[tuple[int, int]]) -> None:
    """align() pairs equal and mistaken words, and no others."""
    assert pairs == align(heard.split(), spoken.split())


def test_align_prefix_takes_the_first_of_repeated_words() -> None:
    """An interim is paired with the beginning, not with a later repetition."""
    spoken = ["it", "was", "the", "best", "it", "was", "the", "worst"]

    assert align(["it", "was", "the"], spoken, prefix=True) == [(0, 0), (1, 1), (2, 2)]
