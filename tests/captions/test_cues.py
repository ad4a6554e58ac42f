"""Tests of cue building."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from captiond.captions.cues import CueBuilder, Utterance
from captiond.events import Caption, MediaTime


def utterance(
    id_: str, text: str, *, final: bool = False, start: float = 0.0, end: float = 1.0
) -> Utterance:
    """Return a hypothesis."""
    return Utterance(
        id=id_, final=final, start=MediaTime(start), end=MediaTime(end), text=text
    )


def test_interims_and_final_share_a_cue() -> None:
    """The states of one utterance are revisions of one cue."""
    builder = CueBuilder()
    captions = builder.update(utterance("a", "it"))
    captions += builder.update(utterance("a", "it was"))
    captions += builder.update(utterance("a", "It was.", final=True))

    assert [(c.cue, c.rev, c.final, c.text) for c in captions] == [
        (1, 1, False, "it"),
        (1, 2, False, "it was"),
        (1, 3, True, "It was."),
    ]
    assert captions[-1].stable == len("It was.")


def test_same_text_again_is_no_event() -> None:
    """A hypothesis that changes nothing that readers see is not sent."""
    builder = CueBuilder()
    builder.update(utterance("a", "it was"))
    builder.update(utterance("a", "it was"))

    assert builder.update(utterance("a", "it was", end=2.0)) == []


def test_withdrawn_words_end_in_an_empty_final() -> None:
    """A cue that had an interim gets its final even when nothing was said."""
    builder = CueBuilder()
    builder.update(utterance("a", "hm"))

    (final,) = builder.update(utterance("a", "", final=True))
    assert (final.final, final.text) == (True, "")


def test_silence_makes_no_cue() -> None:
    """An utterance without words that nobody saw stays unseen."""
    builder = CueBuilder()

    assert builder.update(utterance("a", "", final=True)) == []
    assert builder.update(utterance("b", "hello", final=True))[0].cue == 1


def test_new_utterance_closes_the_open_cue() -> None:
    """An utterance that the engine never finished keeps the words it showed."""
    builder = CueBuilder()
    builder.update(utterance("a", "one"))

    closed, opened = builder.update(utterance("b", "two", start=1.0, end=2.0))
    assert (closed.cue, closed.final, closed.text) == (1, True, "one")
    assert (opened.cue, opened.final, opened.text) == (2, False, "two")


def test_lost_session_is_continued_in_the_same_cue() -> None:
    """The next session's first utterance goes on with the open cue."""
    builder = CueBuilder()
    builder.update(utterance("a", "one", end=1.0))
    builder.session_lost()

    (caption,) = builder.update(utterance("x", "one two", start=0.1, end=2.0))
    assert (caption.cue, caption.rev) == (1, 2)


def test_lost_session_is_not_continued_by_later_speech() -> None:
    """An utterance long after the lost one is another cue."""
    builder = CueBuilder()
    builder.update(utterance("a", "one", end=1.0))
    builder.session_lost()

    closed, opened = builder.update(utterance("x", "two", start=5.0, end=6.0))
    assert (closed.cue, closed.final) == (1, True)
    assert opened.cue == 2


def test_lost_session_that_nothing_continues_is_closed() -> None:
    """Once the engine is past the cue, its words are final as shown."""
    builder = CueBuilder()
    builder.update(utterance("a", "one", end=1.0))

    assert builder.settled(MediaTime(9.0)) == []
    builder.session_lost()
    assert builder.settled(MediaTime(1.2)) == []
    assert [c.text for c in builder.settled(MediaTime(2.0))] == ["one"]


def test_finish_closes_the_open_cue() -> None:
    """finish() promotes the last interim, once."""
    builder = CueBuilder()
    builder.update(utterance("a", "one"))

    assert [c.text for c in builder.finish()] == ["one"]
    assert builder.finish() == []


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from("abc"),
            st.booleans(),
            st.sampled_from(["", "one", "one two", "Two."]),
            st.floats(0, 20),
        ),
        st.none(),
    )
)


@given(STEPS)
def test_every_interim_ends_in_exactly_one_final(
    steps: list[tuple[str, bool, str, float] | None],
) -> None:
    """Whatever engines do, cues are well-formed."""
    builder = CueBuilder()
    captions: list[Caption] = []
    for step in steps:
        if step is None:
            builder.session_lost()
        else:
            id_, final, text, start = step
            captions += builder.update(
                utterance(id_, text, final=final, start=start, end=start + 1)
            )
    captions += builder.finish()

    for cue in {c.cue for c in captions}:
        states = [c for c in captions if c.cue == cue]
        assert [c.final for c in states] == [False] * (len(states) - 1) + [True]
        assert [c.rev for c in states] == list(range(1, len(states) + 1))
    finals = [c.cue for c in captions if c.final]
    assert finals == sorted(finals)
