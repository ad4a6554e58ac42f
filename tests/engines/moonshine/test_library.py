"""Tests of what is made of the library's words."""

from __future__ import annotations

import pytest

from captiond.engines.moonshine.library import clean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In short,, the period", "In short, the period"),
        ("In short, , the period", "In short, the period"),
        ("It ended..", "It ended."),
        ("It ended. . Then", "It ended. Then"),
        ("Well... yes.", "Well... yes."),
        ("What?? No!! So;; and::", "What? No! So; and:"),
        ("What?! 3.50, at 10:30, e.g. I.", "What?! 3.50, at 10:30, e.g. I."),
        (" two  words ", "two  words"),
        ("", ""),
    ],
)
def test_clean(text: str, expected: str) -> None:
    """Punctuation that the model says twice is said once; dots of three stay."""
    assert clean(text) == expected
