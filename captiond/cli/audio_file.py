"""Any media file as 16 bit mono PCM in 20 ms blocks, decoded by PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.frame import AudioFrame

from captiond.errors import CaptiondError

BLOCK_MS = 20


class AudioFileError(CaptiondError):
    """The file can't be read, or has no audio that can be decoded."""


def duration(path: Path) -> float | None:
    """
    Return the length in seconds, or None where the file doesn't tell.

    Raises:
        AudioFileError: If the file can't be opened or has no audio.

    """
    with _open(path) as container:
        stream = container.streams.audio[0]
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / av.time_base


def blocks(path: Path, *, rate: int, loop: bool = False) -> Iterator[bytes]:
    """
    Decode a file into blocks of exactly 20 ms; the last one is filled with silence.

    Args:
        path: The file.
        rate: Samples per second of the result.
        loop: Start over at the end, without a seam: the last block of one round is
            filled with the beginning of the next.

    Raises:
        AudioFileError: If the file can't be opened or decoded, or has no audio.

    """
    size = rate * BLOCK_MS // 1000 * 2
    pending = bytearray()
    while True:
        heard = False
        for samples in _decode(path, rate):
            heard = True
            pending += samples
            while len(pending) >= size:
                yield bytes(pending[:size])
                del pending[:size]
        if not heard:
            raise AudioFileError(f"{path}: has an audio track without audio")
        if not loop:
            break
    if pending:
        yield bytes(pending).ljust(size, b"\0")


def _decode(path: Path, rate: int) -> Iterator[bytes]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    with _open(path) as container:
        try:
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    yield _samples(part)
            for part in resampler.resample(None):
                yield _samples(part)
        except av.FFmpegError as exc:
            raise AudioFileError(f"{path}: can't be decoded: {exc.strerror}") from exc


def _samples(frame: AudioFrame) -> bytes:
    # A plane is padded to FFmpeg's alignment; what is beyond the samples is no audio.
    return bytes(frame.planes[0])[: frame.samples * 2]


def _open(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as exc:
        raise AudioFileError(f"{path}: can't be opened: {exc.strerror}") from exc
    if not container.streams.audio:
        container.close()
        raise AudioFileError(f"{path}: has no audio")
    return container
