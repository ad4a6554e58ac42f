"""Tests of the receive path: packets in, chunks on the media clock out."""

from __future__ import annotations

import array
import dataclasses
import itertools
import random
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


HUSH = b"\xff" * 160
"""20 ms of PCMU silence."""


def packet(
    number: int,
    *,
    late: float = 0.0,
    timestamp: int | None = None,
    payload: bytes = LOUD,
) -> Packet:
    """Return the PCMU packet of the 20 ms that start at ``number`` * 20 ms."""
    return Packet(
        sequence=number % 0x10000,
        timestamp=(number * 160 if timestamp is None else timestamp) % 0x100000000,
        ssrc=1,
        payload=payload,
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
    """Audio that comes after silence follows it; the clock's anchor stays."""
    path = new_path()
    outputs = path.push(packet(0))
    outputs += path.poll(1.0)
    outputs += path.push(packet(1, late=1.0))

    assert path.position == pytest.approx(1.04)
    assert chunks(outputs)[-1].end == pytest.approx(1.04)
    assert path.stats.anchored[Anchoring.BACKWARD] == 0


def test_clock_that_stood_still_for_long_is_anchored_anew() -> None:
    """Silence that is too much to be made up for stays on the clock."""
    path = new_path()
    path.push(packet(0))
    path.poll(3.0)
    path.push(packet(1, late=3.0))

    assert path.position == pytest.approx(3.04)
    assert path.stats.forgiven == 3 * SAMPLE_RATE
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


@pytest.mark.parametrize(
    ("stall", "seconds", "pauses"),
    [(0.5, 120, True), (1.0, 600, True), (1.9, 120, False)],
)
def test_stalls_do_not_add_up(stall: float, seconds: int, *, pauses: bool) -> None:
    """Delivery that stalls every 10 s, without loss, leaves the clock right."""
    sent = [
        packet(n, payload=HUSH if pauses and n % 150 >= 135 else LOUD)
        for n in range(seconds * 50)
    ]
    path = new_path()
    outputs = deliver(path, [stalled(each, stall) for each in sent])
    undisturbed = deliver(new_path(), sent)

    assert -1e-9 <= path.position - seconds <= stall
    assert loud(outputs) == loud(undisturbed)
    assert path.stats.forgiven == path.packets.stats.lost == 0
    assert not any(path.stats.anchored.values())
    assert (path.stats.trimmed > 0) == pauses


def test_audio_after_a_stall_is_not_held_back() -> None:
    """What came late is handed on as it comes."""
    path = new_path()
    for n in range(1500):
        arrived = stalled(packet(n), 1.0)
        path.poll(arrived.arrival)
        path.push(arrived)
        assert path.stats.decoded == (n + 1) * 320

    assert path.stats.filled_silence > 0


@pytest.mark.parametrize("poll", [0.05, 0.17])
def test_late_pauses_do_not_add_up(poll: float) -> None:
    """Discontinuous transmission is kept on the clock, however late it's looked at."""
    jitter = random.Random(1)
    sent = [
        dataclasses.replace(
            packet(n, timestamp=n * 3200), arrival=n * 0.4 + jitter.uniform(0, 0.15)
        )
        for n in range(1500)
    ]
    path = new_path()
    deliver(path, sent, poll=poll)

    assert path.position == pytest.approx(1499 * 0.4 + 0.02, abs=0.3)
    assert not any(path.stats.anchored.values())


def test_stopped_sender_is_silent_by_the_wall_clock() -> None:
    """Silence put in while a surplus lasts is what is missing, and no more."""
    path = new_path()
    path.push(packet(0))
    path.poll(1.0)
    path.push(packet(1, late=1.0))
    assert path.poll(1.02 + 1.2) == []
    path.poll(1.02 + 3.0)

    assert path.position == pytest.approx(0.04 + 3.0)


def test_long_outage_is_lost_and_told() -> None:
    """64 s without packets, numbers running on, are lost audio and no restart."""
    path = new_path()
    sent = [packet(n) for n in range(10_000) if not 2000 <= n < 5200]
    outputs = deliver(path, sent)

    assert path.position == pytest.approx(200.0)
    assert path.packets.stats.lost == 3200
    assert [each for each in outputs if isinstance(each, Gap)] == [
        Gap(start=MediaTime(40.0), end=MediaTime(104.0), reason="packets_lost")
    ]
    assert not any(path.stats.anchored.values())
    assert chunks(outputs)[-1].end == pytest.approx(200.0)


def test_loss_that_pays_a_surplus_is_told() -> None:
    """A loss is told by its own length, with the place that it has on the clock."""
    path = new_path()
    path.push(packet(0))
    path.poll(0.4)
    path.push(packet(1, late=0.4))
    outputs = path.push(packet(32))
    outputs += path.poll(0.8)

    (gap,) = (each for each in outputs if isinstance(each, Gap))
    assert gap.start == pytest.approx(0.44)
    assert gap.end == pytest.approx(0.64)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 2.5), st.integers(1, 40), st.booleans(), st.booleans()
        ),
        max_size=30,
    )
)
def test_any_delay_keeps_audio_and_accounts_for_it(
    network: list[tuple[float, int, bool, bool]],
) -> None:
    """Whatever waits, sounds are kept whole and every sample is counted."""
    sent, n, now = [packet(0)], 1, 0.0
    for delay, count, sound, pause in network:
        n += 20 if pause else 0
        now = max(now, n * 0.02) + delay
        for _ in range(count):
            timely = packet(n, payload=LOUD if sound else HUSH)
            now = max(now, timely.arrival)
            number = len(sent) % 0x10000
            sent.append(dataclasses.replace(timely, sequence=number, arrival=now))
            n += 1
    path = new_path()
    outputs = deliver(path, sent)
    stats = path.stats

    assert loud(outputs) == loud(deliver(new_path(), sent, poll=1e9))
    assert stats.decoded == len(sent) * 320
    assert round(path.position * SAMPLE_RATE) == (
        stats.decoded - stats.trimmed + stats.filled_pause + stats.filled_silence
    )
    assert path.position >= n * 0.02 - 1e-9


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


def deliver(
    path: AudioPath,
    sent: Iterable[Packet],
    *,
    poll: float = 0.05,
) -> list[Output]:
    """Push packets as they arrive and poll in between; return all outputs."""
    outputs: list[Output] = []
    now = 0.0
    for each in sorted(sent, key=lambda each: (each.arrival, each.sequence)):
        while now < each.arrival:
            outputs += path.poll(now)
            now += poll
        outputs += path.push(each)
    return outputs + path.finish(now)


def stalled(each: Packet, stall: float) -> Packet:
    """Return a packet that waits for the end of a stall, the last of every 10 s."""
    end = (each.arrival // 10 + 1) * 10
    arrival = end if each.arrival > end - stall else each.arrival
    return dataclasses.replace(each, arrival=arrival)


def loud(outputs: Iterable[Output]) -> int:
    """Count the samples that are not silent."""
    pcm = b"".join(each.pcm for each in chunks(outputs))
    return sum(abs(sample) > 1000 for sample in array.array("h", pcm))
