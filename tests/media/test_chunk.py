"""Tests of the chunker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from captiond.media.chunk import AudioChunk, Chunker


def push(chunker: Chunker, position: int, samples: int) -> list[AudioChunk]:
    """Push ``samples`` samples that start at ``position``."""
    return chunker.push(position, b"ab" * samples, arrival=1.0, decoded=2.0)


def test_chunks_have_one_length() -> None:
    """Samples are cut into chunks as they complete."""
    chunker = Chunker(chunk_samples=640)

    assert push(chunker, 0, 320) == []
    (chunk,) = push(chunker, 320, 480)
    assert (chunk.start, chunk.end, len(chunk.pcm)) == (0.0, 0.04, 1280)
    assert (chunk.arrival, chunk.decoded) == (1.0, 2.0)
    (rest,) = chunker.flush(arrival=1.0, decoded=2.0)
    assert (rest.start, len(rest.pcm)) == (0.04, 320)


def test_jump_ends_a_chunk_short() -> None:
    """Samples from elsewhere on the clock never share a chunk."""
    chunker = Chunker(chunk_samples=640)
    push(chunker, 0, 320)
    short, whole = push(chunker, 16000, 640)

    assert (short.start, short.end) == (0.0, 0.02)
    assert (whole.start, whole.end) == (1.0, 1.04)


@given(st.lists(st.integers(0, 2000), max_size=30))
def test_no_sample_is_lost_or_moved(sizes: list[int]) -> None:
    """However samples come, they go out in order and at their place."""
    chunker = Chunker(chunk_samples=640)
    chunks, position = [], 0
    for size in sizes:
        chunks += push(chunker, position, size)
        position += size
    chunks += chunker.flush(arrival=0, decoded=0)

    assert sum(len(each.pcm) for each in chunks) == 2 * position
    starts = [round(each.start * 16000) for each in chunks]
    assert starts == [640 * number for number in range(len(chunks))]
