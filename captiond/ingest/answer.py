"""
The SDP answer as aiortc wrote it, repaired.

Rule: no I/O. Everything here mends something that a sender or RFC 9725 §4.4 wants and
aiortc doesn't do.
"""

from __future__ import annotations

import ipaddress
import re

from captiond.ingest.offer import Offer, OfferedMedia

# libdatachannel (OBS) fails one handshake in five when it is given several.
_SURPLUS_FINGERPRINT = re.compile(r"a=fingerprint:(?!sha-256 )")
_DIRECTION = re.compile(r"a=(?:sendrecv|sendonly|recvonly|inactive)")


def repair_answer(answer: str, offer: Offer) -> str:
    """
    Return the answer that the publisher gets.

    Args:
        answer: The complete answer: gathered, as aiortc's local description has it.
        offer: What it answers.

    """
    session: list[str] = []
    sections: list[list[str]] = []
    for line in answer.splitlines():
        if line.startswith("m="):
            sections.append([])
        (sections[-1] if sections else session).append(line)
    lines = _repair_session(session, offer)
    for section, media in zip(sections, offer.media, strict=True):
        lines += _repair_section(section, media)
    return "\r\n".join(lines) + "\r\n"


def _repair_session(lines: list[str], offer: Offer) -> list[str]:
    lines = [line for line in lines if not line.startswith("a=group:")]
    if offer.bundle:
        # The tagged section stays the offer's (RFC 9143 §7.3.1).
        lines.append(f"a=group:BUNDLE {' '.join(offer.bundle)}")
    # RFC 8838 §4.1.3: more candidates are welcome (PATCH).
    lines.append("a=ice-options:trickle")
    return lines


def _repair_section(lines: list[str], media: OfferedMedia) -> list[str]:
    candidates = sorted(
        (line for line in lines if line.startswith("a=candidate:")), key=_is_ipv6
    )
    kept = [line for line in lines[1:] if not _is_rewritten(line, media)]
    return [
        *_default_address(lines, candidates, media),
        *kept,
        "a=recvonly",
        # RFC 9725 §4.4.1, RFC 8858 §3.
        "a=rtcp-mux-only",
        *([] if media.fmtp is None else [_fmtp(media.payload_type, media.fmtp)]),
        *candidates,
        # RFC 9725 §4.3.2: the server has gathered all of them.
        "a=end-of-candidates",
    ]


def _is_rewritten(line: str, media: OfferedMedia) -> bool:
    return bool(
        line.startswith(("c=", "a=candidate:"))
        or line in ("a=rtcp-mux-only", "a=end-of-candidates")
        or _DIRECTION.fullmatch(line)
        or _SURPLUS_FINGERPRINT.match(line)
        or (line.startswith("a=fmtp:") and media.fmtp is not None)
        or (line.startswith("a=mid:") and not media.has_mid)
    )


def _fmtp(payload_type: int, offered: str) -> str:
    # sprop-… tells what the one who writes it will send (RFC 6184 §8.2.2): not ours.
    parameters = [part.strip() for part in offered.split(";")]
    kept = [part for part in parameters if part and not part.startswith("sprop-")]
    return f"a=fmtp:{payload_type} {';'.join(kept)}"


def _default_address(
    lines: list[str], candidates: list[str], media: OfferedMedia
) -> list[str]:
    """Return the ``m=`` and ``c=`` line, for the candidate that is now the first."""
    address, port = "0.0.0.0", "9"
    if candidates:
        address, port = candidates[0].split()[4:6]
    formats = lines[0].split(" ", 3)[3]
    family = 6 if ":" in address else 4
    return [
        f"m={media.kind} {port} {media.profile} {formats}",
        f"c=IN IP{family} {address}",
    ]


def _is_ipv6(candidate: str) -> bool:
    """Order IPv4 first: FFmpeg takes the first candidate and no other."""
    return ipaddress.ip_address(candidate.split()[4]).version == 6
