"""Tests of the receive path: packets in, chunks on the media clock out."""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterable

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captiond.events import Gap, MediaTime
from captiond.media.audio_path import AudioPath, AudioPathOptions, Output
from captiond.media.chunk import SAMPLE_RATE, AudioChunk
from captiond.media.decode import AudioCodec
from captiond.media.reorder import Packet
from captiond.media.timeline import Anchoring

LOUD = b"\x00" * 160
"""20 ms of full-scale PCMU: every sample is -32124 (RFC 3551 section 4.5.14)."""


def packet(number: int, *, late: float = 0.0, timestamp: int | None = None) -> Packet:
    """Return the PCMU packet of the 20 ms that start at ``number`` * 20 ms."""
    return Packet(
        sequence=number % 0x10000,
        timestamp=(number * 160 if timestamp is None else timestamp) % 0x100000000,
        ssrc=1,
        payload=LOUD,
        arrival=number * 0.02 + late,
    )


def new_path(origin: float = 0.0) -> AudioPath:
    """Return a PCMU path with 20 ms chunks."""
    return AudioPath(
        AudioCodec.PCMU,
        origin=MediaTime(origin),
        options=AudioPathOptions(chunk_samples=320),
        clock=lambda: 0.0,
    )


def chunks(outputs: Iterable[Output]) -> list[AudioChunk]:
    """Return the chunks, after checking that they follow one another."""
    found = [each for each in outputs if isinstance(each, AudioChunk)]
    for before, after in itertools.pairwise(found):
        assert after.start == pytest.approx(before.end, abs=1e-9)
    return found


def is_silent(chunk: AudioChunk) -> bool:
    """Whether a chunk is mostly zeros."""
    samples = array.array("h", chunk.pcm)
    return sum(abs(sample) > 1000 for sample in samples) < len(samples) / 4


def test_clean_link_adds_no_delay() -> None:
    """Each packet gives its chunk at once, at its place."""
    path = new_path(origin=5.0)
    got = [chunks(path.push(packet(n))) for n in range(5)]

    assert [len(each) for each in got] == [1] * 5
    assert got[3][0].start == pytest.approx(5.06)
    assert got[3][0].arrival == pytest.approx(0.06)


def test_lost_packets_are_filled_counted_and_told() -> None:
    """A hole becomes silence of its length, and a gap event when it is long."""
    path = new_path()
    outputs = path.push(packet(0))
    outputs += path.push(packet(12))
    outputs += path.poll(12 * 0.02 + 0.06)

    assert sum(is_silent(each) for each in chunks(outputs)) == 11
    assert [each for each in outputs if isinstance(each, Gap)] == [
        Gap(start=MediaTime(0.02), end=MediaTime(0.24), reason="packets_lost")
    ]
    assert path.packets.stats.lost == 11
    assert path.stats.filled_lost == 11 * 320


def test_pause_of_the_sender_is_filled_without_a_gap() -> None:
    """Timestamps that step while numbers don't are discontinuous transmission."""
    path = new_path()
    outputs = path.push(packet(0))
    outputs += path.push(
        Packet(sequence=1, timestamp=160 * 20, ssrc=1, payload=LOUD, arrival=0.4)
    )

    assert chunks(outputs)[-1].end == pytest.approx(0.42)
    assert not any(isinstance(each, Gap) for each in outputs)
    assert path.stats.filled_pause == 19 * 320


def test_wild_timestamp_is_not_filled() -> None:
    """A jump of hours anchors the clock anew instead of making hours of silence."""
    path = new_path()
    path.push(packet(0))
    outputs = path.push(packet(1, timestamp=3_000_000_000))
    outputs += path.push(packet(2, timestamp=3_000_000_160))

    assert path.position == pytest.approx(0.06)
    assert len(chunks(outputs)) == 2
    assert path.stats.anchored[Anchoring.BACKWARD] == 1


def test_timestamp_wraps() -> None:
    """32-bit timestamps wrap every 24 to 149 hours."""
    path = new_path()
    for n in range(4):
        path.push(packet(n, timestamp=0x100000000 - 320 + n * 160))

    assert path.position == pytest.approx(0.08)
    assert not any(path.stats.anchored.values())


def test_silence_goes_on_while_no_packet_comes() -> None:
    """The engine hears silence by the wall clock, so that utterances end."""
    path = new_path()
    path.push(packet(0))
    assert path.poll(0.2) == []
    outputs = path.poll(0.5)
    outputs += path.poll(0.9)

    assert path.position == pytest.approx(0.02 + 0.9)
    assert path.stats.filled_silence == round(0.9 * SAMPLE_RATE)


def test_packets_after_silence_go_on_without_overlap() -> None:
    """A sender whose clock stood still while it paused is anchored anew."""
    path = new_path()
    outputs = path.push(packet(0))
    outputs += path.poll(1.0)
    outputs += path.push(packet(1, late=1.0))

    assert path.position == pytest.approx(1.04)
    assert chunks(outputs)[-1].end == pytest.approx(1.04)
    assert path.stats.anchored[Anchoring.BACKWARD] == 1


def test_last_packets_come_out_at_the_end() -> None:
    """finish() delivers what waits behind a hole, and the last short chunk."""
    path = new_path()
    path.push(packet(0))
    path.push(packet(2))
    outputs = path.finish(1.0)

    assert chunks(outputs)[-1].end == pytest.approx(0.06)


def test_damaged_payload_is_counted_and_filled() -> None:
    """What can't be decoded is silence; the track goes on."""
    path = AudioPath(
        AudioCodec.OPUS,
        origin=MediaTime(0.0),
        options=AudioPathOptions(chunk_samples=320),
        clock=lambda: 0.0,
    )
    good = opus_packets(4)
    payloads = [good[0], b"", b"\xff" * 10, good[3]]
    for n, payload in enumerate(payloads):
        path.push(
            Packet(
                sequence=n, timestamp=n * 960, ssrc=1, payload=payload, arrival=n * 0.02
            )
        )

    assert path.stats.undecodable == 2
    assert path.position == pytest.approx(0.08)


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_opus_keeps_time_exactly(layout: str) -> None:
    """Ten seconds of Opus are ten seconds of chunks, mono or stereo."""
    path = AudioPath(
        AudioCodec.OPUS,
        origin=MediaTime(0.0),
        options=AudioPathOptions(chunk_samples=640),
        clock=lambda: 0.0,
    )
    outputs: list[Output] = []
    for n, payload in enumerate(opus_packets(500, layout)):
        outputs += path.push(
            Packet(
                sequence=n, timestamp=n * 960, ssrc=1, payload=payload, arrival=n * 0.02
            )
        )

    assert chunks(outputs)[-1].end == pytest.approx(10.0)
    assert all(len(each.pcm) == 1280 for each in chunks(outputs))


def test_g722_clock_is_half_its_rate() -> None:
    """RFC 3551 section 4.5.2: 16 kHz audio on an 8 kHz RTP clock."""
    path = AudioPath(
        AudioCodec.G722,
        origin=MediaTime(0.0),
        options=AudioPathOptions(chunk_samples=320),
        clock=lambda: 0.0,
    )
    for n in range(50):
        path.push(packet(n))

    assert path.position == pytest.approx(1.0)
    assert path.stats.filled_lost + path.stats.filled_pause == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0, 0, 1, 2, 5]), st.integers(0, 9)),
        min_size=5,
        max_size=150,
    )
)
def test_lossy_link_keeps_the_clock(network: list[tuple[int, int]]) -> None:
    """Whatever is lost, late or swapped, output is contiguous and as long as sent."""
    sent = sorted(
        (n * 0.02 + delay * 0.01, n)
        for n, (delay, chance) in enumerate(network)
        if chance or n in (0, len(network) - 1)
    )
    sent.remove((next(t for t, n in sent if n == 0), 0))
    path = new_path()
    outputs = path.push(packet(0))
    for time, n in sent:
        outputs += path.push(packet(n, late=time - n * 0.02))
    outputs += path.finish(99.0)

    assert chunks(outputs)[0].start == pytest.approx(0.0)
    assert chunks(outputs)[-1].end == pytest.approx(len(network) * 0.02)
    assert path.stats.decoded + path.stats.filled_lost == len(network) * 320


def opus_packets(count: int, layout: str = "mono") -> list[bytes]:
    """Encode 20 ms packets of silence."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate = 48000
    encoder.layout = layout
    encoder.format = "s16"
    packets = []
    for n in range(count):
        frame = av.AudioFrame(format="s16", layout=layout, samples=960)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        frame.sample_rate = 48000
        frame.pts = n * 960
        packets += [bytes(each) for each in encoder.encode(frame)]
    return packets
