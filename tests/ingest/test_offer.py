"""Tests of offers, answers and trickle fragments, on real senders' offers."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp

from captiond.errors import OfferError
from captiond.ingest import guards
from captiond.ingest.answer import repair_answer
from captiond.ingest.fragment import parse_fragment
from captiond.ingest.offer import Offer, parse_offer
from captiond.ingest.sdp import MAX_CANDIDATES, MAX_LINES
from captiond.metrics import Metrics

OFFERS = {
    path.stem: path.read_bytes().decode()
    for path in sorted((Path(__file__).parent / "offers").glob("*.txt"))
}
# Two media sections without a BUNDLE group: outside RFC 9725 §4.4.1.
UNBUNDLED = "gstreamer_audio_video"
ACCEPTED = [name for name in OFFERS if name != UNBUNDLED]

MINIMAL = """\
v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=rtpmap:111 opus/48000/2
m=video 0 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=bundle-only
a=mid:1
a=sendonly
a=rtpmap:96 VP8/90000
""".format(fingerprint=":".join(["AB"] * 32))
"""As figure 2 of RFC 9725: the second section has no transport attributes."""

AUDIO = MINIMAL[: MINIMAL.index("m=video")].replace("BUNDLE 0 1", "BUNDLE 0")
FINGERPRINT = next(line for line in AUDIO.split("\n") if "fingerprint" in line)
UDP = "1 1 udp 2122194687 192.0.2.7 {port} typ host"


@pytest.fixture(autouse=True)
def addresses() -> Iterator[None]:
    """Gather on loopback, IPv6 first, as a machine may list its addresses."""
    guards.install(Metrics())
    guards.use_addresses(["::1", "127.0.0.1"])
    yield
    guards.use_addresses([])


async def answer(offer: Offer) -> str:
    """Return what aiortc answers, unrepaired."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return peer.localDescription.sdp
    finally:
        await peer.close()


async def repaired(offer: Offer) -> SessionDescription:
    """Return the repaired answer, parsed."""
    return SessionDescription.parse(repair_answer(await answer(offer), offer))


def video(*formats: str, numbers: str) -> str:
    """Return the minimal offer with other video formats."""
    return MINIMAL.replace("SAVPF 96", f"SAVPF {numbers}").replace(
        "a=rtpmap:96 VP8/90000", "\n".join(formats)
    )


@pytest.mark.parametrize("name", ACCEPTED)
async def test_real_offer_gets_an_answer(name: str) -> None:
    """Every sender's offer is answered as RFC 9725 §4.4 asks."""
    offered = SessionDescription.parse(OFFERS[name])
    offer = parse_offer(OFFERS[name])
    text = repair_answer(await answer(offer), offer)
    answered = SessionDescription.parse(text)

    assert text.startswith("v=0\r\n")
    assert [(each.kind, each.rtp.muxId) for each in answered.media] == [
        (each.kind, each.rtp.muxId) for each in offered.media
    ]
    assert [str(each) for each in answered.group if each.semantic == "BUNDLE"] == [
        str(each) for each in offered.group if each.semantic == "BUNDLE"
    ]
    for there, here in zip(offered.media, answered.media, strict=True):
        assert here.profile == there.profile
        assert here.direction == "recvonly"
        assert here.rtcp_mux
        assert here.dtls is not None
        assert here.dtls.role == offer.dtls_role
        assert [each.algorithm for each in here.dtls.fingerprints] == ["sha-256"]
        assert here.ice_candidates
        assert here.ice_candidates_complete
        assert len(here.fmt) == 1
        assert here.fmt[0] in there.fmt
    assert text.count("a=rtcp-mux-only\r\n") == len(answered.media)
    assert text.count("a=end-of-candidates\r\n") == len(answered.media)


@pytest.mark.parametrize(
    ("name", "codec", "has_video", "role"),
    [
        ("chromium_audio_video", 111, True, "server"),
        ("ffmpeg_audio", 111, False, "client"),
        ("ffmpeg_audio_video", 111, True, "server"),
        ("firefox_audio_video", 109, True, "server"),
        ("gstreamer_audio", 111, False, "server"),
    ],
)
def test_real_offer_is_understood(
    name: str, codec: int, has_video: bool, role: str
) -> None:
    """The offer says what the receive path and DTLS have to know."""
    offer = parse_offer(OFFERS[name])

    assert offer.audio_codec.name == "opus"
    assert offer.audio_codec.payload_type == codec
    assert (offer.audio_codec.clock_rate, offer.audio_codec.channels) == (48000, 2)
    assert offer.has_video is has_video
    assert offer.dtls_role == role
    assert offer.ice_pwd not in repr(offer)


def test_unbundled_real_offer_is_refused() -> None:
    """GStreamer's bundle policy 'none' is refused, and told which to use."""
    with pytest.raises(OfferError, match="max-bundle") as caught:
        parse_offer(OFFERS[UNBUNDLED])

    assert caught.value.status == 422


def test_normalised_offer_keeps_only_what_is_used() -> None:
    """RTX, RED, simulcast, foreign extensions and TCP candidates are gone."""
    sdp = parse_offer(OFFERS["chromium_audio_video"]).sdp

    for unwanted in ("rtx", "red/", "ulpfec", "telephone", "CN/", "rid", "simulcast"):
        assert unwanted not in sdp
    assert "playout-delay" not in sdp
    assert " tcp " not in sdp
    assert sdp.count("a=candidate:") == 2
    assert "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" in sdp


def test_component_2_and_names_are_skipped() -> None:
    """Of Firefox's eight candidates two are usable; a .local name never is."""
    name = "a=candidate:9 1 UDP 1 f47ac10b.local 9 typ host\r\na=sendonly"
    sdp = parse_offer(OFFERS["firefox_audio"].replace("a=sendonly", name, 1)).sdp

    assert sdp.count("a=candidate:") == 2
    assert ".local" not in sdp


def test_first_source_of_a_pair_is_kept() -> None:
    """Of a section's sources the first one is announced."""
    offer = parse_offer(OFFERS["libwebrtc_audio_video"])
    sources = re.findall(r"a=ssrc:(\d+)", offer.sdp)

    assert sources == ["288644161", "413335755"]
    assert [each.ssrc for each in offer.media] == [288644161, 413335755]


async def test_bundle_only_section_needs_no_transport() -> None:
    """The offer of RFC 9725 figure 2 is accepted, which aiortc alone refuses."""
    answered = await repaired(parse_offer(MINIMAL))

    assert [each.kind for each in answered.media] == ["audio", "video"]


async def test_group_order_is_kept() -> None:
    """The tagged section is the group's first, wherever it stands."""
    swapped = OFFERS["chromium_audio_video"].replace("BUNDLE 0 1", "BUNDLE 1 0")
    offer = parse_offer(swapped)
    answered = await repaired(offer)

    assert offer.tagged_mid == "1"
    assert [str(each) for each in answered.group] == ["BUNDLE 1 0"]
    assert [each.rtp.muxId for each in answered.media] == ["0", "1"]


async def test_lone_section_needs_neither_group_nor_mid() -> None:
    """What the offer didn't name the answer doesn't either."""
    lone = AUDIO.replace("a=group:BUNDLE 0\n", "").replace("a=mid:0\n", "")
    offer = parse_offer(lone)
    text = repair_answer(await answer(offer), offer)

    assert "a=mid" not in text
    assert "a=group" not in text


async def test_ipv4_candidates_come_first() -> None:
    """The first candidate is IPv4, and the m= and c= lines agree with it."""
    answered = await repaired(parse_offer(AUDIO))
    media = answered.media[0]

    assert media.ice_candidates[0].ip == "127.0.0.1"
    assert (media.host, media.port) == ("127.0.0.1", media.ice_candidates[0].port)


async def test_answer_without_candidates_is_still_sdp() -> None:
    """With nothing gathered the answer has the discard address."""
    guards.use_addresses(["192.0.2.99"])
    answered = await repaired(parse_offer(AUDIO))

    assert answered.media[0].host == "0.0.0.0"
    assert answered.media[0].port == 9


@pytest.mark.parametrize("profile", ["42e01f", "42001f", "4d001f", "64001f", "f4000a"])
async def test_h264_of_any_profile_is_echoed(profile: str) -> None:
    """The answer repeats the sender's H.264 parameters, but not its pictures."""
    fmtp = f"packetization-mode=1;profile-level-id={profile}"
    offer = parse_offer(
        video(
            "a=rtpmap:106 H264/90000",
            f"a=fmtp:106 {fmtp}; sprop-parameter-sets=Z0LA,aM48gA==;",
            numbers="106",
        )
    )
    text = repair_answer(await answer(offer), offer)

    assert f"a=fmtp:106 {fmtp}\r\n" in text
    assert "sprop" not in text


@pytest.mark.parametrize("number", [35, 39, 63, 96, 127])
async def test_payload_type_is_echoed(number: int) -> None:
    """The answer has the offer's payload type, below 96 too."""
    offer = parse_offer(
        video(
            f"a=rtpmap:{number} H264/90000",
            f"a=fmtp:{number} profile-level-id=640028;packetization-mode=1",
            numbers=str(number),
        )
    )
    answered = await repaired(offer)

    assert answered.media[1].fmt == [number]
    assert answered.media[1].rtp.codecs[0].payloadType == number


def test_payload_type_from_96_is_preferred() -> None:
    """With a choice the number is one that every receiver takes."""
    formats = "a=rtpmap:45 VP8/90000", "a=rtpmap:98 VP8/90000"
    offer = parse_offer(video(*formats, numbers="45 98"))

    assert offer.media[1].payload_type == 98


@pytest.mark.parametrize(
    ("formats", "lines", "expected"),
    [
        ("0 8 9 96", "a=rtpmap:96 OPUS/48000/2", ("opus", 96, 48000, 2)),
        ("0 8 9", "", ("g722", 9, 8000, 1)),
        ("8 0", "a=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000/1", ("pcmu", 0, 8000, 1)),
        ("8", "a=rtpmap:8 PCMA/8000", ("pcma", 8, 8000, 1)),
        ("100", "a=rtpmap:100 PCMU/8000", ("pcmu", 100, 8000, 1)),
    ],
)
async def test_audio_codecs(
    formats: str, lines: str, expected: tuple[str, int, int, int]
) -> None:
    """Opus is preferred; the static types need no rtpmap (RFC 3551 §6)."""
    offer = parse_offer(
        AUDIO.replace("SAVPF 111", f"SAVPF {formats}").replace(
            "a=rtpmap:111 opus/48000/2", lines
        )
    )
    answered = await repaired(offer)

    codec = offer.audio_codec
    assert (
        codec.name,
        codec.payload_type,
        codec.clock_rate,
        codec.channels,
    ) == expected
    assert answered.media[0].fmt == [expected[1]]


def test_session_attributes_hold_where_a_section_has_none() -> None:
    """ICE and DTLS attributes may stand in the session (RFC 8839 §5.4)."""
    names = ("ice-ufrag", "ice-pwd", "fingerprint", "setup")
    moved = [line for line in AUDIO.split("\n") if line[2:].split(":")[0] in names]
    kept = [line for line in AUDIO.split("\n") if line not in moved]
    at = kept.index("t=0 0") + 1
    offer = parse_offer("\n".join(kept[:at] + moved + kept[at:]))

    assert offer == parse_offer(AUDIO)


def test_extension_numbers_have_one_meaning() -> None:
    """An extension that contradicts an earlier one is left out."""
    mid, level = (
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    )
    lines = [f"1 {mid}", f"1 {level}", f"2 {mid}", f"1 {mid}", f"3/recvonly {level}"]
    text = "".join(f"a=extmap:{each}\n" for each in lines)
    sdp = parse_offer(AUDIO + text).sdp

    assert re.findall(r"a=extmap:(.*)\r", sdp) == [f"1 {mid}"]


REFUSED = [
    ("", 400, "line 1: an SDP offer starts with 'v=0'"),
    ("hello", 400, "line 1"),
    ("v=1\n", 400, "line 1"),
    ("v=0", 400, "no media section"),
    ("v=0\r\nhello", 400, "line 2: 'hello' is not SDP"),
    (AUDIO + "a=x\0y", 400, "control character"),
    (AUDIO + "a=x\u2028y", 400, "control character"),
    (AUDIO + "a=x\ud800", 400, "control character"),
    (AUDIO + "a=x\n" * MAX_LINES, 400, f"at most {MAX_LINES}"),
    (AUDIO.replace("m=audio 9 ", "m=audio "), 400, "m=<media> <port>"),
    (AUDIO.replace("m=audio 9 ", "m=audio 70000 "), 400, "m=<media> <port>"),
    (AUDIO.replace("m=audio", "m=text"), 422, "audio and video are allowed"),
    (
        AUDIO.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        422,
        "UDP/TLS/RTP/SAVPF is allowed",
    ),
    (
        AUDIO + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n",
        422,
        "data channels are refused",
    ),
    (AUDIO.replace("m=audio", "m=video"), 422, "captions need audio"),
    (MINIMAL.replace("m=video", "m=audio"), 422, "2 m=audio sections; at most one"),
    (MINIMAL.replace("m=audio", "m=video"), 422, "2 m=video sections; at most one"),
    (AUDIO.replace("m=audio 9", "m=audio 0"), 422, "disabled (port 0)"),
    (MINIMAL.replace("a=bundle-only\n", ""), 422, "m=video is disabled"),
    (AUDIO.replace("sendonly", "recvonly"), 422, "is recvonly; sendonly and"),
    (AUDIO.replace("sendonly", "inactive"), 422, "is inactive"),
    (
        AUDIO.replace("a=sendonly\n", "").replace("a=gr", "a=recvonly\na=gr"),
        422,
        "recv",
    ),
    (AUDIO.replace("a=rtcp-mux\n", ""), 422, "no a=rtcp-mux"),
    (AUDIO.replace("a=ice-ufrag:EsAw\n", ""), 400, "a=ice-ufrag is missing"),
    (
        AUDIO.replace("ice-ufrag:EsAw", "ice-ufrag:Es-w"),
        400,
        "a=ice-ufrag has 4 to 256",
    ),
    (AUDIO.replace("ice-pwd:P2uY", "ice-pwd:!"), 400, "a=ice-pwd has 22 to 256"),
    (AUDIO.replace("a=group", "a=ice-lite\na=group"), 422, "full ICE"),
    (AUDIO.replace(FINGERPRINT, "a=x"), 400, "a=fingerprint is missing"),
    (AUDIO.replace(FINGERPRINT, "a=fingerprint:sha-256 AB"), 400, "no fingerprint"),
    (AUDIO.replace(FINGERPRINT, "a=fingerprint:sha-256"), 400, "no fingerprint"),
    (AUDIO.replace("sha-256 ", "md5 "), 422, "allowed are sha-256, sha-384, sha-512"),
    (AUDIO.replace("a=setup:actpass\n", ""), 400, "a=setup is missing"),
    (AUDIO.replace("actpass", "holdconn"), 422, "'holdconn' is refused"),
    (MINIMAL.replace("a=group:BUNDLE 0 1\n", ""), 422, "0 BUNDLE groups"),
    (MINIMAL.replace("BUNDLE 0 1", "BUNDLE 0"), 422, "1 BUNDLE groups"),
    (AUDIO.replace("BUNDLE 0", "BUNDLE 0 1"), 422, "1 BUNDLE groups"),
    (
        MINIMAL.replace("BUNDLE 0 1", "BUNDLE 0\na=group:BUNDLE 1"),
        422,
        "2 BUNDLE groups",
    ),
    (MINIMAL.replace("a=mid:1", "a=mid:0"), 400, "of its own"),
    (AUDIO.replace("a=mid:0", "a=mid:a b"), 400, "no token"),
    (AUDIO.replace("opus", "ISAC"), 422, "offers ISAC/48000 as 111; allowed are opus/"),
    (AUDIO.replace("opus/48000/2", "opus/48000"), 422, "allowed are opus/48000/2"),
    (AUDIO.replace("111", "77"), 422, "opus/48000 as 77"),
    (AUDIO.replace("SAVPF 111", "SAVPF 110"), 422, "no codec"),
    (AUDIO.replace("SAVPF 111", "SAVPF 300"), 400, "number from 0 to 127"),
    (AUDIO.replace("SAVPF 111", "SAVPF opus"), 400, "number from 0 to 127"),
    (AUDIO.replace("opus/48000/2", "opus"), 400, "a=rtpmap:<payload type>"),
    (MINIMAL.replace("VP8/90000", "AV1/90000"), 422, "offers AV1/90000 as 96; allowed"),
    (MINIMAL.replace("VP8/90000", "H265/90000"), 422, "allowed are VP8, H264"),
    (MINIMAL.replace("VP8/90000", "H264/90000"), 422, "packetization-mode=1"),
    (MINIMAL.replace("VP8/90000", "VP8/8000"), 422, "VP8/8000"),
    (MINIMAL.replace("111", "96"), 400, "payload type 96 means different codecs"),
    (AUDIO + "a=ssrc:x cname:y\n", 400, "a=ssrc:<number>"),
    (AUDIO + "a=ssrc:4294967296 cname:y\n", 400, "a=ssrc:<number>"),
    (AUDIO + "a=candidate:1 1 udp\n", 400, "is not a candidate"),
    (AUDIO + f"a=candidate:{UDP.format(port=65536)}\n", 400, "too large"),
    (
        AUDIO
        + "".join(f"a=candidate:{UDP.format(port=each)}\n" for each in range(1, 70)),
        400,
        f"69 UDP candidates; at most {MAX_CANDIDATES}",
    ),
]


@pytest.mark.parametrize(
    ("sdp", "status", "message"), REFUSED, ids=[str(row[2]) for row in REFUSED]
)
def test_refused_offer(sdp: str, status: int, message: str) -> None:
    """A bad offer is refused with the status and a text that says what and where."""
    with pytest.raises(OfferError) as caught:
        parse_offer(sdp)

    assert message in str(caught.value)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "candidate",
    [
        "1 1 tcp 1518214911 192.0.2.7 9 typ host tcptype active",
        "1 2 udp 2122194687 192.0.2.7 4000 typ host",
        "1 1 udp 2122194687 a.local 4000 typ host",
        "1 1 udp 2122194687 publisher.example 4000 typ host",
        "1 1 udp 2122194687 0.0.0.0 4000 typ host",
        "1 1 udp 2122194687 224.0.0.1 4000 typ host",
        "1 1 udp 2122194687 fe80::1%eth0 4000 typ host",
        "1 1 udp 2122194687 192.0.2.7 0 typ host",
        "1 1 udp 2122194687 192.0.2.7 4000 typ other",
        "1 1 udp 2122194687 192.0.2.7 4000 typ host ufrag other",
    ],
)
def test_unusable_candidate_is_skipped(candidate: str) -> None:
    """What can't be used is left out of offers and fragments without an error."""
    offer = parse_offer(AUDIO + f"a=candidate:{candidate}\n")
    fragment = parse_fragment(f"a=candidate:{candidate}", offer)

    assert "a=candidate" not in offer.sdp
    assert fragment.candidates == ()


def fragment_text(*lines: str) -> str:
    """Return a fragment as RFC 9725 §4.3.2 shows it."""
    head = [
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:EsAw",
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
    ]
    return "\r\n".join([*head, *lines, ""])


def test_fragment_gives_candidates() -> None:
    """A fragment's candidates are what aiortc's parser takes."""
    offer = parse_offer(MINIMAL)
    fragment = parse_fragment(
        fragment_text(
            "a=candidate:1 1 UDP 2122194687 192.0.2.7 40000 typ host generation 0",
            "a=candidate:2 1 UDP 1 198.51.100.7 40001 typ srflx raddr 0.0.0.0 rport 0",
            "a=candidate:2 1 UDP 1 198.51.100.8 40001 typ prflx raddr 0.0.0.0 rport 0",
            "a=end-of-candidates",
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "a=mid:1",
            "a=candidate:1 1 UDP 2122194687 192.0.2.7 50000 typ host",
        ),
        offer,
    )
    parsed = [candidate_from_sdp(each) for each in fragment.candidates]

    assert [(each.ip, each.port, each.type) for each in parsed] == [
        ("192.0.2.7", 40000, "host"),
        ("198.51.100.7", 40001, "srflx"),
        ("198.51.100.8", 40001, "host"),
    ]
    assert fragment.mid == "0"
    assert fragment.end_of_candidates
    assert (fragment.ice_ufrag, fragment.ice_pwd) == (offer.ice_ufrag, offer.ice_pwd)


def test_fragment_may_leave_out_nearly_all() -> None:
    """Without credentials and sections a fragment speaks of the current session."""
    fragment = parse_fragment(f"a=candidate:{UDP.format(port=4)}", parse_offer(MINIMAL))

    assert fragment.ice_ufrag is None
    assert fragment.ice_pwd is None
    assert not fragment.end_of_candidates
    assert fragment.candidates == (UDP.format(port=4),)


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("", 400, "at least one line"),
        ("hello", 400, "line 1: 'hello' is not SDP"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 111", 400, "at least one line"),
        ("a=candidate:1", 400, "line 1: '1' is not a candidate"),
        ("a=mid:7\r\na=end-of-candidates", 400, "allowed are 0, 1"),
        ("a=ice-ufrag:a", 400, "4 to 256 characters"),
        ("a=ice-ufrag:another", 422, "ICE restart is not supported"),
        (fragment_text("a=ice-pwd:" + "x" * 22), 422, "line 6: a=ice-pwd differs"),
    ],
)
def test_refused_fragment(text: str, status: int, message: str) -> None:
    """A bad fragment is refused, and so is a restart (RFC 9725 §4.3.3)."""
    with pytest.raises(OfferError) as caught:
        parse_fragment(text, parse_offer(MINIMAL))

    assert message in str(caught.value)
    assert caught.value.status == status
    assert "P2uYro0UCOQ4zxjKXaWCBui1" not in str(caught.value)


def mutants(count: int, *, seed: int) -> Iterator[str]:
    """Yield real offers with one to four things changed in each."""
    choose = random.Random(seed)
    sources = [*OFFERS.values(), MINIMAL]
    pieces = ["\0", " ", ":", "/", "\r", "\n", "²", "-1", "99999999999", "=", "\u2028"]
    pieces += ["a=", "m=", "\x85", "0", "96", "BUNDLE", "actpass", "é", "\ud800", "%s"]
    for _ in range(count):
        lines = choose.choice(sources).splitlines(keepends=True)
        for _ in range(choose.randint(1, 4)):
            at = choose.randrange(len(lines))
            line = lines[at]
            cut = choose.randrange(len(line) + 1)
            match choose.randrange(7):
                case 0:
                    lines[at] = ""
                case 1:
                    lines[at] = line + choose.choice(lines)
                case 2:
                    lines[at] = line[:cut] + choose.choice(pieces) + line[cut:]
                case 3:
                    lines[at] = line[:cut] + choose.choice(pieces) + line[cut + 1 :]
                case 4:
                    lines[at] = line[:cut]
                case 5:
                    words = re.split(r"([ :/;=,])", line)
                    words[choose.randrange(len(words))] = choose.choice(pieces)
                    lines[at] = "".join(words)
                case _:
                    other = choose.randrange(len(lines))
                    lines[at], lines[other] = lines[other], line
        yield "".join(lines)


def accepted(texts: Iterator[str]) -> Iterator[Offer]:
    """Yield what is accepted; anything but OfferError fails the test."""
    for text in texts:
        try:
            yield parse_offer(text)
        except OfferError as exc:
            assert exc.status in (400, 422)  # noqa: PT017


def test_mutated_offers_raise_nothing_else() -> None:
    """Whatever arrives, parse_offer() raises OfferError or returns an Offer."""
    count = sum(1 for _ in accepted(mutants(4000, seed=1)))

    assert 400 < count < 3600


def test_mutated_fragments_raise_nothing_else() -> None:
    """Whatever arrives, parse_fragment() raises OfferError or returns a Fragment."""
    offer = parse_offer(MINIMAL)
    count = 0
    for text in mutants(1500, seed=2):
        try:
            parse_fragment(text, offer)
        except OfferError:
            count += 1

    assert count


async def test_accepted_mutants_pass_through_aiortc() -> None:
    """aiortc answers every offer that was accepted, and the answer parses."""
    offers = accepted(mutants(100_000, seed=3))
    for _ in range(150):
        offer = next(offers)
        answered = await repaired(offer)

        assert len(answered.media) == len(offer.media)
        assert [each.fmt for each in answered.media] == [
            [each.payload_type] for each in offer.media
        ]
