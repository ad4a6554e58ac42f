"""
The one codec that is left of each media section.

Rule: no I/O. What isn't kept, RTX, RED, FEC and the rest, is not mentioned again.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal, cast

from captiond.ingest.sdp import Media, quote, refuse

AudioCodecName = Literal["opus", "g722", "pcmu", "pcma"]

AUDIO_CODECS = {
    "opus": (48000, 2),
    "g722": (8000, 1),
    "pcmu": (8000, 1),
    "pcma": (8000, 1),
}
"""Clock rate and channels in ``a=rtpmap``; the first that is offered is taken."""

AUDIO_ALLOWED = "opus/48000/2, G722/8000, PCMU/8000, PCMA/8000"
VIDEO_ALLOWED = "VP8, H264 with packetization-mode=1"

DYNAMIC_PAYLOAD_TYPES = (*range(35, 64), *range(96, 128))
"""Those that RTP profiles leave to SDP and RTCP doesn't mistake (RFC 5761 §4)."""

H264_FMTP = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
"""What aiortc is told of any H.264: it refuses all profiles but the baselines, yet
decodes them (:func:`captiond.ingest.answer.repair_answer` puts the offer's back)."""

_STATIC = {9: "G722", 0: "PCMU", 8: "PCMA"}
_RTPMAP = re.compile(r"([0-9]{1,3}) +([!-.0-~]{1,32})/([0-9]{1,7})(?:/([0-9]{1,3}))?")
_PACKETIZATION_MODE_1 = re.compile(r"(?:^|;) *packetization-mode=1 *(?:;|$)")
_FEEDBACK = ("nack", "nack pli", "goog-remb")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AudioCodec:
    """The one audio codec that is left in the offer."""

    name: AudioCodecName
    payload_type: int
    clock_rate: int
    channels: int


@dataclasses.dataclass(frozen=True, slots=True)
class Format:
    """One payload type of an ``m=`` line."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int
    fmtp: str | None

    def __str__(self) -> str:
        return f"{self.name}/{self.clock_rate} as {self.payload_type}"


def choose_format(media: Media) -> Format:
    """Return the one codec to keep: the best audio, the sender's favourite video."""
    offered = _read_formats(media)
    names = list(AUDIO_CODECS)

    def rank(chosen: Format) -> tuple[int, bool]:
        by_codec = names.index(chosen.name.lower()) if media.kind == "audio" else 0
        return by_codec, chosen.payload_type < 96

    usable = [each for each in offered if _can_decode(media.kind, each)]
    if not usable:
        allowed = AUDIO_ALLOWED if media.kind == "audio" else VIDEO_ALLOWED
        refuse(
            f"m={media.kind} offers {', '.join(map(str, offered)) or 'no codec'}; "
            f"allowed are {allowed}",
            line=media.section.line,
            status=422,
        )
    return min(usable, key=rank)


def _read_formats(media: Media) -> list[Format]:
    named = {number: (name, 8000, 1) for number, name in _STATIC.items()}
    for attribute in media.section.all("rtpmap"):
        match = _RTPMAP.fullmatch(attribute.value)
        if match is None:
            refuse(
                f"{quote(attribute.value)} is malformed; 'a=rtpmap:<payload type> "
                "<codec>/<clock rate>' is expected",
                line=attribute.line,
            )
        named[int(match[1])] = (match[2], int(match[3]), int(match[4] or 1))
    parameters = {}
    for attribute in media.section.all("fmtp"):
        number, _, text = attribute.value.partition(" ")
        parameters[number] = text.strip()
    formats = []
    for text in dict.fromkeys(media.payload_types):
        if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 127:
            refuse(
                f"payload type {quote(text)} is not a number from 0 to 127",
                line=media.section.line,
            )
        if int(text) in named:
            formats.append(Format(int(text), *named[int(text)], parameters.get(text)))
    return formats


def _can_decode(kind: str, offered: Format) -> bool:
    name = offered.name.lower()
    if offered.payload_type not in DYNAMIC_PAYLOAD_TYPES:
        static = _STATIC.get(offered.payload_type, "")
        if static.lower() != name:
            return False
    if kind == "audio":
        return AUDIO_CODECS.get(name) == (offered.clock_rate, offered.channels)
    if name == "h264" and _PACKETIZATION_MODE_1.search(offered.fmtp or "") is None:
        return False
    return name in ("vp8", "h264") and offered.clock_rate == 90000


def audio_codec(chosen: Format) -> AudioCodec:
    """Return what the receive path has to know."""
    return AudioCodec(
        name=cast(AudioCodecName, chosen.name.lower()),
        payload_type=chosen.payload_type,
        clock_rate=chosen.clock_rate,
        channels=chosen.channels,
    )


def codec_lines(media: Media, chosen: Format) -> list[str]:
    """Return the attributes of the codec, as aiortc takes them."""
    number = chosen.payload_type
    channels = f"/{chosen.channels}" if chosen.channels > 1 else ""
    lines = [f"a=rtpmap:{number} {chosen.name}/{chosen.clock_rate}{channels}"]
    if chosen.name.lower() == "h264":
        lines.append(f"a=fmtp:{number} {H264_FMTP}")
    if media.kind == "video":
        for attribute in media.section.all("rtcp-fb"):
            target, _, feedback = attribute.value.partition(" ")
            if target in ("*", str(number)) and feedback in _FEEDBACK:
                lines.append(f"a=rtcp-fb:{number} {feedback}")
    return list(dict.fromkeys(lines))
