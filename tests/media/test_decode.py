"""Tests of decoding and resampling, with FFmpeg."""

from __future__ import annotations

import pytest

from captiond.media.decode import AudioCodec, DecodeError, Decoder
from captiond.media.resample import Resampler


@pytest.mark.parametrize(
    ("codec", "payload", "samples", "rate"),
    [
        (AudioCodec.PCMU, bytes(160), 160, 8_000),
        (AudioCodec.PCMA, bytes(160), 160, 8_000),
        (AudioCodec.G722, bytes(160), 320, 16_000),
        (AudioCodec.OPUS, b"\xf8\xff\xfe", 960, 48_000),
    ],
)
def test_packets_become_mono_frames_of_16_khz(
    codec: AudioCodec, payload: bytes, samples: int, rate: int
) -> None:
    """Twenty milliseconds of every codec are 320 samples in the end."""
    (frame,) = Decoder(codec).decode(payload)

    assert (frame.samples, frame.sample_rate, frame.layout.name) == (
        samples,
        rate,
        "mono",
    )
    assert len(Resampler().resample(frame)) == 640


@pytest.mark.parametrize("payload", [b"", b"\xff" * 10])
def test_damage_is_an_error_and_no_end(payload: bytes) -> None:
    """A damaged packet is refused, and the next one decoded."""
    decoder = Decoder(AudioCodec.OPUS)
    with pytest.raises(DecodeError):
        decoder.decode(payload)

    assert len(decoder.decode(b"\xf8\xff\xfe")) == 1
