"""
SDP read line by line: what offers and trickle fragments have in common.

Rule: raises nothing but :class:`OfferError`, and quotes no more of the input than the
reader needs to find the place.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator
from typing import NoReturn

from captiond.errors import OfferError

MAX_LINES = 1000
"""Lines of one body; Chromium's longest offers have about 300."""

MAX_CANDIDATES = 64
"""Usable candidates of one body (RFC 8445 §6.1.2.5 allows 100 pairs)."""

# Control characters (C0, DEL, C1), line separators that Python's splitlines() knows
# and RFC 8866 doesn't, and halves of surrogate pairs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LINE = re.compile(r"[a-z]=.*")
_CANDIDATE = re.compile(
    r"(?P<foundation>[!-~]{1,64}) (?P<component>[0-9]{1,5}) (?P<transport>[!-~]+) "
    r"(?P<priority>[0-9]{1,10}) (?P<address>[!-~]+) (?P<port>[0-9]{1,5}) "
    r"typ (?P<type>[!-~]+)(?P<rest>.*)"
)
_UFRAG_EXTENSION = re.compile(r" ufrag ([!-~]+)")
_ICE_CREDENTIALS = {
    "ice-ufrag": re.compile(r"[A-Za-z0-9+/]{4,256}"),
    "ice-pwd": re.compile(r"[A-Za-z0-9+/]{22,256}"),
}
_CREDENTIAL_RULE = {"ice-ufrag": "4 to 256", "ice-pwd": "22 to 256"}
_CANDIDATE_TYPES = ("host", "srflx", "prflx", "relay")


@dataclasses.dataclass(frozen=True, slots=True)
class Attribute:
    """One ``a=`` line."""

    name: str
    value: str
    line: int


@dataclasses.dataclass(slots=True)
class Section:
    """The session's lines, or one ``m=`` line with what follows it."""

    line: int
    media: str = ""
    attributes: list[Attribute] = dataclasses.field(default_factory=list)

    def all(self, name: str) -> Iterator[Attribute]:
        """Return the attributes called ``name`` in their order."""
        return (found for found in self.attributes if found.name == name)

    def first(self, name: str) -> Attribute | None:
        """Return the first attribute called ``name``."""
        return next(self.all(name), None)

    def __contains__(self, name: str) -> bool:
        return self.first(name) is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Media:
    """An ``m=`` line and its section."""

    section: Section
    kind: str
    port: int
    profile: str
    payload_types: tuple[str, ...]

    @property
    def bundle_only(self) -> bool:
        """Whether it has no transport but the bundle's (RFC 9143 §6)."""
        return "bundle-only" in self.section


def refuse(detail: str, *, line: int | None = None, status: int = 400) -> NoReturn:
    """Raise an :class:`OfferError` that says where."""
    where = "" if line is None else f"line {line}: "
    raise OfferError(where + detail, status=status)


def quote(value: str) -> str:
    """Return a piece of the input fit for an error message."""
    return repr(value if len(value) <= 40 else value[:40] + "…")


def read_sections(text: str) -> list[Section]:
    """Split a body into the session's section and one for each ``m=`` line."""
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        refuse(f"the body has {len(lines)} lines; at most {MAX_LINES} are allowed")
    sections = [Section(line=1)]
    for number, raw in enumerate(lines, start=1):
        line = raw.removesuffix("\r")
        if not line:
            continue
        if _CONTROL.search(line):
            refuse("has a control character; only text is allowed", line=number)
        if not _LINE.fullmatch(line):
            refuse(f"{quote(line)} is not SDP; '<letter>=<value>' is", line=number)
        if line.startswith("m="):
            sections.append(Section(line=number, media=line[2:].strip()))
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            attribute = Attribute(name.strip(), value.strip(), number)
            sections[-1].attributes.append(attribute)
    return sections


def read_ice_credential(attribute: Attribute) -> str:
    """Return a ufrag or password (RFC 8839 §5.4), without ever quoting it."""
    if not _ICE_CREDENTIALS[attribute.name].fullmatch(attribute.value):
        refuse(
            f"a={attribute.name} has {_CREDENTIAL_RULE[attribute.name]} characters out "
            "of A-Z a-z 0-9 + /",
            line=attribute.line,
        )
    return attribute.value


def read_candidates(section: Section, *, ufrag: str) -> tuple[str, ...]:
    """
    Return the candidates that can be used, in their canonical form.

    What isn't UDP of component 1 at a literal address is skipped (RFC 9725 §4.3.2);
    a name would be resolved by mDNS, which delays the answer by a second.
    """
    found = [_read_candidate(each, ufrag) for each in section.all("candidate")]
    usable = tuple(dict.fromkeys(each for each in found if each is not None))
    if len(usable) > MAX_CANDIDATES:
        refuse(
            f"{len(usable)} UDP candidates; at most {MAX_CANDIDATES} are allowed",
            line=section.line,
        )
    return usable


def _read_candidate(attribute: Attribute, ufrag: str) -> str | None:
    match = _CANDIDATE.fullmatch(" ".join(attribute.value.split()))
    if match is None:
        refuse(
            f"{quote(attribute.value)} is not a candidate; '<foundation> <component> "
            "<transport> <priority> <address> <port> typ <type>' is (RFC 8839 §5.1)",
            line=attribute.line,
        )
    port = int(match["port"])
    if port > 0xFFFF or int(match["priority"]) > 0xFFFFFFFF:
        refuse("the candidate's port or priority is too large", line=attribute.line)
    generation = _UFRAG_EXTENSION.search(match["rest"])
    if (
        match["transport"].lower() != "udp"
        or int(match["component"]) != 1
        or match["type"] not in _CANDIDATE_TYPES
        or port == 0
        or not _can_be_reached(match["address"])
        or (generation is not None and generation[1] != ufrag)
    ):
        return None
    # aioice takes no peer-reflexive candidate from signalling; it is a host to us.
    kind = "host" if match["type"] == "prflx" else match["type"]
    return (
        f"{match['foundation']} 1 udp {int(match['priority'])} {match['address']} "
        f"{port} typ {kind}"
    )


def _can_be_reached(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A zone ("fe80::1%eth0") names an interface of the sender's machine, not of ours.
    return not (parsed.is_multicast or parsed.is_unspecified or "%" in address)
