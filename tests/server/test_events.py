"""Shows the event streams of a key server: whom they tell what, who may listen, and when they end."""

import asyncio
import contextlib
from pathlib import Path

import psutil
import pytest

from sealcast.core.errors import UsageError
from sealcast.device.newkeys import KeyKind
from sealcast.keyserver.calls import Handler
from sealcast.messages import operations
from sealcast.messages.subscribing import Event
from sealcast.server.eventhttp import BODY_BYTES_MAX, HEAD_BYTES_MAX
from sealcast.server.eventhub import STREAMS_PER_PARTY
from sealcast.server.eventports import event_urls, open_listening
from sealcast.server.pipeline import HttpAnswer, Pipeline
from sealcast.server.settings import EventSettings
from sealcast.server.state import renew_server_certificate
from sealcast.transport.system import SystemClock
from server.listening import RANDOM, WAIT_S, Place, forged, listening, renamed
from server.newcomers import enrolled
from server.running import Caller


def test_a_key_change_reaches_the_devices_of_its_channel(tmp_path: Path) -> None:
    """Devices hear of the next key with the fetch window as it stands; others and senders hear nothing."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            other = await place.server.register("radio", "device", channels=["other"])
            own = await place.listen(place.device, "news")
            foreign = await place.listen(other, "other")
            sender = await place.listen(place.sender, "news")
            key_id = await place.publish(1)
            event = await own.event()
            assert event is not None
            assert (event.kind, event.channel, event.key_id) == ("key-change", place.number, key_id)
            # A lifetime of 600 s: the window is from 25 % of it left to a fifth of that left.
            assert 440_000 < event.opens_in_ms <= 450_000
            assert 560_000 < event.closes_in_ms <= 570_000
            for stream in (foreign, sender):
                with pytest.raises(TimeoutError):
                    await stream.event(within_s=0.3)

    asyncio.run(story())


def test_grants_tell_where_events_are_pushed(tmp_path: Path) -> None:
    """A grant names the addresses, and the same key published again is no news."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            grant = await place.device.must(operations.KEYS, channel="news")
            assert grant.events == [f"https://127.0.0.1:{place.port}"]

    asyncio.run(story())


def test_who_may_not_listen(tmp_path: Path) -> None:
    """Each request that is not fresh, signed and about own channels gets its no, over one connection."""

    async def refused(place: Place, caller: Caller, *channels: str) -> str:
        await caller.fetch_nonce()
        stream = await place.connect()
        return await stream.ask(caller.token(operations.EVENTS, channels=[*channels]).encode())

    async def story() -> None:
        async with listening(tmp_path) as place:
            device, sender = place.device, place.sender
            assert await refused(place, device, "other") == "not-subscribed"
            assert await refused(place, device, "news", "other") == "not-subscribed"
            assert await refused(place, device, "none") == "unknown-channel"
            assert await refused(place, device) == "bad-request"
            assert await refused(place, sender, "other") == "not-your-channel"
            assert await refused(place, place.server.operator, "news") == "wrong-role"
            assert await refused(place, renamed(device, "nobody"), "news") == "not-authenticated"
            assert await refused(place, renamed(device, "studio"), "news") == "not-authenticated"
            await device.fetch_nonce()
            stream = await place.connect()
            assert await stream.ask(forged(device.token(operations.EVENTS, channels=["news"]))) == (
                "not-authenticated"
            )
            other_operation = device.token(operations.KEYS, channel="news").encode()
            assert await stream.ask(other_operation) == "bad-request"

    asyncio.run(story())


def test_a_nonce_is_given_and_a_request_counts_once(tmp_path: Path) -> None:
    """Without a nonce the no brings one for the same connection; what opened one stream opens no other."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            stream = await place.connect()
            stale = place.device.token(operations.EVENTS, channels=["news"], nonce="")
            assert await stream.ask(stale.encode()) == "use-nonce"
            token = place.device.token(operations.EVENTS, channels=["news"], nonce=stream.nonce).encode()
            assert await stream.ask(token) == ""
            assert await (await place.connect()).ask(token) == "jti-reused"
            await place.publish(1)
            assert await stream.event() is not None

    asyncio.run(story())


GARBAGE = {
    b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n": "/v1/events takes POST",
    b"POST /v1/keys HTTP/1.1\r\nContent-Length: 1\r\n\r\nx": "there is nothing but /v1/events here",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\n\r\n": "say the length of the body in Content-Length",
    b"POST /v1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": (
        "say the length of the body in Content-Length"
    ),
    b"POST /v1/events HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx": (
        "a header field stands there twice"
    ),
    b"POST /v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n": "not a Content-Length",
    b"POST /v1/events HTTP/1.1\r\nno colon\r\n\r\n": "not a header field of HTTP/1.1",
    b"\x16\x03\x01 not HTTP at all\r\n\r\n": "not a request of HTTP/1.1",
    b"POST /v1/events HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1): (
        f"a request here has at most {BODY_BYTES_MAX} bytes"
    ),
    b"POST /v1/events HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX: "the headers are too long",
}


def test_what_is_no_request_is_refused(tmp_path: Path) -> None:
    """Other methods, paths, lengths and garbage are refused with a reason, and the connection ends."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            for data, reason in GARBAGE.items():
                stream = await place.connect()
                stream.writer.write(data)
                assert await stream.answered() == reason
                assert await asyncio.wait_for(stream.reader.read(), WAIT_S) == b""
            stream = await place.listen(place.device, "news")
            stream.writer.write(b"more\r\n")
            assert await stream.event() is None

    asyncio.run(story())


def test_streams_end_with_the_right_to_them(tmp_path: Path) -> None:
    """A channel that ends is told and leaves the stream; a party that goes takes its stream along."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            operator = place.server.operator
            number = (
                (await operator.must(operations.CHANNEL_SHOW, channel="other")).channels[0].channel.number
            )
            await operator.must(operations.SUBSCRIBER_ADD, channel="other", device="tv")
            device = await place.listen(place.device, "news", "other")
            sender = await place.listen(place.sender, "news")
            await operator.must(operations.CHANNEL_REMOVE, channel="other")
            event = await device.event()
            assert event is not None
            assert (event.kind, event.channel) == ("ended", number)
            await operator.must(operations.REGISTRY_REMOVE, id="tv")
            event = await device.event()
            assert event is not None
            assert (event.kind, event.channel) == ("ended", place.number)
            assert await device.event() is None
            await operator.must(operations.REGISTRY_REMOVE, id="studio")
            event = await sender.event()
            assert event is not None
            assert event.kind == "ended"
            assert await sender.event() is None

    asyncio.run(story())


def test_a_removal_is_told_to_the_sender_and_the_device(tmp_path: Path) -> None:
    """A device removed at once hears that its right is over, and the sender that it is to report."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            operator = place.server.operator
            radio = await place.server.register("radio", "device", channels=["news"])
            removed = await place.listen(place.device, "news")
            other = await place.listen(radio, "news")
            sender = await place.listen(place.sender, "news")
            await operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv", now=True)
            assert await removed.event() == Event(kind="ended", channel=place.number)
            assert await removed.event() is None
            assert await sender.event() == Event(kind="fence", channel=place.number)
            await place.publish(1)
            event = await other.event()
            assert event is not None
            assert event.kind == "key-change"
            # W is 2 s at least, and a fifth of it is left before the change.
            assert (event.opens_in_ms, event.closes_in_ms <= 1_600) == (0, True)

    asyncio.run(story())


def test_a_revoked_certificate_ends_the_stream(tmp_path: Path) -> None:
    """A device whose certificate is revoked hears that it is over, and has no stream any more."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            device = await enrolled(place.server, KeyKind.P256, channels=["news"])
            stream = await place.listen(device, "news")
            await place.server.operator.must(operations.CERTIFICATE_REVOKE, id=device.credential.id)
            assert await stream.event() == Event(kind="ended", channel=place.number)
            assert await stream.event() is None

    asyncio.run(story())


def test_a_verdict_of_before_a_restart_reaches_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first who asks the next event process never gets the stream of the first who asked the last one."""
    answer, gates = Pipeline.answer, [asyncio.Event(), asyncio.Event()]
    entered: list[bytes] = []

    async def slow(self: Pipeline, handler: Handler, body: bytes) -> HttpAnswer:
        if handler.operation is operations.EVENTS:
            entered.append(body)
            await gates[len(entered) - 1].wait()
        return await answer(self, handler, body)

    async def until_entered(count: int) -> None:
        for _ in range(20 * WAIT_S):
            if len(entered) >= count:
                return
            await asyncio.sleep(0.05)
        pytest.fail("nobody asked")

    async def story() -> None:
        async with listening(tmp_path) as place:
            monkeypatch.setattr(Pipeline, "answer", slow)
            others = set(psutil.Process().children())
            await place.device.fetch_nonce()
            token = place.device.token(operations.EVENTS, channels=["news"]).encode()
            asking = asyncio.create_task((await place.connect()).ask(token))
            await until_entered(1)
            (process,) = set(psutil.Process().children()) - others
            process.kill()
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                await asking
            asking = asyncio.create_task((await place.connect()).ask(b"nobody"))
            await until_entered(2)
            gates[0].set()
            await asyncio.sleep(0.5)
            gates[1].set()
            assert await asking != ""

    asyncio.run(story())


def test_a_party_has_a_few_streams(tmp_path: Path) -> None:
    """One stream more than a party may have takes the place of the oldest."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            streams = [await place.listen(place.device, "news") for _ in range(STREAMS_PER_PARTY + 1)]
            assert await streams[0].event() is None
            await place.publish(1)
            for stream in streams[1:]:
                assert await stream.event() is not None

    asyncio.run(story())


def test_a_certificate_changes_under_open_streams(tmp_path: Path) -> None:
    """After a reload new streams see the new certificate, and those that are open go on."""

    async def story() -> None:
        async with listening(tmp_path) as place:
            old = await place.listen(place.device, "news")
            renew_server_certificate(tmp_path, RANDOM, SystemClock().wall_ns())
            place.reloads.ask()
            before = _certificate(old.writer)
            for _ in range(100):
                new = await place.connect()
                if _certificate(new.writer) != before:
                    break
                await asyncio.sleep(0.05)
            assert _certificate(new.writer) != before
            await place.publish(1)
            assert await old.event() is not None

    asyncio.run(story())


def test_a_port_in_use_is_told_or_done_without() -> None:
    """Events asked for at a port in use stop the start with one line; by default they are left out."""
    with open_listening(EventSettings("127.0.0.1", 0)) as taken:  # type: ignore[union-attr]
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=r"cannot listen for event streams .* in use"):
            open_listening(EventSettings("127.0.0.1", port))
        assert open_listening(EventSettings("127.0.0.1", port, is_optional=True)) is None
    with pytest.raises(UsageError, match="not a host of this machine"):
        open_listening(EventSettings("no such host.invalid", port))


def test_addresses_follow_those_of_the_key_server() -> None:
    """Unless told otherwise parties listen at the key servers' hosts, at the port for events."""
    settings = EventSettings("0.0.0.0", 9444)  # noqa: S104 - never listened on
    urls = ("https://keys.example:8443", "https://[2001:db8::1]:8443")
    assert event_urls(settings, urls) == ("https://keys.example:9444", "https://[2001:db8::1]:9444")
    told = EventSettings("0.0.0.0", 9444, urls=("https://events.example",))  # noqa: S104 - as above
    assert event_urls(told, urls) == ("https://events.example",)
    assert event_urls(None, urls) == ()


def _certificate(writer: asyncio.StreamWriter) -> bytes:
    return bytes(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
