"""16 kHz PCM to the rate that a server takes."""

from __future__ import annotations

from av.audio.frame import AudioFrame
from av.filter import Graph

from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE

FILTER_SIZE = 64
"""FFmpeg's own 32 leaves images of what is above 7 kHz that can be heard."""


class Converter:
    """
    Converts one session's audio; the filter's memory spans messages.

    The filter holds 2 ms back: they come out with what follows.

    Args:
        rate: Samples per second that come out.

    """

    def __init__(self, rate: int) -> None:
        self._graph = None if rate == SAMPLE_RATE else _new_graph(rate)

    def convert(self, pcm: bytes) -> bytes:
        """Return as much as is ready."""
        if self._graph is None or not pcm:
            return pcm
        samples = len(pcm) // BYTES_PER_SAMPLE
        frame = AudioFrame(format="s16", layout="mono", samples=samples)
        # A plane is padded to whole cache lines.
        frame.planes[0].update(pcm.ljust(frame.planes[0].buffer_size, b"\0"))
        frame.sample_rate = SAMPLE_RATE
        self._graph.push(frame)
        out = bytearray()
        while True:
            try:
                ready = self._graph.pull()
            except BlockingIOError:
                return bytes(out)
            assert isinstance(ready, AudioFrame)
            out += bytes(ready.planes[0])[: ready.samples * BYTES_PER_SAMPLE]


def _new_graph(rate: int) -> Graph:
    graph = Graph()
    # A filter of audio never uses FFmpeg's default of a thread per core.
    graph.threads = 1
    source = graph.add_abuffer(sample_rate=SAMPLE_RATE, format="s16", layout="mono")
    resample = graph.add("aresample", f"{rate}:filter_size={FILTER_SIZE}")
    target = graph.add("aformat", sample_fmts="s16", channel_layouts="mono")
    graph.link_nodes(source, resample, target, graph.add("abuffersink")).configure()
    return graph
