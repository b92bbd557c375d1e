"""Shows the key server's side of a sender: leases, keys of epochs, what is on air, and totals."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from sealcast.messages import jose, operations
from sealcast.messages.encoding import b64url_decode, encode
from sealcast.messages.requests import EpochTotals
from server.running import Caller, Running, material, running
from storage.places import connect, files

pytestmark = pytest.mark.usefixtures("both_databases")


def rows(directory: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what the database says on disk."""
    with connect(directory / "keyserver.sqlite") as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def states(directory: Path) -> dict[int, str]:
    """Return the states of epochs that have left PLANNED."""
    return dict(rows(directory, "SELECT epoch, state FROM epochs WHERE state != 'PLANNED' ORDER BY epoch"))


async def start(server: Running, **channel: Any) -> tuple[int, Caller, list[int]]:
    """Add a channel and a sender with a lease; return the number, the sender and its SSRCs."""
    added = await server.add_channel("news", **channel)
    sender = await server.register("studio", "sender", channels=["news"])
    lease = await sender.must(operations.LEASE, channel="news")
    return added.channel.number, sender, [slot.ssrc for slot in lease.slots]


def test_lease_is_topped_up_and_durable(tmp_path: Path) -> None:
    """Sixteen slots; later those left and new ones; the same again for a retry; all of it in the database."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            sender = await server.register("studio", "sender", channels=["news"])
            await sender.fetch_nonce()
            token = sender.token(operations.LEASE, channel="news", first_unused=2**32 - 1)
            first = (await sender.post(operations.LEASE, token)).answer
            again = (await sender.post(operations.LEASE, token)).answer
            assert first.slots == again.slots
            assert [slot.epoch for slot in first.slots] == list(range(1, 17))
            assert first.channel.name == "news"
            assert first.key_servers == [server.url]
            topped = await sender.must(operations.LEASE, channel=str(first.channel.number), first_unused=3)
            assert topped.slots[:14] == first.slots[2:]
            assert [slot.epoch for slot in topped.slots] == list(range(3, 19))
            assert len({slot.ssrc for slot in first.slots + topped.slots}) == 18
            stored = rows(tmp_path, "SELECT epoch, ssrc FROM epochs ORDER BY epoch")
            assert stored[:16] == [(slot.epoch, slot.ssrc) for slot in first.slots]

    asyncio.run(story())


def test_sender_without_record_gets_fresh_slots(tmp_path: Path) -> None:
    """Who lost its state directory gets no slot, no key and no SSRC that it may have used."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, ssrcs = await start(server)
            await server.publish(sender, "news", material(number, 1))
            fresh = await sender.must(operations.LEASE, channel="news", first_unused=2**32 - 1)
            assert [slot.epoch for slot in fresh.slots] == list(range(17, 33))
            assert not {slot.ssrc for slot in fresh.slots} & set(ssrcs)
            assert fresh.published == []

    asyncio.run(story())


def test_two_records_of_one_sender_share_no_slot(tmp_path: Path) -> None:
    """A run gets back the free slots that it names, not those that another run of the same sender got."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            sender = await server.register("studio", "sender", channels=["news"])
            none = 2**32 - 1
            one = await sender.must(operations.LEASE, channel="news", first_unused=none, held=[])
            two = await sender.must(operations.LEASE, channel="news", first_unused=none, held=[])
            kept = [slot.epoch for slot in one.slots]
            more = await sender.must(operations.LEASE, channel="news", first_unused=2, held=kept)
            again = await sender.must(
                operations.LEASE, channel="news", first_unused=18, held=[slot.epoch for slot in two.slots]
            )
            # The second start burned what the first had: it may have been the first, having lost its record.
            assert [slot.epoch for slot in more.slots] == list(range(33, 49))
            assert [slot.epoch for slot in again.slots] == [*range(18, 33), 49]

    asyncio.run(story())


def test_channel_numbers_and_epochs_never_come_back(tmp_path: Path) -> None:
    """A channel added again under its old name has another number, so its key IDs are all new."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, _ = await start(server)
            await server.operator.must(operations.CHANNEL_REMOVE, channel="news")
            gone = await sender.ask(operations.LEASE, channel="news")
            assert (gone.status, gone.problem) == (404, "unknown-channel")
            credential = server.operator.credential
        async with running(tmp_path, credential) as server:
            again = await server.add_channel("news")
            assert again.channel.number > number

    asyncio.run(story())


def test_only_its_own_channels(tmp_path: Path) -> None:
    """A sender that is not among a channel's gets no lease there, and cannot use another's slots."""

    async def story() -> None:
        async with running(tmp_path) as server:
            owner = await server.register("owner", "sender")
            other = await server.register("other", "sender")
            closed = await server.add_channel("closed", senders=["owner"])
            assert closed.senders == ["owner"]
            number, slot = (
                closed.channel.number,
                (await owner.must(operations.LEASE, channel="closed")).slots[0],
            )
            for refused in (
                await other.ask(operations.LEASE, channel="closed"),
                await server.publish(other, "closed", material(number, slot.epoch)),
                await other.ask(operations.GENERATE, channel="closed", epoch=slot.epoch),
                await server.report(other, "closed", slot.ssrc, slot.epoch),
            ):
                assert (refused.status, refused.problem) == (403, "not-your-channel")
            nobodys = await server.add_channel("nobody", port=7000)
            assert nobodys.senders == []
            assert (await owner.ask(operations.LEASE, channel="nobody")).problem == "not-your-channel"
            shared = (
                await server.add_channel("shared", port=6000, senders=["owner", "other"])
            ).channel.number
            lease = await owner.must(operations.LEASE, channel="shared")
            taken = await server.publish(other, "shared", material(shared, 1))
            assert (taken.status, taken.problem) == (409, "not-leased")
            report = await server.report(other, "shared", lease.slots[0].ssrc, 1)
            assert (report.status, report.problem) == (409, "not-leased")
            unknown = await server.operator.ask(
                operations.CHANNEL_ADD,
                channel={"name": "x", "group": "239.8.8.8", "port": 5004},
                senders=["nobody"],
            )
            assert (unknown.status, unknown.problem) == (404, "unknown-device")

    asyncio.run(story())


def test_published_key_stays_what_it_is(tmp_path: Path) -> None:
    """The same key again changes nothing, another one is refused, and so is an epoch never leased."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, _ = await start(server)
            key = material(number, 1)
            for _ in range(2):
                assert (await server.publish(sender, "news", key)).status == 200
            other = await server.publish(sender, "news", material(number, 1))
            assert (other.status, other.problem) == (409, "epoch-taken")
            never = await server.publish(sender, "news", material(number, 17))
            assert (never.status, never.problem) == (409, "not-leased")
            lease = await sender.must(operations.LEASE, channel="news", first_unused=1)
            assert lease.published == [key]
            assert rows(tmp_path, "SELECT count(*) FROM audit WHERE what = 'publish'") == [(1,)]

    asyncio.run(story())


@pytest.mark.parametrize(
    "fault", ["another epoch", "another suite", "short key", "not sealed to us", "garbage"]
)
def test_wrong_keys_are_refused(tmp_path: Path, fault: str) -> None:
    """A sealed key that is not for the epoch asked, or not for us, is a bad request and changes nothing."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, _ = await start(server)
            key = material(number, 2 if fault == "another epoch" else 1)
            if fault == "another suite":
                key = type(key)(key_id=key.key_id, suite="aes-256-gcm", key=key.key * 2, salt=key.salt)
            if fault == "short key":
                key = type(key)(key_id=key.key_id, suite=key.suite, key=key.key[:8], salt=key.salt)
            recipient = sender.credential.kek if fault == "not sealed to us" else sender.credential.server_kek
            sealed = jose.seal(encode(key), recipient.public(), kid="keyserver", typ=jose.TYP_SEALED_KEY)
            reply = await sender.ask(
                operations.PUBLISH,
                channel="news",
                epoch=1,
                sealed_key="a.b.c.d.e" if fault == "garbage" else sealed,
            )
            assert (reply.status, reply.problem) == (400, "bad-request")
            assert states(tmp_path) == {}

    asyncio.run(story())


def test_server_makes_a_key_once(tmp_path: Path) -> None:
    """Generating again, also after a restart, returns the same key; it follows the channel's suite."""

    async def story() -> None:
        async with running(tmp_path) as server:
            _, sender, _ = await start(server, keys="keyserver", suite="aes-256-gcm")
            made = await sender.must(operations.GENERATE, channel="news", epoch=1)
            assert (len(made.material.key), len(made.material.salt)) == (32, 12)
            again = await sender.must(operations.GENERATE, channel="news", epoch=1)
            other = await sender.must(operations.GENERATE, channel="news", epoch=2)
            assert made.material == again.material
            assert made.material.key != other.material.key
            credential, operator = sender.credential, server.operator.credential
        async with running(tmp_path, operator) as server:
            after = await server.caller(credential).must(operations.GENERATE, channel="news", epoch=1)
            assert after.material == made.material

    asyncio.run(story())


def test_epochs_live_by_the_table(tmp_path: Path) -> None:
    """Published, on air, superseded, ended: each report moves the epochs and notes the instants."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, ssrcs = await start(server)
            for epoch in (1, 2):
                await server.publish(sender, "news", material(number, epoch))
            assert states(tmp_path) == {1: "PUBLISHED", 2: "PUBLISHED"}
            await server.report(sender, "news", ssrcs[0], 1)
            assert states(tmp_path) == {1: "ACTIVE", 2: "PUBLISHED"}
            changed = await server.report(sender, "news", ssrcs[0], 2, cause="schedule")
            assert not changed.answer.overtaken
            assert states(tmp_path) == {1: "DRAINING", 2: "ACTIVE"}
            late = await server.report(sender, "news", ssrcs[0], 1)
            assert late.status == 200
            assert late.answer.overtaken
            assert states(tmp_path) == {1: "DRAINING", 2: "ACTIVE"}
            await server.report(sender, "news", ssrcs[0], 2, ended=True)
            assert states(tmp_path) == {1: "DRAINING", 2: "DRAINING"}
            (shown,) = (await server.operator.must(operations.CHANNEL_SHOW, channel="news")).channels
            assert (shown.state, shown.epoch, shown.remaining_ms) == ("idle", None, None)
            causes = rows(tmp_path, "SELECT cause FROM epochs WHERE on_air_at_ms <= off_air_at_ms")
            assert causes == [("start",), ("schedule",)]
            async with server.operator.session.get(server.url + "/metrics", ssl=sender.tls) as response:
                assert "sealcast_stale_reports 1.0" in await response.text()

    asyncio.run(story())


def test_restarted_sender_takes_the_next_epoch(tmp_path: Path) -> None:
    """After a crash the sender's next slot, SSRC and published key are there; its report ends the old run."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, ssrcs = await start(server)
            for epoch in (1, 2):
                await server.publish(sender, "news", material(number, epoch))
            await server.report(sender, "news", ssrcs[0], 1)
            lease = await sender.must(operations.LEASE, channel="news", first_unused=2)
            assert [key.key_id[8:] for key in lease.published] == ["00000002"]
            await server.report(sender, "news", lease.slots[0].ssrc, 2)
            assert states(tmp_path) == {1: "DRAINING", 2: "ACTIVE"}
            (shown,) = (await server.operator.must(operations.CHANNEL_SHOW, channel="news")).channels
            assert (shown.state, shown.epoch) == ("on-air", 2)
            device = await server.register("tv", "device")
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            grant = await device.must(operations.KEYS, channel="news")
            assert [stream.ssrc for stream in grant.streams] == [ssrcs[1]]

    asyncio.run(story())


def test_key_that_comes_after_the_start_is_taken(tmp_path: Path) -> None:
    """A sender that went on air while we could not be reached publishes afterwards; receivers then get it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, ssrcs = await start(server)
            await server.report(sender, "news", ssrcs[0], 1)
            assert (await server.publish(sender, "news", material(number, 1))).status == 200
            assert states(tmp_path) == {1: "ACTIVE"}
            await server.report(sender, "news", ssrcs[0], 2)
            over = await server.publish(sender, "news", material(number, 1, fill=7))
            assert (over.status, over.problem) == (409, "not-leased")

    asyncio.run(story())


def test_totals_only_rise(tmp_path: Path) -> None:
    """Totals are kept per run and epoch; late or smaller figures change nothing, others' are left out."""

    async def story() -> None:
        async with running(tmp_path) as server:
            _, sender, ssrcs = await start(server)
            one = EpochTotals(epoch=1, duration_ms=1_000, packets=10, bytes=13_000)
            more = EpochTotals(epoch=1, duration_ms=2_000, packets=20, bytes=26_000)
            two = EpochTotals(epoch=2, duration_ms=5, packets=1, bytes=1_300)
            foreign = EpochTotals(epoch=999, duration_ms=5, packets=1, bytes=1_300)
            await server.report(sender, "news", ssrcs[0], 1, totals=[one])
            await server.report(sender, "news", ssrcs[0], 2, totals=[more, two, foreign])
            await server.report(sender, "news", ssrcs[0], 1, totals=[one])
            kept = rows(
                tmp_path, "SELECT ssrc, epoch, duration_ms, packets, bytes FROM totals ORDER BY epoch"
            )
            assert kept == [(ssrcs[0], 1, 2_000, 20, 26_000), (ssrcs[0], 2, 5, 1, 1_300)]

    asyncio.run(story())


def test_absurd_reports_are_refused(tmp_path: Path) -> None:
    """Figures out of range and an SSRC of nobody's lease leave the channel as it is."""

    async def story() -> None:
        async with running(tmp_path) as server:
            _, sender, ssrcs = await start(server)
            for changes in ({"seq": 70_000}, {"roc": -1}, {"remaining_ms": 2**63}):
                reply = await server.report(sender, "news", ssrcs[0], 1, **changes)
                assert (reply.status, reply.problem) == (400, "bad-request")
            for ssrc, epoch in ((12345, 1), (ssrcs[1], 1), (ssrcs[0], 17)):
                reply = await server.report(sender, "news", ssrc, epoch)
                assert (reply.status, reply.problem) == (409, "not-leased")
            assert states(tmp_path) == {}

    asyncio.run(story())


def test_keys_are_never_in_the_clear_on_disk(tmp_path: Path) -> None:
    """No key, salt or device secret stands in the database or its log, raw, in hex or in base64."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number, sender, _ = await start(server)
            key = material(number, 1)
            await server.publish(sender, "news", key)
            made = (await sender.must(operations.GENERATE, channel="news", epoch=2)).material
            device = await server.register("tv", "device")
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            await device.must(operations.KEYS, channel="news")
            own = [b64url_decode(jwk.k or "") for jwk in (device.credential.signing, device.credential.kek)]
            secrets = [key.key, key.salt, made.key, made.salt, *own]
            assert find_on_disk(tmp_path, secrets) == []
        assert find_on_disk(tmp_path, secrets) == []
        assert find_on_disk(tmp_path, [b"studio"])

    asyncio.run(story())


def find_on_disk(directory: Path, secrets: list[bytes]) -> list[bytes]:
    """Return those of `secrets` that stand in the database's files in any usual form."""
    disk = b"".join(path.read_bytes() for path in files(directory / "keyserver.sqlite"))
    found = []
    for secret in secrets:
        forms = [secret, secret.hex().encode(), secret.hex().upper().encode()]
        forms += [base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"=")]
        if any(form in disk for form in forms):
            found.append(secret)
    return found
