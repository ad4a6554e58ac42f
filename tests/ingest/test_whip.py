"""Tests of WHIP (RFC 9725), with real publishers where media matters."""

from __future__ import annotations

import contextlib
import itertools
import socket
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from captiond.cli.whip_client import WhipPublisher
from captiond.events import Caption, Event, Gap, Status
from tests.fakes import ScriptedEngine
from tests.harness import Harness, harness, media_port, quick_config, until

OFFERS = Path(__file__).parent / "offers"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@pytest.fixture
async def daemon() -> AsyncIterator[Harness]:
    """Serve WHIP with a scripted engine."""
    async with harness() as found:
        yield found


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Return a WAV file of one second."""
    path = tmp_path / "second.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 125)
    return path


def an_offer() -> str:
    """Return a real sender's offer."""
    return next(iter(sorted(OFFERS.glob("*.txt")))).read_text()


def events(daemon: Harness, stream: str) -> list[Event]:
    """Return a stream's durable events."""
    log = daemon.hub.get(stream).log
    return [log.durable(number).event for number in range(1, log.seq + 1)]


def finals(daemon: Harness, stream: str) -> list[str]:
    """Return the words of a stream's finals."""
    return [
        word
        for event in events(daemon, stream)
        if isinstance(event, Caption)
        for word in event.text.split()
    ]


def states(daemon: Harness, stream: str) -> list[str]:
    """Return the states that a stream has gone through."""
    return [
        event.state.value
        for event in events(daemon, stream)
        if isinstance(event, Status)
    ]


async def publish(daemon: Harness, path: Path, stream: str = "demo") -> None:
    """Publish a file to its end."""
    publisher = WhipPublisher(path, f"{daemon.url}/whip/{stream}", tail=0.3)
    await publisher.start()
    await publisher.wait()
    await publisher.stop()


async def test_rfc9725_4_2_post_answers_201(daemon: Harness) -> None:
    """Section 4.2: 201, the answer, the session's URL, and an entity tag."""
    async with daemon.http.post(
        f"{daemon.url}/whip/demo", data=an_offer(), headers=SDP
    ) as response:
        body = await response.text()

    assert response.status == 201
    assert response.content_type == "application/sdp"
    assert body.startswith("v=0")
    assert response.headers["Location"].startswith("/whip/demo/")
    assert response.headers["ETag"].startswith('"')


async def test_rfc9725_4_2_delete_ends_the_session(daemon: Harness) -> None:
    """Section 4.2: DELETE answers 200, and 200 again: some senders are late."""
    async with daemon.http.post(
        f"{daemon.url}/whip/demo", data=an_offer(), headers=SDP
    ) as response:
        session = daemon.url + response.headers["Location"]
    async with daemon.http.delete(session) as first:
        pass
    await until(
        lambda: daemon.count(
            "captiond_publisher_sessions_total", reason="deleted_by_the_publisher"
        )
    )
    async with daemon.http.delete(session) as second:
        pass
    async with daemon.http.delete(f"{daemon.url}/whip/demo/unknown") as unknown:
        pass
    async with daemon.http.delete(session.replace("demo", "other")) as foreign:
        pass

    assert [each.status for each in (first, second, unknown, foreign)] == [
        200,
        200,
        404,
        404,
    ]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 428),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": '"*"'}, 204),
        ({"If-Match": "*"}, 204),
        ({"If-Match": "TAG"}, 204),
    ],
)
async def test_rfc9725_4_3_1_patch_is_conditional(
    daemon: Harness, headers: dict[str, str], status: int
) -> None:
    """Section 4.3.1: 428 without a tag, 412 with another one."""
    offer = an_offer()
    async with daemon.http.post(
        f"{daemon.url}/whip/demo", data=offer, headers=SDP
    ) as response:
        session = daemon.url + response.headers["Location"]
        tag = response.headers["ETag"]
    credentials = [
        line
        for line in offer.splitlines()
        if line.startswith(("a=ice-ufrag", "a=ice-pwd"))
    ][:2]
    fragment = "\r\n".join(
        [
            *credentials,
            "m=audio 9 UDP/TLS/RTP/SAVPF 0",
            "a=mid:0",
            "a=candidate:1 1 UDP 2113929471 127.0.0.1 40000 typ host",
            "a=candidate:2 1 TCP 2113929471 127.0.0.1 9 typ host tcptype active",
            "a=end-of-candidates",
            "",
        ]
    )
    condition = {
        key: tag if value == "TAG" else value for key, value in headers.items()
    }
    async with daemon.http.patch(
        session, data=fragment, headers=FRAGMENT | condition
    ) as patched:
        problem = await patched.text()

    assert patched.status == status, problem
    assert "ETag" not in patched.headers


async def test_rfc9725_4_3_patch_refusals(daemon: Harness) -> None:
    """Wrong type 415, nonsense 400, a restart 422, no session 404."""
    async with daemon.http.post(
        f"{daemon.url}/whip/demo", data=an_offer(), headers=SDP
    ) as response:
        session = daemon.url + response.headers["Location"]
    restart = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
    every = {"If-Match": "*"}
    got = []
    for url, body, headers in (
        (session, "x", {"Content-Type": "text/plain"} | every),
        (session, "nonsense", FRAGMENT | every),
        (session, restart, FRAGMENT | every),
        (f"{daemon.url}/whip/demo/none", restart, FRAGMENT | every),
    ):
        async with daemon.http.patch(url, data=body, headers=headers) as patched:
            got.append(patched.status)

    assert got == [415, 400, 422, 404]


async def test_rfc9725_4_1_options_get_and_other_methods(daemon: Harness) -> None:
    """CORS preflight without rights, GET with nothing, others 405 with Allow."""
    endpoint = f"{daemon.url}/whip/demo"
    async with daemon.http.options(endpoint) as options:
        pass
    async with daemon.http.get(endpoint) as get:
        pass
    async with daemon.http.put(endpoint, data="x") as put:
        problem = await put.json(content_type=None)

    assert options.status == 200
    assert options.headers["Accept-Post"] == "application/sdp"
    assert options.headers["Access-Control-Allow-Origin"] == "*"
    assert "If-Match" in options.headers["Access-Control-Allow-Headers"]
    assert "Location" in options.headers["Access-Control-Expose-Headers"]
    assert get.status == 204
    assert (put.status, problem["status"]) == (405, 405)
    assert "POST" in put.headers["Allow"]


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status", "detail"),
    [
        ("demo", "", "application/sdp", 400, "v=0"),
        ("demo", "hello", "application/sdp", 400, "v=0"),
        ("demo", "v=0", "text/plain", 415, "application/sdp"),
        ("demo", "v=0\n" * 20_000, "application/sdp", 413, "http.max_body_bytes"),
        ("demo", b"\xff\xfe", "application/sdp", 400, "UTF-8"),
        ("a%20b", "v=0", "application/sdp", 400, "1 to 64"),
        ("a%2Fb", "v=0", "application/sdp", 400, "1 to 64"),
        ("x" * 65, "v=0", "application/sdp", 400, "1 to 64"),
    ],
)
async def test_bad_posts_are_explained(
    daemon: Harness,
    path: str,
    body: str | bytes,
    content_type: str,
    status: int,
    detail: str,
) -> None:
    """Each refusal is a problem document that says what is allowed."""
    async with daemon.http.post(
        f"{daemon.url}/whip/{path}",
        data=body,
        headers={"Content-Type": content_type},
    ) as response:
        problem = await response.json(content_type="application/problem+json")

    assert response.status == status
    assert detail in problem["detail"]
    assert daemon.count("captiond_offers_refused_total", status=str(status)) == 1


async def test_publisher_is_captioned_to_its_last_word(
    daemon: Harness, speech: Path
) -> None:
    """Everything that was sent is heard, once, and the stream pauses, then ends."""
    await publish(daemon, speech)
    await until(lambda: "paused" in states(daemon, "demo"))
    words = [int(word) for word in finals(daemon, "demo")]
    await until(lambda: "ended" in states(daemon, "demo"))

    assert words == list(range(len(words)))
    assert 13 <= len(words) <= 16
    assert states(daemon, "demo") == ["live", "paused", "ended"]


async def test_stream_goes_on_after_its_end(daemon: Harness, speech: Path) -> None:
    """A later publisher continues the log, its cues and the media clock."""
    await publish(daemon, speech)
    await until(lambda: "ended" in states(daemon, "demo"))
    epoch = daemon.hub.get("demo").log.epoch
    await publish(daemon, speech)
    await until(lambda: states(daemon, "demo").count("ended") == 2)
    words = [int(word) for word in finals(daemon, "demo")]

    assert daemon.hub.get("demo").log.epoch == epoch
    assert words == sorted(set(words))
    assert len(words) > 25


async def test_second_publisher_takes_over(daemon: Harness, speech: Path) -> None:
    """A newer publisher replaces the older one once it is connected."""
    url = f"{daemon.url}/whip/demo"
    older = WhipPublisher(speech, url, loop=True)
    newer = WhipPublisher(speech, url, loop=True)
    try:
        await older.start()
        await until(lambda: finals(daemon, "demo"))
        await newer.start()
        await until(
            lambda: daemon.count(
                "captiond_publisher_sessions_total",
                reason="replaced_by_a_newer_publisher",
            )
        )
        before = len(finals(daemon, "demo"))
        await until(lambda: len(finals(daemon, "demo")) > before)
    finally:
        await older.stop()
        await newer.stop()
    times = [
        (event.start, event.end)
        for event in events(daemon, "demo")
        if isinstance(event, Caption) and event.final
    ]

    assert all(
        after[0] >= before[1] - 1e-6 for before, after in itertools.pairwise(times)
    )
    assert states(daemon, "demo")[:1] == ["live"]


async def test_publisher_that_never_connects_takes_nothing_over(
    daemon: Harness, speech: Path
) -> None:
    """An offer alone doesn't end a live publisher, and is forgotten in time."""
    publisher = WhipPublisher(speech, f"{daemon.url}/whip/demo", loop=True)
    await publisher.start()
    async with daemon.http.post(
        f"{daemon.url}/whip/demo", data=an_offer(), headers=SDP
    ) as response:
        pass
    await until(
        lambda: daemon.count(
            "captiond_publisher_sessions_total", reason="never_connected"
        )
    )
    peer = daemon.streams.get("demo")
    alive = peer is not None and peer.publisher is not None
    await publisher.stop()

    assert response.status == 201
    assert alive


async def test_strangers_datagrams_change_nothing(
    daemon: Harness, speech: Path
) -> None:
    """Random, empty and forged datagrams to the media port are dropped and counted."""
    publisher = WhipPublisher(speech, f"{daemon.url}/whip/demo", tail=0.3)
    await publisher.start()
    stream = daemon.streams.get("demo")
    assert stream is not None
    await until(lambda: stream.publisher is not None)
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        for payload in (
            b"",
            b"\x16\xfe\xfd" + bytes(64),
            b"\x15\xfe\xfd" + bytes(12),
            b"\x80\x6f" + bytes(40),
            bytes(20),
            b"\xff" * 1400,
        ):
            sock.sendto(payload, ("127.0.0.1", media_port(publisher)))
    await publisher.wait()
    await publisher.stop()
    await until(lambda: "ended" in states(daemon, "demo"))

    assert len(finals(daemon, "demo")) >= 13
    assert (
        daemon.count("captiond_packets_discarded_total", reason="unvalidated_source")
        >= 3
    )
    assert (
        daemon.count("captiond_packets_discarded_total", reason="empty_datagram") == 1
    )


async def test_worker_loss_is_invisible(speech: Path) -> None:
    """An engine that fails in the middle costs no word and no gap."""
    async with harness(engine=ScriptedEngine(fail_after=[4, 3])) as daemon:
        await publish(daemon, speech)
        await until(lambda: "ended" in states(daemon, "demo"))
        words = [int(word) for word in finals(daemon, "demo")]
        gaps = [each for each in events(daemon, "demo") if isinstance(each, Gap)]

    assert words == list(range(len(words)))
    assert len(words) >= 13
    assert gaps == []


async def test_full_house_and_drain_answer_503(speech: Path) -> None:
    """Without room, or while stopping, a publisher is told when to come back."""
    async with harness(quick_config(streams=1, linger=30)) as daemon:
        await publish(daemon, speech, "one")
        async with daemon.http.post(
            f"{daemon.url}/whip/two", data=an_offer(), headers=SDP
        ) as full:
            pass
        await daemon.streams.drain()
        async with daemon.http.post(
            f"{daemon.url}/whip/one", data=an_offer(), headers=SDP
        ) as draining:
            pass

        assert states(daemon, "one")[-1] == "ended"
    assert (full.status, draining.status) == (503, 503)
    assert int(full.headers["Retry-After"]) > 0
    assert int(draining.headers["Retry-After"]) > 0


async def test_peer_that_connects_and_sends_nothing_is_kept(daemon: Harness) -> None:
    """A muted sender holds its stream; the API shows that no audio came."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    sender = peer.addTransceiver(AudioStreamTrack(), direction="sendonly").sender
    await peer.setLocalDescription(await peer.createOffer())
    sender.replaceTrack(None)
    async with daemon.http.post(
        f"{daemon.url}/whip/demo", data=peer.localDescription.sdp, headers=SDP
    ) as response:
        answer = await response.text()
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: daemon.streams.get("demo") is not None)
    async with daemon.http.get(f"{daemon.url}/api/streams/demo") as shown:
        document = await shown.json()
    await peer.close()
    await until(lambda: "paused" in states(daemon, "demo"))

    assert document["state"] == "live"
    assert document["publisher"]["packets"] is None


async def test_api_lists_streams(daemon: Harness, speech: Path) -> None:
    """The API shows every stream, its figures, and 404 for others."""
    await publish(daemon, speech)
    async with daemon.http.get(f"{daemon.url}/api/streams") as listed:
        streams = (await listed.json())["streams"]
    async with daemon.http.get(f"{daemon.url}/api/streams/demo") as shown:
        document = await shown.json()
    async with daemon.http.get(f"{daemon.url}/api/streams/none") as missing:
        problem = await missing.json(content_type="application/problem+json")

    assert [each["name"] for each in streams] == ["demo"]
    assert document["captions"]["words"] > 0
    assert document["latency_seconds"]["final"]["count"] > 0
    assert (missing.status, problem["status"]) == (404, 404)
