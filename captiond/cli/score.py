"""Word error rate: how many words are wrong, and against which normaliser."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

import jiwer

from captiond.cli.align import tokens

Normaliser = Callable[[str], str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WordErrors:
    """Words of a reference, and how many errors a hypothesis has; they add up."""

    words: int = 0
    errors: int = 0

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            words=self.words + other.words, errors=self.errors + other.errors
        )

    @property
    def percent(self) -> float:
        """Word error rate in percent; of nothing, 0 without errors and 100 with."""
        if not self.words:
            return 100.0 if self.errors else 0.0
        return 100 * self.errors / self.words


def simple(text: str) -> str:
    """Lower case, no punctuation but apostrophes, hyphens as spaces."""
    return " ".join(tokens(text))


def whisper() -> Normaliser:
    """
    Return the Whisper English normaliser, which most published figures use.

    Where ``whisper-normalizer`` is not installed, :func:`simple` stands in.
    """
    try:
        module = importlib.import_module("whisper_normalizer.english")
    except ImportError:
        return simple
    normaliser: Normaliser = module.EnglishTextNormalizer()
    return normaliser


def word_errors(
    reference: str, hypothesis: str, *, normalise: Normaliser = simple
) -> WordErrors:
    """Return substitutions + insertions + deletions against the reference's words."""
    spoken, heard = normalise(reference), normalise(hypothesis)
    if not spoken.split():
        return WordErrors(words=0, errors=len(heard.split()))
    result = jiwer.process_words(spoken, heard)
    return WordErrors(
        words=result.hits + result.substitutions + result.deletions,
        errors=result.substitutions + result.deletions + result.insertions,
    )
