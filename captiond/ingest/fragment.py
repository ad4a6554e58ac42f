"""
Trickled candidates: the body of a PATCH (RFC 9725 §4.3.2, RFC 8840 §9).

Rule: no I/O; 400 for what is malformed, 422 for an ICE restart, which isn't supported.
"""

from __future__ import annotations

import dataclasses

from captiond.ingest.offer import Offer
from captiond.ingest.sdp import (
    Section,
    read_candidates,
    read_ice_credential,
    read_sections,
    refuse,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What a publisher trickled."""

    ice_ufrag: str | None
    ice_pwd: str | None = dataclasses.field(repr=False)
    mid: str
    """The section whose transport carries the bundle."""
    candidates: tuple[str, ...]
    """Usable ones, as ``aiortc.sdp.candidate_from_sdp`` takes them."""
    end_of_candidates: bool
    """Not for aioice: told this before it has a usable candidate it gives up at once,
    though the publisher's own checks would still reach it."""


def parse_fragment(text: str, offer: Offer) -> Fragment:
    """
    Read a trickle fragment that belongs to an accepted offer.

    Raises:
        OfferError: 400 if it is malformed, 422 if it asks for an ICE restart.

    """
    sections = read_sections(text)
    if not any(section.attributes for section in sections):
        refuse("an SDP fragment has at least one line 'a=…'")
    for section in sections:
        for name, current in (
            ("ice-ufrag", offer.ice_ufrag),
            ("ice-pwd", offer.ice_pwd),
        ):
            _require_current(section, name, current)
    merged = _merge([each for each in sections if _is_tagged(each, offer)])
    ufrag, password = (
        _credential(sections, "ice-ufrag"),
        _credential(sections, "ice-pwd"),
    )
    return Fragment(
        ice_ufrag=ufrag,
        ice_pwd=password,
        mid=offer.tagged_mid,
        candidates=read_candidates(merged, ufrag=offer.ice_ufrag),
        end_of_candidates="end-of-candidates" in merged,
    )


def _require_current(section: Section, name: str, current: str) -> None:
    for attribute in section.all(name):
        if read_ice_credential(attribute) != current:
            refuse(
                f"a={name} differs from the offer's: ICE restart is not supported; "
                "publish anew",
                line=attribute.line,
                status=422,
            )


def _is_tagged(section: Section, offer: Offer) -> bool:
    """Whether it speaks of the transport in use: of other sections' nothing is left."""
    attribute = section.first("mid")
    if attribute is None:
        return True
    if attribute.value not in offer.mids:
        refuse(
            f"the offer has no such a=mid; allowed are {', '.join(offer.mids)}",
            line=attribute.line,
        )
    return attribute.value == offer.tagged_mid


def _merge(sections: list[Section]) -> Section:
    attributes = [each for section in sections for each in section.attributes]
    return Section(line=1, attributes=attributes)


def _credential(sections: list[Section], name: str) -> str | None:
    attribute = _merge(sections).first(name)
    return attribute.value if attribute else None
