"""Tests of the exchange with a server, without one: messages in, messages out."""

from __future__ import annotations

import pytest

from captiond.engines.openai_realtime.exchange import PATIENCE
from captiond.engines.openai_realtime.steps import Expect, Fatal, Flush, Loss
from captiond.engines.openai_realtime.turns import MAX_AHEAD
from captiond.engines.remote.outgoing import AudioMessage, Endpoint
from captiond.events import MediaTime
from captiond.live.session import (
    Flushed,
    Hypothesis,
    SpeechEnded,
    SpeechStarted,
    Usage,
)
from tests.engines.openai_realtime.talk import ITEM, NOISE, Talk


def test_an_utterance() -> None:
    """Pieces become interims, and the transcript a final with the times of speech."""
    talk = Talk(language="en")
    talk.audio(1.0, loud=False)
    talk.speak(2.0)
    talk.hear(f"{ITEM}.delta", "a", delta="it")
    talk.hear(f"{ITEM}.delta", "a", delta=" was")
    talk.commit("a")
    talk.complete("a", "It was.")
    interims = [e for e in talk.events if isinstance(e, Hypothesis) and not e.final]
    [final] = talk.finals

    assert [each.text for each in interims] == ["it", "it was"]
    assert talk.types == ["commit"]
    assert final.text == "It was."
    assert final.start == pytest.approx(1.0, abs=0.01)
    assert final.end == pytest.approx(3.0, abs=0.01)
    assert final.language == "en"
    assert {final.utterance} == {each.utterance for each in interims}


def test_out_of_order() -> None:
    """Transcripts are told in the order of their items."""
    talk = Talk(model="gpt-transcribe", turn_detection="client")
    talk.speak(2.0)
    talk.speak(2.0)
    talk.commit("a")
    talk.commit("b", "a")
    talk.complete("b", "two")
    before = talk.texts
    talk.complete("a", "one")

    assert before == []
    assert talk.texts == ["one", "two"]
    assert talk.finals[0].end < talk.finals[1].start


def test_overlapping_items() -> None:
    """Pieces of the next item wait until the one before is over."""
    talk = Talk()
    talk.speak(2.0)
    talk.hear(f"{ITEM}.delta", "a", delta="one")
    talk.commit("a")
    talk.audio(0.5)
    talk.hear(f"{ITEM}.delta", "b", delta="two")
    talk.complete("a", "One.")
    told = [(e.text, e.final) for e in talk.events if isinstance(e, Hypothesis)]

    assert told == [("one", False), ("One.", True), ("two", False)]


@pytest.mark.parametrize(("delta", "texts"), [("it was", ["it was"]), ("", [])])
def test_failed_item(delta: str, texts: list[str]) -> None:
    """What was shown of it is final; what wasn't is counted, and nothing hangs."""
    talk = Talk()
    talk.speak(2.0)
    if delta:
        talk.hear(f"{ITEM}.delta", "a", delta=delta)
    talk.commit("a")
    talk.hear(f"{ITEM}.failed", "a", error={"code": "x", "message": "No."})
    talk.send(Flush())

    assert talk.texts == texts
    assert talk.losses == [Loss.FAILED]
    assert talk.events[-1] == Flushed()


def test_no_transcript() -> None:
    """The last interim has to do, and a late transcript is left out."""
    talk = Talk()
    talk.speak(2.0)
    talk.hear(f"{ITEM}.delta", "a", delta="it was")
    talk.commit("a")
    talk.tick(10.0)
    talk.complete("a", "It was the best.")

    assert talk.texts == ["it was"]
    assert talk.exchange.repeats == 1


def test_transcript_that_never_comes_is_counted() -> None:
    """Also where nothing was shown."""
    talk = Talk(model="gpt-transcribe", turn_detection="client")
    talk.speak(2.0)
    talk.commit("a")
    talk.tick(PATIENCE + 1)

    assert talk.losses == [Loss.MISSING]


def test_transcript_twice() -> None:
    """The second one is nothing."""
    talk = Talk()
    talk.speak(2.0)
    talk.commit("a")
    talk.complete("a", "It was.")
    talk.complete("a", "It was.")

    assert talk.texts == ["It was."]
    assert talk.losses == []


def test_transcript_of_nothing() -> None:
    """It is counted and left out."""
    talk = Talk()
    talk.audio(1.0, loud=False)
    talk.complete("x", "Thank you.")

    assert talk.texts == []
    assert talk.losses == [Loss.UNKNOWN]


def test_usage() -> None:
    """What was consumed is told."""
    talk = Talk()
    talk.speak(2.0)
    talk.commit("a")
    talk.hear(
        f"{ITEM}.completed",
        "a",
        transcript="x",
        usage={"type": "duration", "seconds": 2.5},
    )

    assert talk.events[-1] == Usage(audio_seconds=2.5)


def test_complaint() -> None:
    """It doesn't end the session; a refused commit has no item."""
    talk = Talk()
    talk.speak(2.0)
    error = {"code": "input_audio_buffer_commit_empty", "event_id": "commit-1"}
    talk.hear("error", error=error)
    talk.speak(2.0)
    talk.commit("a")
    talk.complete("a", "two")

    assert talk.losses == [Loss.REFUSED]
    assert talk.finals[0].start == pytest.approx(2.5, abs=0.01)


def test_fatal_complaint() -> None:
    """It does."""
    with pytest.raises(Fatal, match="too old"):
        Talk().hear("error", error={"code": "session_expired", "message": "too old"})


def test_flush_without_speech() -> None:
    """There is nothing to commit, and the answer comes at once."""
    talk = Talk()
    talk.audio(2.0, loud=False)
    talk.send(Flush())

    assert talk.types == []
    assert talk.events[-1] == Flushed()


def test_flush_in_speech() -> None:
    """What was said so far is committed; the answer comes after its transcript."""
    talk = Talk()
    talk.audio(1.0)
    talk.send(SpeechStarted(time=MediaTime(0.0)))
    talk.send(Flush())
    waits = Flushed() not in talk.events
    talk.commit("a")
    talk.complete("a", "it")

    assert talk.types == ["commit"]
    assert waits
    assert talk.events[-1] == Flushed()


def test_short_commit_is_filled_up() -> None:
    """A commit needs a tenth of a second."""
    talk = Talk()
    talk.audio(1.0)
    talk.send(SpeechStarted(time=MediaTime(0.0)), Flush())
    talk.send(AudioMessage(MediaTime(1.0), NOISE[: len(NOISE) // 2]), Flush())
    sizes = [len(m["audio"]) for m in talk.sent if m["type"].endswith("append")]

    assert talk.types == ["commit", "commit"]
    assert sum(sizes[-2:]) * 3 / 4 > 0.1 * 48_000


def test_silence_is_cleared() -> None:
    """The server forgets it, but for what may be the start of speech."""
    talk = Talk()
    talk.audio(10.5, loud=False)
    clear = next(
        at for at, m in enumerate(talk.sent) if m["type"].endswith("buffer.clear")
    )
    again = [m["type"].rpartition(".")[2] for m in talk.sent[clear + 1 :]]

    assert talk.types == ["clear"]
    assert again == ["append"] * 10
    assert talk.settled.time >= 9.0


def test_server_that_is_far_behind() -> None:
    """It is waited for until transcripts come."""
    talk = Talk()
    while talk.exchange.ready:
        talk.speak(1.0)
    count = talk.types.count("commit")
    talk.commit("a")
    behind = talk.exchange.ready
    talk.complete("a", "one")

    assert count == MAX_AHEAD
    assert not behind
    assert talk.exchange.ready


def test_jump() -> None:
    """What is before it ends there, also where the server ends utterances."""
    talk = Talk(model="gpt-4o-transcribe")
    talk.audio(1.0)
    talk.send(SpeechStarted(time=MediaTime(0.0)))
    talk.send(SpeechEnded(time=MediaTime(1.0)), Endpoint())
    ordinary = list(talk.types)
    talk.at = 50.0
    talk.audio(0.5)

    assert ordinary == []
    assert talk.types == ["commit"]


def test_turns_of_the_server() -> None:
    """Ends of speech are its business; its times count."""
    talk = Talk(model="gpt-4o-transcribe")
    talk.speak(2.0)
    talk.hear("input_audio_buffer.speech_started", "a", audio_start_ms=0)
    talk.hear("input_audio_buffer.speech_stopped", "a", audio_end_ms=2400)
    talk.commit("a")
    talk.complete("a", "It was.")
    [final] = talk.finals

    assert talk.types == []
    assert final.start == 0.0
    assert final.end == pytest.approx(1.9, abs=0.01)


def test_words_to_expect() -> None:
    """They change while the session goes on."""
    talk = Talk(vocabulary=["Dickens"])
    talk.send(Expect(("Paris", "")))
    [update] = talk.sent
    settings = update["session"]["audio"]["input"]["transcription"]
    talk.hear("session.updated", session={})

    assert settings["keywords"] == ["Dickens", "Paris"]
    assert talk.losses == []


class TestVllm:
    """One generation for each utterance."""

    @pytest.fixture
    def talk(self) -> Talk:
        return Talk(dialect="vllm", model="voxtral")

    def test_an_utterance(self, talk: Talk) -> None:
        """No audio may be sent until its text is there."""
        talk.speak(2.0)
        ready = talk.exchange.ready
        talk.hear("transcription.delta", delta=" it")
        talk.hear("transcription.done", text=" it was", usage={"prompt_tokens": 3})

        assert talk.types == ["commit", "commit"]
        assert talk.sent[-1]["final"] is True
        assert not ready
        assert talk.exchange.ready
        assert talk.texts == ["it was"]
        assert talk.events[-1] == Usage(input_tokens=3)

    def test_silence(self, talk: Talk) -> None:
        """A generation that hears nothing is replaced now and then."""
        talk.audio(10.0, loud=False)
        talk.hear("transcription.done", text="")
        talk.audio(0.1, loud=False)

        assert talk.types == ["commit", "commit", "commit"]
        assert talk.texts == []

    def test_hanging(self, talk: Talk) -> None:
        """A server that owes the text for too long is given up."""
        talk.speak(2.0)
        talk.hear("transcription.delta", delta=" it")
        talk.tick(5.0)
        with pytest.raises(Fatal) as caught:
            talk.tick(1.5)

        assert talk.texts == ["it"]
        assert caught.value.trouble.retryable

    def test_trouble(self, talk: Talk) -> None:
        """Nobody knows what the generation heard: the session ends."""
        talk.speak(2.0)
        with pytest.raises(Fatal):
            talk.hear("error", error="No.", code="processing_error")
