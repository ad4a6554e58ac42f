"""Tests of the seam: no word twice, and none lost."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given

from captiond.events import MediaTime, Word
from captiond.live.seam import Seam
from captiond.live.session import Hypothesis

WORD = 0.3
"""Seconds from one word to the next."""


def utterance(
    words: Sequence[str], first: int, *, final: bool = True, timed: bool = False
) -> Hypothesis:
    """Return what an engine says of words, the first of which is number ``first``."""
    start, end = first * WORD, (first + len(words)) * WORD
    return Hypothesis(
        utterance=f"{first}",
        final=final,
        start=MediaTime(start),
        end=MediaTime(end),
        text=" ".join(words),
        words=tuple(
            Word(
                text=word,
                start=MediaTime(start + index * WORD),
                end=MediaTime(start + (index + 1) * WORD),
            )
            for index, word in enumerate(words)
        )
        if timed
        else (),
    )


def seam_after(*finals: Hypothesis, heard_from: float) -> Seam:
    """Return a seam at which these finals had been told."""
    seam = Seam()
    for final in finals:
        seam.said(final)
    seam.begin(MediaTime(heard_from))
    return seam


def rest_of(seam: Seam, hypothesis: Hypothesis) -> str:
    """Return what is left of a hypothesis."""
    trimmed = seam.trim(hypothesis).hypothesis
    return "" if trimmed is None else trimmed.text


def test_without_a_seam_nothing_is_taken_out() -> None:
    """People repeat themselves; one session is believed."""
    seam = Seam()
    seam.said(utterance(["no"], 0))

    assert rest_of(seam, utterance(["no"], 1)) == "no"


def test_words_said_again_are_taken_out() -> None:
    """What overlaps goes, what is new stays, with its own start."""
    seam = seam_after(utterance(["it", "was", "the", "best"], 0), heard_from=0.3)
    trimmed = seam.trim(utterance(["was", "the", "best", "of", "times"], 1))

    assert trimmed.removed == 3
    assert trimmed.hypothesis is not None
    assert trimmed.hypothesis.text == "of times"
    assert trimmed.hypothesis.start == pytest.approx(1.2)


def test_an_utterance_said_again_is_taken_out_whole() -> None:
    """Nothing is left, interim or final, and its words are counted."""
    seam = seam_after(utterance(["it", "was"], 0), heard_from=0.0)

    assert seam.trim(utterance(["It", "was."], 0, final=False)).hypothesis is None

    trimmed = seam.trim(utterance(["It", "was,"], 0))

    assert (trimmed.hypothesis, trimmed.removed) == (None, 2)


def test_one_word_at_the_seam_is_taken_out() -> None:
    """Also if the engine that said it first thought that it had ended before."""
    seam = seam_after(utterance(["contemporary", "inscriptions"], 0), heard_from=0.55)
    again = dataclasses.replace(
        utterance(["Inscriptions", "give", "of"], 2),
        start=MediaTime(0.7),
        end=MediaTime(2.5),
    )

    assert rest_of(seam, again) == "give of"


def test_a_word_heard_differently_is_not_said_twice() -> None:
    """Most words fit, so the one between is the same one."""
    seam = seam_after(utterance(["the", "age", "of", "wisdom"], 0), heard_from=0.0)

    assert rest_of(seam, utterance(["the", "page", "of", "wisdom", "it"], 0)) == "it"


def test_engines_that_disagree_are_told_apart_by_time() -> None:
    """Where no word fits, what was spoken before the last final's end goes."""
    seam = seam_after(utterance(["a", "b", "c"], 0), heard_from=0.0)

    assert rest_of(seam, utterance(["x", "y", "z"], 0)) == ""
    assert rest_of(seam, utterance(["y", "z", "d", "e"], 1)) == "z d e"


def test_speech_after_the_seam_may_repeat_what_was_said() -> None:
    """Somebody who says it again a moment later has said it again."""
    seam = seam_after(utterance(["no", "no"], 0), heard_from=0.5)

    assert rest_of(seam, utterance(["no", "no"], 4)) == "no no"
    assert not seam.is_open


def test_a_session_that_heard_only_new_audio_is_believed() -> None:
    """Without an overlap there is no seam."""
    seam = seam_after(utterance(["no"], 0), heard_from=1.0)

    assert rest_of(seam, utterance(["no"], 1)) == "no"


def test_the_seam_closes_behind_the_words() -> None:
    """After a final beyond it every word counts again."""
    seam = seam_after(utterance(["a", "b"], 0), heard_from=0.0)
    seam.trim(utterance(["a", "b", "c", "d", "e", "f", "g"], 0))

    assert not seam.is_open


def _cut(words: Sequence[str], first: int, sizes: Iterator[int]) -> list[Hypothesis]:
    """Cut words into finals, whose times are right but for the words inside."""
    finals, at = [], 0
    while at < len(words):
        size = next(sizes)
        finals.append(utterance(words[at : at + size], first + at))
        at += size
    return finals


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    told=st.integers(1, 40),
    back=st.integers(0, 12),
    early=st.floats(-0.25, 0.25),
)
def test_no_word_is_lost_or_doubled(
    sizes: list[int], told: int, back: int, early: float
) -> None:
    """Whatever was told, however far the next session hears back, each word is once."""
    words = [f"w{number}" for number in range(60)]
    cutter = itertools.cycle(sizes)
    finals = _cut(words[:told], 0, cutter)
    end = MediaTime(max(finals[-1].start, finals[-1].end + early))
    finals[-1] = dataclasses.replace(finals[-1], end=end)
    seam = Seam()
    for final in finals:
        seam.said(final)
    first = max(0, told - back)
    seam.begin(MediaTime(first * WORD))
    texts = [final.text for final in finals]
    for final in _cut(words[first:], first, cutter):
        trimmed = seam.trim(final)
        if trimmed.hypothesis is not None:
            seam.said(trimmed.hypothesis)
            texts.append(trimmed.hypothesis.text)

    assert " ".join(texts).split() == words


@given(
    words=st.lists(st.sampled_from("abc"), min_size=30, max_size=60),
    told=st.integers(1, 25),
    back=st.integers(0, 12),
    size=st.integers(1, 9),
)
def test_exact_times_tell_equal_words_apart(
    words: list[str], told: int, back: int, size: int
) -> None:
    """An engine that knows its words' times isn't fooled by repetitions."""
    seam = Seam()
    seam.said(utterance(words[:told], 0, timed=True))
    first = max(0, told - back)
    seam.begin(MediaTime(first * WORD))
    texts = words[:told]
    for at in range(first, len(words), size):
        trimmed = seam.trim(utterance(words[at : at + size], at, timed=True))
        if trimmed.hypothesis is not None:
            seam.said(trimmed.hypothesis)
            texts += trimmed.hypothesis.text.split()

    assert texts == words
