"""The recogniser hears what it is sent: no word more, no word less."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from tests.daemon_process import SPEECH_FOLDER
from tests.servers.programme import RATE, Programme, Word
from tests.servers.recogniser import CELL_SECONDS, HeardWord, Recogniser

CHUNK = RATE // 10 * 2
OPUS_RATE = 48_000

shared_speech = pytest.mark.skipif(
    not SPEECH_FOLDER.exists(), reason="the shared speech isn't there"
)


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


def hear(
    programme: Programme, pcm: bytes, *, chunk: int = CHUNK, rate: int = RATE
) -> list[HeardWord]:
    recogniser = Recogniser(programme, rate=rate)
    words: list[HeardWord] = []
    for start in range(0, len(pcm), chunk):
        words += recogniser.feed(pcm[start : start + chunk])
    return words + recogniser.finish()


def texts(words: Iterable[HeardWord | Word]) -> list[str]:
    return [word.text for word in words]


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def resampled(pcm: bytes, rate: int, *, layout: str = "mono") -> list[AudioFrame]:
    samples = np.frombuffer(pcm, dtype=np.int16).reshape(1, -1)
    frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = RATE
    resampler = av.AudioResampler(
        format="s16", layout=layout, rate=rate, frame_size=rate // 50
    )
    return [*resampler.resample(frame), *resampler.resample(None)]


def through_opus(pcm: bytes, *, bit_rate: int, application: str) -> bytes:
    """Return what a listener has of audio that was sent as stereo Opus."""
    encoder = av.CodecContext.create("libopus", "w")
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(encoder, AudioCodecContext)
    assert isinstance(decoder, AudioCodecContext)
    encoder.sample_rate = decoder.sample_rate = OPUS_RATE
    encoder.layout = decoder.layout = "stereo"
    encoder.format = "s16"
    encoder.bit_rate = bit_rate
    encoder.time_base = Fraction(1, OPUS_RATE)
    encoder.options = {"application": application, "frame_duration": "20"}
    down = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    result = b""
    whole = [
        frame
        for frame in resampled(pcm, OPUS_RATE, layout="stereo")
        if frame.samples == OPUS_RATE // 50
    ]
    for frame in [*whole, None]:
        for packet in encoder.encode(frame):
            for decoded in decoder.decode(av.Packet(bytes(packet))):
                parts = down.resample(decoded)
                result += b"".join(part.to_ndarray().tobytes() for part in parts)
    return result


def near(words: Sequence[HeardWord], expected: Sequence[Word], *, shift: float) -> bool:
    """Return whether the words are where they must be."""
    return all(
        abs(word.start - (other.start + shift)) < 0.05
        and abs(word.end - (other.end + shift)) < 0.05
        for word, other in zip(words, expected, strict=True)
    )


def test_the_clean_programme_is_heard_whole_and_in_place(programme: Programme) -> None:
    """Each word is heard once, with its times."""
    words = hear(programme, programme.pcm)

    assert texts(words) == texts(programme.words)
    assert near(words, programme.words, shift=0.0)


@pytest.mark.parametrize(
    ("bit_rate", "application"),
    [(64_000, "audio"), (96_000, "voip"), (24_000, "voip")],
)
def test_opus_keeps_every_word(
    programme: Programme, bit_rate: int, application: str
) -> None:
    """What a WebRTC sender's codec does to the audio costs no word."""
    pcm = through_opus(programme.pcm, bit_rate=bit_rate, application=application)

    words = hear(programme, pcm)

    assert texts(words) == texts(programme.words)
    assert near(words, programme.words, shift=0.0)


@shared_speech
def test_other_voices_noise_and_pops_are_heard_after_opus() -> None:
    """Several recordings in a row, one in an office, are heard whole."""
    programme = Programme.joined(
        ["jfk", "harvard", "mfa_acoustic_corpus", "noisy_ls367_office10", "riva_nlp"]
    )
    pcm = through_opus(programme.pcm, bit_rate=96_000, application="voip")

    assert texts(hear(programme, pcm)) == texts(programme.words)


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_audio_at_another_rate_is_heard(programme: Programme, rate: int) -> None:
    """The rate may be another one than the programme's."""
    frames = resampled(programme.pcm, rate)
    pcm = b"".join(frame.to_ndarray().tobytes() for frame in frames)

    words = hear(programme, pcm, rate=rate)

    assert texts(words) == texts(programme.words)
    assert near(words, programme.words, shift=0.0)


@pytest.mark.parametrize("at", [5.0, 11.3, 21.7, 34.2])
@pytest.mark.parametrize("filled", [False, True])
def test_a_lost_second_loses_the_words_in_it(
    programme: Programme, at: float, filled: bool
) -> None:
    """Words whose audio is missing, or is zeros, are missing; all others are there."""
    gap = silence(1.0) if filled else b""
    pcm = programme.between(0, at) + gap + programme.between(at + 1, programme.seconds)

    words = hear(programme, pcm)

    whole = [w for w in programme.words if w.end <= at or w.start >= at + 1]
    most = [w for w in programme.words if covered_without(w, at, at + 1) >= 0.6]
    assert len(most) < len(programme.words)
    assert is_part(texts(whole), of=texts(words))
    assert is_part(texts(words), of=texts(most))


def covered_without(word: Word, start: float, end: float) -> float:
    """Return the longer part of a word that a cut leaves."""
    before = min(word.end, start) - word.start
    after = word.end - max(word.start, end)
    return max(before, after) / (word.end - word.start)


def is_part(some: list[str], *, of: list[str]) -> bool:
    """Return whether a list is what another is without some of its items."""
    rest = iter(of)
    return all(item in rest for item in some)


def test_audio_sent_twice_is_words_said_twice(programme: Programme) -> None:
    """After a replay of five seconds their words are there again."""
    start, end = 10.0, 15.0
    pcm = programme.between(0, end) + programme.between(start, programme.seconds)

    words = hear(programme, pcm)

    twice = texts(programme.words_between(start, end))
    before = texts(w for w in programme.words if w.start < start)
    assert len(twice) >= 8
    assert len(words) == len(programme.words) + len(twice)
    replayed = [w.text for w in words if w.start >= end]
    assert replayed[: len(twice)] == twice
    assert texts(words)[: len(before)] == before


@pytest.mark.parametrize("at", [1.0, 13.37, 29.01, 40.0])
def test_listening_may_begin_anywhere(programme: Programme, at: float) -> None:
    """A session that begins in mid-word hears what comes from there on."""
    words = hear(programme, programme.between(at, programme.seconds))

    expected = programme.words_between(at, programme.seconds)
    assert texts(words)[-len(expected) :] == texts(expected)
    assert len(words) - len(expected) in (0, 1)
    assert near(words[-len(expected) :], expected, shift=-at)


@pytest.mark.parametrize("seconds", [0.08, 0.3, 1.5])
def test_pauses_may_be_longer_or_shorter(programme: Programme, seconds: float) -> None:
    """Silence that was put in or taken out between words costs none of them."""
    words = programme.words
    pauses = [
        (a.end + b.start) / 2
        for a, b in itertools.pairwise(words)
        if b.start - a.end > 0.25
    ]
    longer, shorter = pauses[0], pauses[2]
    pcm = (
        programme.between(0, longer)
        + silence(seconds)
        + programme.between(longer, shorter - 0.04)
        + programme.between(shorter + 0.04, programme.seconds)
    )

    assert texts(hear(programme, pcm)) == texts(programme.words)


def test_the_result_does_not_depend_on_the_chunks(programme: Programme) -> None:
    """Any cutting, even between the bytes of a sample, gives the same words."""
    pcm = programme.between(3, 18)
    random_source = random.Random(3)
    recogniser = Recogniser(programme)
    words: list[HeardWord] = []
    flags: list[bool] = []
    at = 0
    while at < len(pcm):
        size = random_source.choice((1, 2, 7, 320, 641, 3200, 12_345))
        words += recogniser.feed(pcm[at : at + size])
        flags += recogniser.take_speech()
        at += size
    words += recogniser.finish()
    other = Recogniser(programme)

    assert words == other.feed(pcm) + other.finish()
    assert flags == other.take_speech()
    assert recogniser.seconds == 15.0


def test_silence_and_noise_are_nothing(programme: Programme) -> None:
    """What isn't in the programme gives no word."""
    noise = np.random.default_rng(5).normal(0, 2000, 20 * RATE).astype(np.int16)
    backwards = programme.samples[20 * RATE :: -1]

    for pcm in (silence(20), noise.tobytes(), backwards.tobytes()):
        assert hear(programme, pcm) == []


def test_after_noise_the_programme_is_found_again(programme: Programme) -> None:
    """However long it wasn't found, the words from its begin on are there."""
    noise = np.random.default_rng(5).normal(0, 2000, 30 * RATE).astype(np.int16)

    words = hear(programme, noise.tobytes() + programme.between(20, 30))

    expected = programme.words_between(20, 30)
    assert is_part(texts(expected), of=texts(words))
    assert near(words[-len(expected) :], expected, shift=10.0)


def test_two_recognisers_know_nothing_of_each_other(programme: Programme) -> None:
    """Fed in turns, each hears its own audio."""
    first, second = Recogniser(programme), Recogniser(programme)
    heard: tuple[list[HeardWord], list[HeardWord]] = ([], [])
    for start in range(0, 10 * RATE * 2, CHUNK):
        heard[0].extend(first.feed(programme.between(0, 10)[start : start + CHUNK]))
        heard[1].extend(second.feed(programme.between(20, 30)[start : start + CHUNK]))

    assert heard[0] + first.finish() == hear(programme, programme.between(0, 10))
    assert heard[1] + second.finish() == hear(programme, programme.between(20, 30))


def test_finishing_ends_a_word_that_has_only_begun(programme: Programme) -> None:
    """A word of which less than half came before the end comes after it."""
    word = next(w for w in programme.words if w.end - w.start > 0.5)
    middle = word.start + 0.4 * (word.end - word.start)
    recogniser = Recogniser(programme)

    before = recogniser.feed(programme.between(0, middle)) + recogniser.finish()
    after = recogniser.feed(programme.between(middle, word.end + 2))

    expected = programme.words_between(0, middle)
    assert texts(before) == texts(expected)
    assert texts(after)[0] == word.text


def test_a_word_is_told_by_the_time_it_ends(programme: Programme) -> None:
    """Once the place is known a word is told when 40 ms more have come."""
    recogniser = Recogniser(programme)
    late: list[float] = []
    for start in range(0, len(programme.pcm), 640):
        for word in recogniser.feed(programme.pcm[start : start + 640]):
            if word.start > 2.0:
                late.append(recogniser.seconds - word.end)

    assert len(late) > 100
    assert max(late) <= 0.06
    assert min(late) >= -0.03


def test_speech_is_where_words_are(programme: Programme) -> None:
    """Where the place is known the flags follow the words, not the noise."""
    recogniser = Recogniser(programme)
    recogniser.feed(programme.pcm)
    flags = recogniser.take_speech()

    for number, speech in enumerate(flags[100:], start=100):
        at = (number + 0.5) * CELL_SECONDS
        close = [w for w in programme.words if w.start - 0.1 < at < w.end + 0.1]
        if speech:
            assert close
        elif any(w.start <= at <= w.end for w in close):
            pytest.fail(f"no speech at {at}")
    assert len(flags) == pytest.approx(programme.seconds / CELL_SECONDS, abs=3)


def test_the_position_is_told(programme: Programme) -> None:
    """The place in the programme is known a moment after it was found, else not."""
    recogniser = Recogniser(programme)
    assert recogniser.position is None
    recogniser.feed(programme.between(20, 25))

    assert recogniser.position == pytest.approx(25.0, abs=0.05)

    recogniser.feed(silence(3))
    assert not recogniser.located
