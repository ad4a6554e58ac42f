"""Tests of whose pages may steer a stream."""

from __future__ import annotations

import pytest

from captiond.egress.origin import check_origin
from captiond.errors import ControlError

LOOPBACK, PUBLIC = "127.0.0.1", "0.0.0.0"


@pytest.mark.parametrize(
    ("origins", "hosts", "listens_on"),
    [
        ([], ["127.0.0.1:8081"], LOOPBACK),
        ([], [], LOOPBACK),
        (["http://127.0.0.1:8080"], ["127.0.0.1:8081"], LOOPBACK),
        (["http://localhost:8080"], ["127.0.0.1:8081"], LOOPBACK),
        (["http://[::1]"], ["[::1]:8081"], "::1"),
        (["https://Captions.example"], ["captions.example:8081"], PUBLIC),
        (["http://127.0.0.1"], ["localhost:8081"], PUBLIC),
    ],
)
def test_own_pages_and_programs_may(
    origins: list[str], hosts: list[str], listens_on: str
) -> None:
    """Programs send no Origin; pages of the same host may have another port."""
    check_origin(origins, hosts, listens_on=listens_on)


@pytest.mark.parametrize(
    ("origins", "hosts", "listens_on"),
    [
        (["https://evil.example"], ["127.0.0.1:8081"], LOOPBACK),
        (["https://evil.example"], ["captions.example"], PUBLIC),
        # DNS rebinding: the page's own name was resolved to 127.0.0.1.
        (["http://evil.example:8081"], ["evil.example:8081"], LOOPBACK),
        (["http://127.0.0.1.evil.example"], ["127.0.0.1:8081"], LOOPBACK),
        (["http://127.0.0.1@evil.example"], ["127.0.0.1:8081"], LOOPBACK),
        (["null"], ["127.0.0.1:8081"], LOOPBACK),
        (["null"], ["captions.example"], PUBLIC),
        ([""], [""], PUBLIC),
        (["http://[::1"], ["[::1"], PUBLIC),
        (["http://127.0.0.1"], [], LOOPBACK),
        (["http://127.0.0.1"], ["127.0.0.1", "evil.example"], LOOPBACK),
        (["http://127.0.0.1", "https://evil.example"], ["127.0.0.1"], LOOPBACK),
        (["file:///tmp/page.html"], ["127.0.0.1:8081"], LOOPBACK),
    ],
)
def test_other_pages_may_not(
    origins: list[str], hosts: list[str], listens_on: str
) -> None:
    """What isn't surely a page of the daemon's own host is refused."""
    with pytest.raises(ControlError, match="may not steer") as caught:
        check_origin(origins, hosts, listens_on=listens_on)

    assert (caught.value.status, caught.value.code) == (403, "foreign_origin")
