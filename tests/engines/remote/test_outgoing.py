"""What is sent of the audio, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiond.engines.remote.outgoing import AudioMessage, Endpoint, Outgoing, Step
from captiond.engines.remote.sent import SentAudio
from captiond.events import MediaTime
from captiond.live.session import SpeechEnded, SpeechStarted
from captiond.media.chunk import AudioChunk
from tests.servers.programme import Programme

BYTES_PER_SECOND = 32_000


def chunk(start: float, pcm: bytes) -> AudioChunk:
    return AudioChunk(start=MediaTime(start), pcm=pcm, arrival=0.0, decoded=0.0)


def push_all(outgoing: Outgoing, pcm: bytes, *, start: float = 0.0) -> list[Step]:
    steps: list[Step] = []
    for at in range(0, len(pcm), 1280):
        steps += outgoing.push(
            chunk(start + at / BYTES_PER_SECOND, pcm[at : at + 1280])
        )
    return steps


def messages(steps: list[Step]) -> list[AudioMessage]:
    return [step for step in steps if isinstance(step, AudioMessage)]


def test_messages_of_100_ms() -> None:
    """Chunks of 40 ms become messages of 100 ms, and the rest comes by flush."""
    outgoing = Outgoing()
    steps = push_all(outgoing, bytes(round(0.36 * BYTES_PER_SECOND)))
    assert [message.seconds for message in messages(steps)] == [0.1, 0.1, 0.1]

    (rest,) = messages(outgoing.flush())
    assert rest.start == pytest.approx(0.3)
    assert rest.seconds == pytest.approx(0.06)
    assert outgoing.flush() == []


def test_the_end_of_speech_comes_after_its_audio() -> None:
    """One request for each segment, once all of it was sent."""
    programme = Programme.packaged()
    outgoing = Outgoing()
    steps = push_all(outgoing, programme.between(0.0, 14.0))
    ends = [i for i, step in enumerate(steps) if isinstance(step, SpeechEnded)]
    assert len(ends) >= 2

    sent = 0.0
    for index, step in enumerate(steps):
        if isinstance(step, AudioMessage):
            sent = step.start + step.seconds
        if isinstance(step, SpeechEnded):
            assert sent >= step.time
            assert isinstance(steps[index + 1], Endpoint)
    assert sum(isinstance(step, Endpoint) for step in steps) == len(ends)
    assert sum(isinstance(step, SpeechStarted) for step in steps) >= len(ends)


def test_jump_while_somebody_speaks() -> None:
    """The audio before goes out, the utterance ends, and then comes what follows."""
    programme = Programme.packaged()
    outgoing = Outgoing()
    push_all(outgoing, programme.between(2.0, 3.44))
    assert outgoing.speaking
    steps = outgoing.push(chunk(50.0, programme.between(3.44, 3.60)))

    kinds = [type(step) for step in steps]
    assert kinds[:4] == [AudioMessage, SpeechEnded, Endpoint, AudioMessage]
    assert messages(steps)[1].start == 50.0


def test_jump_in_silence() -> None:
    """Whatever the service may have open ends too."""
    outgoing = Outgoing()
    outgoing.push(chunk(0.0, bytes(1280)))
    steps = outgoing.push(chunk(3.0, bytes(1280)))

    assert steps == [AudioMessage(MediaTime(0.0), bytes(1280)), Endpoint()]


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3000), st.sampled_from([0.0, 0.0, 0.0, 0.0005, 0.02, 5.0])
        ),
        max_size=40,
    )
)
def test_all_audio_goes_out_once(pieces: list[tuple[int, float]]) -> None:
    """Whatever the chunks, the bytes are the same, in order, and short enough."""
    outgoing = Outgoing()
    steps: list[Step] = []
    at, expected, counter = 0.0, b"", 0
    for samples, jump in pieces:
        at += jump
        pcm = b"".join(
            (n % 100).to_bytes(2, "little") for n in range(counter, counter + samples)
        )
        counter += samples
        steps += outgoing.push(chunk(at, pcm))
        at += samples / 16_000
        expected += pcm
    steps += outgoing.flush()

    assert b"".join(message.pcm for message in messages(steps)) == expected
    assert all(len(message.pcm) <= 3200 for message in messages(steps))
    jumps = sum(jump > 1 for _, jump in pieces[1:])
    assert sum(isinstance(step, Endpoint) for step in steps) >= jumps


def test_sent_audio_maps_offsets_to_the_media_clock() -> None:
    """Offsets count audio sent; the media clock jumps where it does."""
    sent = SentAudio()
    assert sent.media(5.0) == 0.0
    sent.add(MediaTime(10.0), 2.0, 100.0)
    sent.add(MediaTime(50.0), 2.0, 101.0)

    assert sent.media(-1.0) == 10.0
    assert sent.media(1.5) == 11.5
    assert sent.media(2.5) == 50.5
    assert sent.media(99.0) == 52.0
    assert [sent.may_be(offset) for offset in (-0.1, 0.0, 4.4, 4.6)] == [
        False,
        True,
        True,
        False,
    ]
    assert sent.sent_at(MediaTime(11.0)) == 100.0
    assert sent.sent_at(MediaTime(51.0)) == 101.0


def test_sent_audio_remembers_the_last_jumps() -> None:
    """A stream that jumps for ever costs no memory; old offsets are the oldest."""
    sent = SentAudio()
    for number in range(5000):
        sent.add(MediaTime(10.0 * number), 1.0, float(number))

    assert sent.media(4999.5) == 49990.5
    assert sent.media(0.0) == 10.0 * (5000 - 1024)
