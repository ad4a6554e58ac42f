"""Tests of the stabiliser."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from captiond.captions.stabiliser import Stabiliser, covered


def test_first_hypothesis_is_not_stable() -> None:
    """One hypothesis proves nothing."""
    shown = Stabiliser().update("it was")

    assert (shown.text, shown.stable) == ("it was", 0)


def test_words_agreed_on_twice_are_stable() -> None:
    """Words that two hypotheses in a row share are stable, the rest isn't."""
    stabiliser = Stabiliser()
    stabiliser.update("It was the best of to.")

    shown = stabiliser.update("It was the best of times,")
    assert shown.text[: shown.stable] == "It was the best of"


def test_case_and_punctuation_do_not_break_agreement() -> None:
    """A comma doesn't make another word."""
    stabiliser = Stabiliser()
    stabiliser.update("It was the best of times.")

    shown = stabiliser.update("it was the best of times, it")
    assert shown.text[: shown.stable] == "it was the best of times,"


def test_stable_words_stay_when_the_engine_changes_its_mind() -> None:
    """A later hypothesis changes only what follows the stable words."""
    stabiliser = Stabiliser()
    stabiliser.update("the spring of hope it")
    stabiliser.update("the spring of hope it")

    shown = stabiliser.update("the string of hope it was")
    assert shown.text == "the spring of hope it was"


def test_inserted_word_is_not_shown_twice() -> None:
    """Alignment, not counting, decides where the stable words end."""
    stabiliser = Stabiliser()
    stabiliser.update("a cold dip rest")
    stabiliser.update("a cold dip rest")

    shown = stabiliser.update("well a cold dip restores")
    assert shown.text == "a cold dip restores"


def test_last_word_is_never_stable() -> None:
    """The full stop that an engine puts after half a sentence must not stay."""
    stabiliser = Stabiliser()
    stabiliser.update("It was the.")
    stabiliser.update("It was the.")

    assert stabiliser.update("It was the age of").text == "It was the age of"


def test_covered_prefers_the_nearest_length() -> None:
    """Of equally near prefixes the one as long as the stable words counts."""
    assert covered(["a", "b"], ["x", "y", "c"]) == 2


TEXTS = st.lists(st.sampled_from(["the", "The", "best,", "best", "of", "x"])).map(
    " ".join
)


@given(st.lists(TEXTS, max_size=12))
def test_stable_prefix_only_grows(hypotheses: list[str]) -> None:
    """Whatever the engine says, what was stable stays and stays first."""
    stabiliser = Stabiliser()
    before = ""
    for text in hypotheses:
        shown = stabiliser.update(text)

        assert shown.text.startswith(before)
        assert shown.stable >= len(before)
        before = shown.text[: shown.stable]
