"""
An SDP offer, checked and normalised before aiortc sees it.

aiortc takes offers it can't serve and fails on good ones in many ways. So nothing of
an offer is handed on as it came: the normalised one is written anew, from what was
understood, with one codec and one source per media section.

Rule: no I/O, and whatever comes in, only :class:`OfferError` comes out: 400 for what
is malformed, 422 for what is refused (RFC 9725 §4.4).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from captiond.ingest.codec import (
    AudioCodec,
    Format,
    audio_codec,
    choose_format,
    codec_lines,
)
from captiond.ingest.sdp import (
    Attribute,
    Media,
    Section,
    quote,
    read_candidates,
    read_ice_credential,
    read_sections,
    refuse,
)

_PROFILE = re.compile(r"(?:(?:UDP/TLS|TCP/DTLS|TCP/TLS)/)?RTP/SAVPF?")
_MEDIA = re.compile(r"([!-~]+) ([0-9]{1,5})(?:/[0-9]+)? ([!-~]+)((?: [!-~]+)+)")
_SSRC = re.compile(r"([0-9]{1,10})(?: .*)?")
_MID = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,32}")
_DIRECTIONS = ("sendonly", "sendrecv", "recvonly", "inactive")
_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_FINGERPRINT = re.compile(r"([!-~]+) +((?:[0-9A-Fa-f]{2}:)*[0-9A-Fa-f]{2})")
_EXTMAP = re.compile(r"([1-9]|1[0-4])(?:/sendrecv)? ([!-~]+)")
_EXTENSIONS = (
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OfferedMedia:
    """What the answer to one ``m=`` line has to repeat."""

    kind: str
    mid: str
    has_mid: bool
    """Without one in the offer there is none in the answer (RFC 9143 §7.3)."""
    profile: str
    payload_type: int
    fmtp: str | None
    """The sender's own parameters of H.264, else None."""
    ssrc: int | None
    """The source that was announced first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer that captiond accepts."""

    sdp: str = dataclasses.field(repr=False)
    """The normalised offer, for aiortc."""
    has_video: bool
    dtls_role: Literal["server", "client"]
    """Our role."""
    ice_ufrag: str
    ice_pwd: str = dataclasses.field(repr=False)
    mids: tuple[str, ...]
    """In the order of the ``m=`` lines."""
    bundle: tuple[str, ...]
    """Mids in the order of the BUNDLE group; empty when the offer has no group."""
    audio_codec: AudioCodec
    media: tuple[OfferedMedia, ...]

    @property
    def tagged_mid(self) -> str:
        """Mid of the section whose transport carries everything (RFC 9143 §7.2)."""
        return self.bundle[0] if self.bundle else self.mids[0]


@dataclasses.dataclass(frozen=True, slots=True)
class _Transport:
    """ICE and DTLS of the whole bundle, taken from its tagged section."""

    ufrag: str
    password: str
    setup: Literal["active", "passive"]
    fingerprints: tuple[str, ...]
    candidates: tuple[str, ...]


def parse_offer(sdp: str) -> Offer:
    """
    Check an offer and write it anew for aiortc.

    Raises:
        OfferError: 400 if it is malformed, 422 if it asks for what is refused.

    """
    if not re.match(r"v=0\r?(\n|\Z)", sdp):
        refuse("an SDP offer starts with 'v=0'", line=1)
    session, *sections = read_sections(sdp)
    media = [_read_media(section) for section in sections]
    _require_audio(media)
    mids, bundle = _read_bundle(session, media)
    tagged = media[mids.index(bundle[0])] if bundle else media[0]
    for each in media:
        _require_usable(session, each, tagged=each is tagged)
    transport = _read_transport(session, tagged.section)
    formats = [choose_format(each) for each in media]
    _require_distinct(media, formats)
    return Offer(
        sdp=_write(mids, bundle or mids, media, formats, transport),
        has_video=len(media) > 1,
        dtls_role="client" if transport.setup == "passive" else "server",
        ice_ufrag=transport.ufrag,
        ice_pwd=transport.password,
        mids=mids,
        bundle=bundle,
        audio_codec=next(
            audio_codec(chosen)
            for each, chosen in zip(media, formats, strict=True)
            if each.kind == "audio"
        ),
        media=tuple(
            OfferedMedia(
                kind=each.kind,
                mid=mid,
                has_mid="mid" in each.section,
                profile=each.profile,
                payload_type=chosen.payload_type,
                fmtp=chosen.fmtp if chosen.name.lower() == "h264" else None,
                ssrc=_first_ssrc(each.section),
            )
            for mid, each, chosen in zip(mids, media, formats, strict=True)
        ),
    )


def _read_media(section: Section) -> Media:
    match = _MEDIA.fullmatch(" ".join(section.media.split()))
    if match is None or int(match[2]) > 0xFFFF:
        refuse(
            f"{quote('m=' + section.media)} is malformed; 'm=<media> <port> <profile> "
            "<formats>' is expected (RFC 8866 §5.14)",
            line=section.line,
        )
    kind, port, profile, formats = match.groups()
    if kind == "application":
        refuse(
            "m=application: data channels are refused; audio and video are allowed",
            line=section.line,
            status=422,
        )
    if kind not in ("audio", "video"):
        refuse(
            f"{quote('m=' + kind)} is refused; audio and video are allowed",
            line=section.line,
            status=422,
        )
    if not _PROFILE.fullmatch(profile):
        refuse(
            f"profile {quote(profile)} is refused; UDP/TLS/RTP/SAVPF is allowed",
            line=section.line,
            status=422,
        )
    return Media(section, kind, int(port), profile, tuple(formats.split()))


def _require_audio(media: list[Media]) -> None:
    if not media:
        refuse("the offer has no media section; one m=audio is needed")
    kinds = [each.kind for each in media]
    # RFC 9725 §4.4.2: one MediaStream with at most one track of a kind.
    for kind in ("audio", "video"):
        if kinds.count(kind) > 1:
            refuse(
                f"{kinds.count(kind)} m={kind} sections; at most one is allowed",
                status=422,
            )
    if "audio" not in kinds:
        refuse("the offer has no m=audio; captions need audio", status=422)


def _read_bundle(
    session: Section, media: list[Media]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the mids, and the BUNDLE group's, which must be the same."""
    mids: list[str] = []
    for each in media:
        attribute = each.section.first("mid")
        mid = attribute.value if attribute else f"captiond{len(mids)}"
        if not _MID.fullmatch(mid) or mid in mids:
            line = attribute.line if attribute else each.section.line
            refuse(
                f"a=mid:{quote(mid)} is no token of 1 to 32 characters of its own",
                line=line,
            )
        mids.append(mid)
    groups = [found.value.split() for found in session.all("group")]
    bundles = [tuple(group[1:]) for group in groups if group[:1] == ["BUNDLE"]]
    if not bundles and len(media) == 1:
        return tuple(mids), ()
    # RFC 9725 §4.4.1: all sections are in one BUNDLE group.
    if len(bundles) != 1 or sorted(bundles[0]) != sorted(mids):
        refuse(
            f"{len(bundles)} BUNDLE groups for {len(media)} media sections; one group "
            "that names the mid of each is needed (bundle policy max-bundle)",
            status=422,
        )
    return tuple(mids), bundles[0]


def _require_usable(session: Section, media: Media, *, tagged: bool) -> None:
    section = media.section
    if media.port == 0 and (tagged or not media.bundle_only):
        refuse(
            f"m={media.kind} is disabled (port 0); leave it out, or use it bundled",
            line=section.line,
            status=422,
        )
    # RFC 9725 §4.2: the client sends.
    direction = _direction(section) or _direction(session) or "sendrecv"
    if direction not in ("sendonly", "sendrecv"):
        refuse(
            f"m={media.kind} is {direction}; sendonly and sendrecv are allowed",
            line=section.line,
            status=422,
        )
    # A bundle-only section may leave this to the tagged one (RFC 9725 figure 2).
    if "rtcp-mux" not in section and (tagged or not media.bundle_only):
        refuse(
            f"m={media.kind} has no a=rtcp-mux, which is needed (RFC 9725 §4.4.1)",
            line=section.line,
            status=422,
        )


def _direction(section: Section) -> str | None:
    names = [each.name for each in section.attributes if each.name in _DIRECTIONS]
    return names[-1] if names else None


def _read_transport(session: Section, section: Section) -> _Transport:
    if "ice-lite" in session:
        refuse("a=ice-lite is refused; a publisher is full ICE", status=422)
    ufrag = read_ice_credential(_need(session, section, "ice-ufrag"))
    setup = _need(session, section, "setup")
    if setup.value not in ("actpass", "active", "passive"):
        refuse(
            f"a=setup:{quote(setup.value)} is refused; actpass is allowed, and active "
            "and passive",
            line=setup.line,
            status=422,
        )
    return _Transport(
        ufrag=ufrag,
        password=read_ice_credential(_need(session, section, "ice-pwd")),
        # "active" makes aiortc the DTLS server. Left at "actpass" it would be the
        # client, whose few cipher suites senders with an RSA certificate don't share.
        setup="passive" if setup.value == "passive" else "active",
        fingerprints=_read_fingerprints(session, section),
        candidates=read_candidates(section, ufrag=ufrag),
    )


def _need(session: Section, section: Section, name: str) -> Attribute:
    found = section.first(name) or session.first(name)
    if found is None:
        refuse(f"a={name} is missing, here and in the session", line=section.line)
    return found


def _read_fingerprints(session: Section, section: Section) -> tuple[str, ...]:
    _need(session, section, "fingerprint")
    # RFC 8122 §5: those of the session count only where a section has none.
    source = section if "fingerprint" in section else session
    known = []
    for attribute in source.all("fingerprint"):
        match = _FINGERPRINT.fullmatch(attribute.value)
        size = _DIGEST_BYTES.get(match[1].lower()) if match else None
        if match is None or (size and len(match[2]) != size * 3 - 1):
            refuse(
                f"{quote(attribute.value)} is no fingerprint; '<hash> <hex pairs "
                "joined by colons>' is (RFC 8122 §5)",
                line=attribute.line,
            )
        if size:
            known.append(f"{match[1].lower()} {match[2].upper()}")
    if not known:
        refuse(
            f"no usable a=fingerprint; allowed are {', '.join(_DIGEST_BYTES)}",
            line=section.line,
            status=422,
        )
    return tuple(known)


def _require_distinct(media: list[Media], formats: list[Format]) -> None:
    numbers = [each.payload_type for each in formats]
    if len(set(numbers)) < len(numbers):
        # Bundled sections share one space of payload types (RFC 9143 §9.1).
        refuse(
            f"payload type {numbers[0]} means different codecs in one bundle",
            line=media[-1].section.line,
        )


def _first_ssrc(section: Section) -> int | None:
    """Return the first source: of RTX pairs and simulcast the one to listen to."""
    for attribute in section.all("ssrc"):
        match = _SSRC.fullmatch(attribute.value)
        if match is None or int(match[1]) > 0xFFFFFFFF:
            refuse(
                f"{quote(attribute.value)} is malformed; 'a=ssrc:<number> <attribute>' "
                "is expected",
                line=attribute.line,
            )
        return int(match[1])
    return None


def _write(
    mids: tuple[str, ...],
    bundle: tuple[str, ...],
    media: list[Media],
    formats: list[Format],
    transport: _Transport,
) -> str:
    lines = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    lines.append(f"a=group:BUNDLE {' '.join(bundle)}")
    extensions: dict[str, str] = {}
    for mid, each, chosen in zip(mids, media, formats, strict=True):
        lines += [
            f"m={each.kind} 9 UDP/TLS/RTP/SAVPF {chosen.payload_type}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            "a=sendonly",
            "a=rtcp-mux",
            *_transport_lines(transport, tagged=mid == bundle[0]),
            *codec_lines(each, chosen),
            *_extension_lines(each.section, extensions),
        ]
        ssrc = _first_ssrc(each.section)
        if ssrc is not None:
            lines.append(f"a=ssrc:{ssrc} cname:-")
    return "\r\n".join(lines) + "\r\n"


def _transport_lines(transport: _Transport, *, tagged: bool) -> list[str]:
    lines = [
        f"a=ice-ufrag:{transport.ufrag}",
        f"a=ice-pwd:{transport.password}",
        f"a=setup:{transport.setup}",
        *(f"a=fingerprint:{each}" for each in transport.fingerprints),
    ]
    # Never a=end-of-candidates: with no usable candidate aioice would fail at once,
    # though the sender's own checks can still reach us (RFC 8445 §7.3.1.3).
    if tagged:
        lines += (f"a=candidate:{each}" for each in transport.candidates)
    return lines


def _extension_lines(section: Section, used: dict[str, str]) -> list[str]:
    """Return what aiortc knows, with one meaning per number in the whole bundle."""
    lines = []
    for attribute in section.all("extmap"):
        match = _EXTMAP.fullmatch(attribute.value)
        if match is None or match[2] not in _EXTENSIONS:
            continue
        known = match[2] in used.values()
        if used.get(match[1]) == match[2] or (match[1] not in used and not known):
            used[match[1]] = match[2]
            lines.append(f"a=extmap:{match[1]} {match[2]}")
    return list(dict.fromkeys(lines))
