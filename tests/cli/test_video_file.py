"""Tests of the pictures that are published: a file's, and the test picture."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from captiond.cli import video_file
from captiond.cli.video_file import TEST_COLOURS, VideoFileError
from tests.media_files import luma, write_film, write_wav


def test_frames_have_their_times(tmp_path: Path) -> None:
    """Every picture of a file comes with its time, and large ones are made smaller."""
    path = write_film(tmp_path / "film.mp4", 0.4, width=1920)
    frames = list(video_file.frames(path))

    assert [seconds for seconds, _ in frames] == pytest.approx(
        [number / 25 for number in range(10)], abs=0.01
    )
    assert {(frame.width, frame.height) for _, frame in frames} == {(1280, 640)}
    assert luma(frames[0][1]) == pytest.approx(81, abs=2)
    assert luma(frames[-1][1]) == pytest.approx(41, abs=2)


def test_frames_loop_in_step_with_the_audio(tmp_path: Path) -> None:
    """Each round takes as long as the audio's, also if the video is longer."""
    path = write_film(tmp_path / "film.mp4", 0.4)
    rounds = video_file.frames(path, loop=True, period=0.3)
    times = [seconds for seconds, _ in itertools.islice(rounds, 16)]
    endless = video_file.frames(path, loop=True)
    twenty = [seconds for seconds, _ in itertools.islice(endless, 20)]

    assert times == pytest.approx(
        [start + n / 25 for start in (0.0, 0.3) for n in range(8)], abs=0.01
    )
    assert twenty == pytest.approx([number / 25 for number in range(20)], abs=0.01)


def test_colours_change_each_second() -> None:
    """The test picture tells the second that it is of."""
    frames = list(itertools.islice(video_file.colour_frames(), 75))
    shown = {int(seconds): luma(frame) for seconds, frame in frames}

    assert list(shown.values()) == [
        *(colour[0] for colour in TEST_COLOURS.values()),
        *(colour[0] for colour in [*TEST_COLOURS.values()][:2]),
    ]


def test_files_without_video(tmp_path: Path) -> None:
    """What has no video, and what can't be opened, are named."""
    text = tmp_path / "notes.txt"
    text.write_text("no video", encoding="utf-8")
    sound = write_wav(tmp_path / "tone.wav", 0.1)

    with pytest.raises(VideoFileError, match=r"notes\.txt: can't be opened"):
        video_file.check(text)
    with pytest.raises(VideoFileError, match=r"tone\.wav: has no video"):
        next(video_file.frames(sound))
