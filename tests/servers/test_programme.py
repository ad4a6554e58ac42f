"""Programmes: made, joined, written and read again; and the certificate."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest

from tests.daemon_process import SPEECH_FOLDER
from tests.servers.programme import RATE, Programme
from tests.servers.tls import Certificate

shared_speech = pytest.mark.skipif(
    not SPEECH_FOLDER.exists(), reason="the shared speech isn't there"
)


def test_the_packaged_speech_is_a_programme() -> None:
    """It has 44 seconds and 119 words with rising times."""
    programme = Programme.packaged()

    assert programme.seconds == pytest.approx(44.4, abs=0.1)
    assert len(programme.words) == 119
    assert programme.text.startswith("it was the best of times")
    starts = [word.start for word in programme.words]
    assert starts == sorted(starts)
    assert programme.words[-1].end < programme.seconds


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """Audio and words are the same, and the audio is a WAV file."""
    programme = Programme.packaged()
    wav, words = tmp_path / "p.wav", tmp_path / "p.json"
    programme.save(wav, words)
    again = Programme.load(wav, words)

    assert again.pcm == programme.pcm
    assert again.words == programme.words
    with wave.open(str(wav)) as file:
        assert file.getparams()[:3] == (1, 2, RATE)


def test_a_wav_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """The audio must be mono at 16 kHz."""
    wav, words = tmp_path / "p.wav", tmp_path / "p.json"
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(400))
    words.write_text(json.dumps([]), encoding="utf-8")

    with pytest.raises(ValueError, match="not mono 16 bit PCM at 16000 Hz"):
        Programme.load(wav, words)


def test_pieces_are_cut_at_the_sample() -> None:
    """Two pieces that meet are the whole; words of a piece lie wholly in it."""
    programme = Programme.packaged()
    whole = programme.between(3, 10)

    assert whole == programme.between(3, 6.5) + programme.between(6.5, 10)
    assert len(whole) == 7 * RATE * 2
    inside = programme.words_between(3, 10)
    assert all(word.start >= 3 and word.end <= 10 for word in inside)
    assert inside[0].text == "was"
    around = programme.words_between(2.9, 10)
    assert [word.text for word in around] == ["it", *(word.text for word in inside)]


@shared_speech
def test_files_are_joined_with_silence_between() -> None:
    """Words keep their place in their file, and the pause is silent."""
    first = Programme.joined(["ps_0880"], silence=0.5)
    both = Programme.joined(["ps_0880", "ps_0930"], silence=0.5)
    second = Programme.joined(["ps_0930"], silence=0.5)

    assert both.seconds == pytest.approx(first.seconds + second.seconds)
    assert both.text == f"{first.text} {second.text}"
    moved = both.words[len(first.words)]
    assert moved.start == pytest.approx(second.words[0].start + first.seconds)
    assert not any(both.between(first.seconds - 0.5, first.seconds))


@shared_speech
@pytest.mark.parametrize("name", ["sonnet1", "no such file"])
def test_files_without_word_times_are_refused(name: str) -> None:
    """All words must have times."""
    with pytest.raises(ValueError, match=r"without times|no word times"):
        Programme.joined([name])


def test_a_folder_has_one_certificate(tmp_path: Path) -> None:
    """It is made once, its key is the owner's only, and clients may trust it."""
    certificate = Certificate.in_folder(tmp_path / "tls")
    pem = certificate.pem.read_bytes()
    again = Certificate.in_folder(tmp_path / "tls")

    assert again == certificate
    assert again.pem.read_bytes() == pem
    assert certificate.key.stat().st_mode & 0o077 == 0
    trusted = certificate.client_context().get_ca_certs()
    assert len(trusted) == 1
    assert ("DNS", "localhost") in trusted[0]["subjectAltName"]
