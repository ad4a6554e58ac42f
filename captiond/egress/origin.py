"""
Whose web page a request comes from.

No I/O. There is no authentication yet, and a browser lets any page send requests to
this machine: with its ``Origin`` header it says which page that was, and what steers a
stream is refused to others' pages. Programs that aren't browsers send no such header.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence

from captiond.config import is_loopback
from captiond.errors import ControlError


def check_origin(
    origins: Sequence[str], hosts: Sequence[str], *, listens_on: str
) -> None:
    """
    Check that a request comes from no page, or from one of the daemon's own host.

    The port doesn't matter: the daemon has three. Where it listens on loopback only
    loopback names are its own, because a page can have its own name resolved to
    127.0.0.1 (DNS rebinding) and then sends that name as ``Origin`` and ``Host``.

    Args:
        origins: Values of the request's ``Origin`` headers.
        hosts: Values of its ``Host`` headers.
        listens_on: Address that the server listens on.

    Raises:
        ControlError: If the page is another host's; its status is 403.

    """
    if not origins:
        return
    own = _hostname("//" + hosts[0]) if len(hosts) == 1 else None
    if len(origins) == 1 and own is not None:
        page = _hostname(origins[0])
        if is_loopback(own) and page is not None and is_loopback(page):
            return
        if page == own and not is_loopback(listens_on):
            return
    raise ControlError(
        "foreign_origin",
        f"a page of {origins[0][:80]!r} may not steer a stream: only pages of the "
        "daemon's own host may, and programs, which send no Origin",
        status=403,
    )


def _hostname(url: str) -> str | None:
    try:
        return urllib.parse.urlsplit(url).hostname
    except ValueError:
        return None
