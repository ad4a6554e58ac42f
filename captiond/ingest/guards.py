"""
Guards around aioice and aiortc: what anyone on the network may send to a media port.

The one module that replaces parts of the two libraries. Each guard says what goes wrong
without it; :func:`install` refuses releases that don't have what is replaced.

Rule: what is dropped is counted, and nothing that arrives makes a traceback.
"""

from __future__ import annotations

import collections
import ipaddress
from collections.abc import Sequence
from struct import unpack_from
from typing import Any, ClassVar

import aioice
import aiortc
from aioice import ice, stun
from aioice.candidate import candidate_priority
from aiortc import rtcicetransport, rtcsctptransport, rtp

from captiond.ingest.codec import DYNAMIC_PAYLOAD_TYPES
from captiond.metrics import Metrics

RECEIVE_QUEUE = 1024
"""Datagrams that may wait for DTLS and SRTP; more are dropped."""

MAX_SOURCES = 64
"""Validated addresses remembered per connection; the oldest is forgotten."""

_HIGHEST_STUN_BYTE = 3  # RFC 7983 §7
_PARAMETER_HEADER_BYTES = 4

_NEEDED: tuple[tuple[object, tuple[str, ...]], ...] = (
    (aioice, ("Connection",)),
    (ice, ("Connection", "StunProtocol", "get_host_addresses")),
    (
        ice.Connection,
        (
            "_valid_username",
            "check_state",
            "data_received",
            "get_component_candidates",
            "local_password",
            "protocol_lost",
            "request_received",
        ),
    ),
    (ice.CandidatePair, ("State", "remote_addr")),
    (ice.StunProtocol, ("datagram_received",)),
    (stun.Message, ("check_message_integrity",)),
    (rtcicetransport, ("Connection",)),
    (rtcsctptransport, ("decode_params", "padl")),
    (rtp, ("DYNAMIC_PAYLOAD_TYPES",)),
)

_get_host_addresses = ice.get_host_addresses


class GuardedConnection(ice.Connection):
    """An ICE connection that takes media from validated addresses only."""

    metrics: ClassVar[Metrics]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A stranger's plaintext alert or ClientHello ends a DTLS handshake, and no
        # spoofing is needed for it: aioice takes them from any address. So only
        # addresses count that passed an authenticated ICE check. The peer's own check
        # is enough: it precedes the peer's ClientHello and comes again from a new
        # address after NAT rebinding.
        self._validated: collections.OrderedDict[tuple[str, int], None] = (
            collections.OrderedDict()
        )

    def discard(self, reason: str) -> None:
        """Count a datagram that is not used."""
        self.metrics.packets_discarded.labels(reason).inc()

    def is_validated(self, source: tuple[str, int]) -> bool:
        """Whether an authenticated check came from there, or was answered there."""
        return source in self._validated

    def data_received(self, data: bytes, component: int) -> None:
        """Queue a datagram for DTLS and SRTP, within a bound that aioice lacks."""
        if data[0] <= _HIGHEST_STUN_BYTE:
            # aioice hands on what it can't parse as STUN.
            self.discard("malformed_stun")
        elif self._queue.qsize() >= RECEIVE_QUEUE:
            self.discard("receive_queue_full")
        else:
            super().data_received(data, component)

    def request_received(
        self,
        message: stun.Message,
        addr: tuple[str, int],
        protocol: ice.StunProtocol,
    ) -> None:
        """Answer a check, and remember where it came from if it is authentic."""
        # Some FFmpeg builds leave out PRIORITY, on which aioice raises KeyError.
        message.attributes.setdefault("PRIORITY", candidate_priority(1, "prflx"))
        super().request_received(message, addr, protocol)
        if self._is_authentic(message):
            self._validate(addr)

    def check_state(
        self, pair: ice.CandidatePair, state: ice.CandidatePair.State
    ) -> None:
        """Remember an address that answered our check: ICE lite never sends one."""
        super().check_state(pair, state)
        if state is ice.CandidatePair.State.SUCCEEDED:
            self._validate(pair.remote_addr)

    def _is_authentic(self, message: stun.Message) -> bool:
        return (
            message.message_method == stun.Method.BINDING
            and "USERNAME" in message.attributes
            and self._valid_username(message.attributes["USERNAME"])
            and message.check_message_integrity(self.local_password.encode())
        )

    def _validate(self, source: tuple[str, int]) -> None:
        self._validated[source] = None
        self._validated.move_to_end(source)
        if len(self._validated) > MAX_SOURCES:
            self._validated.popitem(last=False)


class GuardedStunProtocol(ice.StunProtocol):
    """A socket's datagrams, sorted before aioice sees them."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Drop what is empty, malformed or a stranger's."""
        connection = self.receiver
        if not isinstance(connection, GuardedConnection) or isinstance(data, str):
            super().datagram_received(data, addr)
        elif not data:
            # aiortc looks at data[0]: one empty datagram, from anyone, ended a session.
            connection.discard("empty_datagram")
        elif data[0] <= _HIGHEST_STUN_BYTE:
            try:
                super().datagram_received(data, addr)
            except Exception:  # noqa: BLE001
                # struct.error, UnicodeDecodeError and others, before anything is
                # authenticated; asyncio would print a traceback for each.
                connection.discard("malformed_stun")
        elif connection.is_validated((addr[0], addr[1])):
            connection.data_received(data, self.local_candidate.component)
        else:
            connection.discard("unvalidated_source")


def install(metrics: Metrics) -> None:
    """
    Put the guards in place for all connections made from now on.

    Args:
        metrics: Where drops are counted; a later call replaces it.

    Raises:
        RuntimeError: If a library isn't the release that the guards were made for.

    """
    _require_known_libraries()
    GuardedConnection.metrics = metrics
    for module, name, replacement in (
        (aioice, "Connection", GuardedConnection),
        (ice, "Connection", GuardedConnection),
        (rtcicetransport, "Connection", GuardedConnection),
        (ice, "StunProtocol", GuardedStunProtocol),
        (rtcsctptransport, "decode_params", _decode_params),
        # aiortc answers with a number of its own where the offer's is below 96,
        # though Chromium offers codecs from 35 on; then nothing matches.
        (rtp, "DYNAMIC_PAYLOAD_TYPES", DYNAMIC_PAYLOAD_TYPES),
    ):
        setattr(module, name, replacement)


def use_addresses(addresses: Sequence[str]) -> None:
    """
    Receive media on these local addresses, on loopback too, which aioice leaves out.

    Args:
        addresses: IP addresses; none means every address of the machine.

    Raises:
        ValueError: If one isn't an IP address that a publisher can send to.

    """
    chosen = [ipaddress.ip_address(address) for address in addresses]
    for each in chosen:
        if each.is_unspecified or each.is_multicast:
            raise ValueError(f"{each} is not an address that media can be sent to")

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        wanted = {4: use_ipv4, 6: use_ipv6}
        return [str(each) for each in chosen if wanted[each.version]]

    replacement = get_host_addresses if chosen else _get_host_addresses
    ice.get_host_addresses = replacement


def _require_known_libraries() -> None:
    missing = [
        f"{getattr(owner, '__name__', owner)}.{name}"
        for owner, names in _NEEDED
        for name in names
        if not hasattr(owner, name)
    ]
    if missing:
        raise RuntimeError(
            "captiond is made for aiortc 1.16 and aioice 0.13; found aiortc "
            f"{aiortc.__version__} and aioice {aioice.__version__}, which lack "
            f"{', '.join(missing)}"
        )


def _decode_params(body: bytes) -> list[tuple[int, bytes]]:
    """
    Decode the parameters of an SCTP chunk (RFC 9260 §3.2.1).

    aiortc's own loops for ever on a length of zero. Offers with data channels are
    refused; this is the second lock on that door.
    """
    parameters = []
    position = 0
    while position <= len(body) - _PARAMETER_HEADER_BYTES:
        kind, length = unpack_from("!HH", body, position)
        if length < _PARAMETER_HEADER_BYTES:
            raise ValueError("SCTP parameter is shorter than its own header")
        value = body[position + _PARAMETER_HEADER_BYTES : position + length]
        parameters.append((kind, value))
        position += length + rtcsctptransport.padl(length)
    return parameters
