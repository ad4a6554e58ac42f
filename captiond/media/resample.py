"""Resampling: decoded frames to mono 16 kHz signed 16-bit PCM, through PyAV."""

from __future__ import annotations

from av.audio.frame import AudioFrame
from av.filter import Graph

from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE


class Resampler:
    """Resamples one track; its filter's memory lives as long as the track."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._pending = bytearray()

    def resample(self, frame: AudioFrame) -> bytes:
        """Return as much PCM as the frame lasts."""
        nominal = frame.samples * SAMPLE_RATE // frame.sample_rate * BYTES_PER_SAMPLE
        # Without a time stamp the filter takes frames as contiguous, which they are:
        # holes are filled behind it.
        frame.pts = None
        if self._graph is None:
            self._graph = _new_graph(frame)
        self._filter(self._graph, frame)
        pcm = bytes(self._pending[:nominal])
        del self._pending[:nominal]
        # The filter keeps its first samples (1-2 ms) back; silence in their place lets
        # every later frame come out whole.
        return pcm.rjust(nominal, b"\0")

    def _filter(self, graph: Graph, frame: AudioFrame) -> None:
        graph.push(frame)
        while True:
            try:
                out = graph.pull()
            except BlockingIOError:
                return
            assert isinstance(out, AudioFrame)
            self._pending += bytes(out.planes[0])[: out.samples * BYTES_PER_SAMPLE]


def _new_graph(frame: AudioFrame) -> Graph:
    graph = Graph()
    # av.AudioResampler leaves this at FFmpeg's default: a thread per core, which a
    # filter of audio never uses and which outlives the track until it is collected.
    graph.threads = 1
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
    )
    target = graph.add(
        "aformat",
        sample_rates=str(SAMPLE_RATE),
        sample_fmts="s16",
        channel_layouts="mono",
    )
    graph.link_nodes(source, target, graph.add("abuffersink")).configure()
    return graph
