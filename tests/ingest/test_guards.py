"""Tests of the guards: what strangers send must not touch a publisher's session."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import aioice
import pytest
from aioice import Candidate, ice, stun
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from aiortc.rtcsctptransport import encode_params
from OpenSSL import SSL

from captiond.ingest import guards
from captiond.ingest.answer import repair_answer
from captiond.ingest.guards import GuardedConnection, GuardedStunProtocol
from captiond.ingest.offer import parse_offer
from captiond.metrics import Metrics

ALERT = bytes.fromhex("15fefd 0000 000000000000 0002 0228")
"""A plaintext fatal alert, handshake_failure (RFC 6347 §4.1)."""

RTP = bytes.fromhex("8060 0001 00000001 00000001") + bytes(20)
PEER = ("127.0.0.1", 40001)
STRANGER = ("127.0.0.1", 40002)


@pytest.fixture(autouse=True)
def metrics() -> Iterator[Metrics]:
    """Guard the libraries and gather on loopback."""
    metrics = Metrics()
    guards.install(metrics)
    guards.use_addresses(["127.0.0.1"])
    yield metrics
    guards.use_addresses([])


@pytest.fixture
async def stranger() -> AsyncIterator[socket.socket]:
    """A socket that belongs to nobody in the session."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        yield sock


@pytest.fixture
async def connection() -> AsyncIterator[GuardedConnection]:
    """An ICE connection that has gathered and waits for its peer."""
    connection = GuardedConnection(ice_controlling=False)
    await connection.gather_candidates()
    connection.remote_username = "peer"
    connection.remote_password = "p" * 22
    yield connection
    await connection.close()


def discarded(metrics: Metrics, reason: str) -> float:
    """Return how many datagrams were dropped for a reason."""
    name = "captiond_packets_discarded_total"
    return metrics.registry.get_sample_value(name, {"reason": reason}) or 0.0


def protocol_of(connection: ice.Connection) -> ice.StunProtocol:
    """Return the only socket's protocol."""
    (protocol,) = connection._protocols
    return protocol


def check(connection: ice.Connection, *, password: str | None = None) -> bytes:
    """Return a Binding request as the connection's peer sends it."""
    request = stun.Message(
        message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST
    )
    request.attributes["USERNAME"] = f"{connection.local_username}:peer"
    request.attributes["PRIORITY"] = 1
    request.attributes["ICE-CONTROLLING"] = 1
    request.add_message_integrity((password or connection.local_password).encode())
    return bytes(request)


def client_hello() -> bytes:
    """Return the first flight of a DTLS client."""
    certificate = RTCCertificate.generateCertificate()
    client = SSL.Connection(certificate._create_ssl_context(SRTP_PROFILES))
    client.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        client.do_handshake()
    return client.bio_read(1500)


async def until(condition: Callable[[], bool], *, timeout: float = 5.0) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Session:
    """A publisher and a receiver on loopback."""

    def __init__(self) -> None:
        configuration = RTCConfiguration(iceServers=[])
        self.publisher = RTCPeerConnection(configuration)
        self.receiver = RTCPeerConnection(configuration)
        self.publisher.addTrack(AudioStreamTrack())
        self.track: MediaStreamTrack | None = None
        self.answer = ""

    async def prepare(self, edit: Callable[[str], str] = str) -> None:
        """Exchange descriptions up to the answer, which the publisher hasn't yet."""
        await self.publisher.setLocalDescription(await self.publisher.createOffer())
        offer = parse_offer(edit(self.publisher.localDescription.sdp))
        await self.receiver.setRemoteDescription(
            RTCSessionDescription(offer.sdp, "offer")
        )
        (transceiver,) = self.receiver.getTransceivers()
        self.track = transceiver.receiver.track
        await self.receiver.setLocalDescription(await self.receiver.createAnswer())
        self.answer = repair_answer(self.receiver.localDescription.sdp, offer)

    @property
    def port(self) -> int:
        """UDP port of the receiver."""
        return int(self.answer.partition("m=audio ")[2].split()[0])

    async def connect(self) -> None:
        """Give the publisher its answer; return when both stand."""
        await self.publisher.setRemoteDescription(
            RTCSessionDescription(self.answer, "answer")
        )
        await until(self.is_connected)

    def is_connected(self) -> bool:
        """Whether ICE and DTLS stand at both ends."""
        states = self.publisher.connectionState, self.receiver.connectionState
        assert "failed" not in states
        assert "closed" not in states
        return states == ("connected", "connected")

    async def hear(self, frames: int = 5) -> None:
        """Return when audio has arrived."""
        assert self.track is not None
        async with asyncio.timeout(5):
            for _ in range(frames):
                await self.track.recv()


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    """A session that ends with the test."""
    session = Session()
    yield session
    await session.publisher.close()
    await session.receiver.close()


async def test_publisher_loses_no_datagram(session: Session, metrics: Metrics) -> None:
    """The guards don't cost the real peer a retransmission, which takes a second."""
    await session.prepare()
    await session.connect()
    await session.hear()

    assert discarded(metrics, "unvalidated_source") == 0
    assert discarded(metrics, "malformed_stun") == 0


async def test_publisher_without_candidates_connects(session: Session) -> None:
    """The sender's own checks suffice; newer OBS offers no candidate at all."""
    await session.prepare(
        lambda sdp: re.sub(r"a=candidate:.*\r\n", "", sdp) + "a=end-of-candidates\r\n"
    )
    await session.connect()
    await session.hear()

    assert "a=end-of-candidates" in session.answer


async def test_publisher_may_be_the_dtls_server(session: Session) -> None:
    """With setup:passive, as FFmpeg offers, the receiver is the DTLS client."""
    await session.prepare(lambda sdp: sdp.replace("setup:actpass", "setup:passive"))
    await session.connect()
    await session.hear()

    assert "a=setup:active\r\n" in session.answer


async def test_payload_type_below_96_is_received(session: Session) -> None:
    """Media arrives under the offer's payload type, whichever it is."""
    await session.prepare(
        lambda sdp: sdp.replace("SAVPF 96", "SAVPF 45 96").replace(
            "a=rtpmap:96 opus", "a=rtpmap:45 opus"
        )
    )
    await session.connect()
    await session.hear()

    assert "a=rtpmap:45 opus/48000/2\r\n" in session.answer


@pytest.mark.parametrize("attack", ["hello", "alert", "empty", "garbage"])
async def test_stranger_cannot_stop_a_connect(
    session: Session, stranger: socket.socket, metrics: Metrics, attack: str
) -> None:
    """Datagrams of a stranger, before and while the peer connects, change nothing."""
    data = {
        "hello": client_hello(),
        "alert": ALERT,
        "empty": b"",
        "garbage": random.Random(1).randbytes(200),
    }[attack]
    await session.prepare()
    target = ("127.0.0.1", session.port)

    async def attacker() -> None:
        while True:
            stranger.sendto(data, target)
            await asyncio.sleep(0.001)

    stranger.sendto(data, target)
    task = asyncio.create_task(attacker())
    try:
        await session.connect()
    finally:
        task.cancel()
    await session.hear()

    reason = "empty_datagram" if attack == "empty" else "unvalidated_source"
    assert discarded(metrics, reason) > 2


async def test_stranger_cannot_end_a_session(
    session: Session, stranger: socket.socket, metrics: Metrics
) -> None:
    """A session that stands goes on whatever a stranger sends."""
    await session.prepare()
    await session.connect()
    for data in (b"", ALERT, client_hello(), RTP, b"\0", bytes(20), b"\xff" * 1200):
        stranger.sendto(data, ("127.0.0.1", session.port))
    await until(lambda: discarded(metrics, "unvalidated_source") == 4)
    await session.hear()

    assert session.is_connected()
    assert discarded(metrics, "empty_datagram") == 1
    assert discarded(metrics, "malformed_stun") == 2


async def test_peer_may_send_an_empty_datagram(
    connection: GuardedConnection, metrics: Metrics
) -> None:
    """A validated address makes no difference to what is empty."""
    protocol = protocol_of(connection)
    protocol.datagram_received(check(connection), PEER)
    protocol.datagram_received(b"", PEER)

    assert discarded(metrics, "empty_datagram") == 1
    assert connection._queue.empty()


async def test_peer_is_taken_from_its_own_address_only(
    connection: GuardedConnection, metrics: Metrics
) -> None:
    """An authenticated check validates the address it came from, at once."""
    protocol = protocol_of(connection)
    protocol.datagram_received(RTP, PEER)
    protocol.datagram_received(check(connection), PEER)
    protocol.datagram_received(client_hello(), PEER)
    protocol.datagram_received(RTP, STRANGER)

    assert connection._queue.qsize() == 1
    assert discarded(metrics, "unvalidated_source") == 2


async def test_peer_may_change_its_address(connection: GuardedConnection) -> None:
    """After NAT rebinding the next check validates the new address (RFC 7675 §5.1)."""
    protocol = protocol_of(connection)
    protocol.datagram_received(check(connection), PEER)
    protocol.datagram_received(check(connection), ("127.0.0.1", 40003))
    protocol.datagram_received(RTP, ("127.0.0.1", 40003))

    assert connection._queue.qsize() == 1


@pytest.mark.parametrize("flaw", ["password", "username", "unsigned"])
async def test_check_must_be_authentic(
    connection: GuardedConnection, flaw: str
) -> None:
    """A check that isn't the peer's validates nothing."""
    request = check(connection, password="x" * 22 if flaw == "password" else None)
    if flaw == "username":
        connection.remote_username = "other"
    if flaw == "unsigned":
        request = bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
    protocol_of(connection).datagram_received(request, PEER)

    assert not connection.is_validated(PEER)


async def test_answered_check_validates(connection: GuardedConnection) -> None:
    """An address that answered our own check is valid: ICE lite sends none."""
    candidate = Candidate.from_sdp(f"1 1 udp 1 {PEER[0]} {PEER[1]} typ host")
    pair = ice.CandidatePair(protocol_of(connection), candidate)
    connection.check_state(pair, ice.CandidatePair.State.IN_PROGRESS)

    assert not connection.is_validated(PEER)
    connection.check_state(pair, ice.CandidatePair.State.SUCCEEDED)
    assert connection.is_validated(PEER)


async def test_validated_addresses_are_bounded(connection: GuardedConnection) -> None:
    """The oldest address is forgotten, and one that is in use isn't the oldest."""
    request = check(connection)
    protocol = protocol_of(connection)
    ports = range(40100, 40100 + guards.MAX_SOURCES)
    for port in ports:
        protocol.datagram_received(request, ("127.0.0.1", port))
    protocol.datagram_received(request, ("127.0.0.1", ports[0]))
    protocol.datagram_received(request, PEER)

    assert connection.is_validated(("127.0.0.1", ports[0]))
    assert connection.is_validated(PEER)
    assert not connection.is_validated(("127.0.0.1", ports[1]))


async def test_receive_queue_is_bounded(
    connection: GuardedConnection, metrics: Metrics
) -> None:
    """What nobody takes is dropped beyond the bound, and closing still works."""
    protocol = protocol_of(connection)
    protocol.datagram_received(check(connection), PEER)
    for _ in range(guards.RECEIVE_QUEUE + 7):
        protocol.datagram_received(RTP, PEER)

    assert connection._queue.qsize() == guards.RECEIVE_QUEUE
    assert discarded(metrics, "receive_queue_full") == 7


def stun_bytes(attributes: bytes, *, kind: bytes = b"\x00\x01") -> bytes:
    """Return a STUN message with these attributes."""
    length = len(attributes).to_bytes(2, "big")
    return kind + length + bytes.fromhex("2112a442") + bytes(12) + attributes


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00", id="short"),
        pytest.param(stun_bytes(b"")[:-1], id="truncated"),
        pytest.param(stun_bytes(bytes.fromhex("00240002 00010000")), id="struct.error"),
        pytest.param(stun_bytes(bytes.fromhex("00060001 ff000000")), id="not utf-8"),
        pytest.param(stun_bytes(b"", kind=b"\x02\x22"), id="unknown method"),
    ],
)
async def test_malformed_stun_is_dropped(
    connection: GuardedConnection, metrics: Metrics, data: bytes
) -> None:
    """STUN that can't be parsed is counted, whoever sent it."""
    protocol = protocol_of(connection)
    protocol.datagram_received(check(connection), PEER)
    protocol.datagram_received(data, PEER)
    protocol.datagram_received(data, STRANGER)

    assert discarded(metrics, "malformed_stun") == 2
    assert connection._queue.empty()


async def test_random_datagrams_are_dropped(connection: GuardedConnection) -> None:
    """Nothing a stranger sends raises or reaches DTLS: 20,000 noises and mutants."""
    choose = random.Random(1)
    protocol = protocol_of(connection)
    seeds = [check(connection, password="x" * 22), client_hello(), RTP, ALERT]
    for _ in range(20_000):
        data = bytearray(choose.choice(seeds))
        for _ in range(choose.randrange(8)):
            data[choose.randrange(len(data))] = choose.randrange(256)
        protocol.datagram_received(bytes(data[: choose.randint(1, 600)]), STRANGER)
        noise = choose.randbytes(choose.randrange(64))
        protocol.datagram_received(bytes([choose.randrange(4)]) + noise, STRANGER)

    assert connection._queue.empty()
    assert not connection.is_validated(STRANGER)


class Forgetful(GuardedConnection):
    """A peer whose checks have no PRIORITY, as some FFmpeg builds send them."""

    def build_request(self, pair: ice.CandidatePair, nominate: bool) -> stun.Message:
        request = super().build_request(pair, nominate)
        del request.attributes["PRIORITY"]
        return request


async def test_check_without_priority_is_taken(metrics: Metrics) -> None:
    """A check without PRIORITY gets the usual one of a peer-reflexive candidate."""
    ours = GuardedConnection(ice_controlling=False)
    theirs = Forgetful(ice_controlling=True)
    for here, there in ((ours, theirs), (theirs, ours)):
        await here.gather_candidates()
        here.remote_username = there.local_username
        here.remote_password = there.local_password
    for candidate in ours.local_candidates:
        await theirs.add_remote_candidate(candidate)
    try:
        async with asyncio.timeout(5):
            await asyncio.gather(ours.connect(), theirs.connect())
        await theirs.send(RTP)

        assert await ours.recv() == RTP
        assert discarded(metrics, "malformed_stun") == 0
    finally:
        await ours.close()
        await theirs.close()


async def test_addresses_are_exactly_the_given() -> None:
    """Host candidates are gathered on the given addresses, loopback included."""
    connection = GuardedConnection(ice_controlling=False)
    guards.use_addresses(["127.0.0.2", "127.0.0.1"])
    await connection.gather_candidates()

    assert [each.host for each in connection.local_candidates] == [
        "127.0.0.2",
        "127.0.0.1",
    ]
    await connection.close()


def test_addresses_follow_the_family() -> None:
    """IPv6 addresses are left out where IPv6 isn't wanted."""
    guards.use_addresses(["127.0.0.1", "::1"])

    assert ice.get_host_addresses(use_ipv4=True, use_ipv6=False) == ["127.0.0.1"]
    assert ice.get_host_addresses(use_ipv4=False, use_ipv6=True) == ["::1"]


def test_no_addresses_means_those_of_the_machine() -> None:
    """Without addresses aioice chooses, which leaves loopback out."""
    guards.use_addresses([])

    assert "127.0.0.1" not in ice.get_host_addresses(use_ipv4=True, use_ipv6=True)


@pytest.mark.parametrize("address", ["localhost", "0.0.0.0", "::", "224.0.0.1"])
def test_address_must_be_one_to_send_to(address: str) -> None:
    """A name or a wildcard can't be told to a publisher."""
    with pytest.raises(ValueError, match=address):
        guards.use_addresses([address])


async def test_install_again_replaces_the_metrics(metrics: Metrics) -> None:
    """Later drops, of older connections too, are counted by the newer metrics."""
    connection = aioice.Connection(ice_controlling=False)
    await connection.gather_candidates()
    newer = Metrics()
    guards.install(newer)
    protocol_of(connection).datagram_received(RTP, STRANGER)

    assert isinstance(connection, GuardedConnection)
    assert isinstance(protocol_of(connection), GuardedStunProtocol)
    assert discarded(metrics, "unvalidated_source") == 0
    assert discarded(newer, "unvalidated_source") == 1
    await connection.close()


async def test_connection_made_before_install_is_left_alone() -> None:
    """A connection of aioice's own class works as it did."""
    plain = GuardedConnection.__base__
    assert plain is not None
    connection = plain(ice_controlling=False)
    await connection.gather_candidates()
    protocol_of(connection).datagram_received(RTP, STRANGER)

    assert connection._queue.qsize() == 1
    await connection.close()


def test_install_refuses_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that lacks what is replaced is named, with the releases expected."""
    monkeypatch.delattr(stun.Message, "check_message_integrity")

    with pytest.raises(RuntimeError, match=r"aiortc 1\.16 and aioice 0\.13; .*Message"):
        guards.install(Metrics())


def test_sctp_parameters_end() -> None:
    """A parameter of length zero is an error, not an endless loop."""
    parameters = [(1, b"abc"), (2, b""), (3, b"defg")]

    assert guards._decode_params(encode_params(parameters)) == parameters
    with pytest.raises(ValueError, match="shorter than its own header"):
        guards._decode_params(bytes(4))
