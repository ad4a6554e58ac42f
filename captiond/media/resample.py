"""Resampling: decoded frames to mono 16 kHz signed 16-bit PCM, through PyAV."""

from __future__ import annotations

import av
from av.audio.frame import AudioFrame

from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE


class Resampler:
    """Resamples one track; its filter's memory lives as long as the track."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(
            format="s16", layout="mono", rate=SAMPLE_RATE
        )
        self._primed = False

    def resample(self, frame: AudioFrame) -> bytes:
        """Return as much PCM as the frame lasts."""
        nominal = frame.samples * SAMPLE_RATE // frame.sample_rate
        # Without a time stamp the resampler takes frames as contiguous, which they
        # are: holes are filled behind it.
        frame.pts = None
        pcm = b"".join(
            bytes(out.planes[0])[: out.samples * BYTES_PER_SAMPLE]
            for out in self._resampler.resample(frame)
        )
        if not self._primed:
            # The filter keeps its first samples (1-2 ms) back; silence in their place
            # lets every later frame come out whole.
            self._primed = True
            pcm = pcm.rjust(nominal * BYTES_PER_SAMPLE, b"\0")
        return pcm
