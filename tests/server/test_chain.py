"""Shows a chain at the key server: what is taken, what devices are given, what a restart leaves of it."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealcast.core.secret import Secret
from sealcast.keys.material import Origin
from sealcast.keys.schedule import link_of
from sealcast.keyserver.wrapped import unwrap_tek
from sealcast.messages import operations
from sealcast.messages.answers import ChainGrant, KeyMaterial
from sealcast.messages.material import key_material, update_material
from sealcast.server.state import load_server_state
from server.chains import Chain, keys_of, read
from server.newcomers import rows
from server.running import material, running
from server.withdrawals import begin, erasures, receipt_of, signed, statement_of, withdraw

GRANTS = "SELECT device, epoch, until_epoch FROM grants ORDER BY device, epoch"
FENCES = "SELECT epoch, is_urgent FROM fences ORDER BY number"


def test_joiner_and_repair(tmp_path: Path) -> None:
    """A joiner gets C and Ku in one grant, one row; who missed an update gets Ku alone, and no row more."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            tv, radio = await chain.device("tv"), await chain.device("radio")
            joined = await keys_of(tv)
            one, two = chain.teks[1], chain.teks[2]
            assert [each.material for each in joined.keys] == [key_material(one), update_material(two)]
            assert read(joined) == [one, two]
            assert joined.chain == ChainGrant(first_epoch=1, fresh_at=7)
            assert joined.window is not None
            opens_ms, closes_ms = joined.window.opens_in_ms, joined.window.closes_in_ms
            assert 300_000 < opens_ms <= 510_000
            assert closes_ms - opens_ms == 60_000
            await chain.report(2)
            three = await chain.publish(3, follows=2)
            repaired = await keys_of(tv, *chain.held(1, 2))
            assert [each.material for each in repaired.keys] == [update_material(three)]
            assert read(repaired, two) == [three]
            assert repaired.chain == ChainGrant(first_epoch=1, fresh_at=7)
            late = await keys_of(radio)
            assert [each.material for each in late.keys] == [key_material(two), update_material(three)]
            assert late.chain == ChainGrant(first_epoch=2, fresh_at=7)
            assert rows(tmp_path, GRANTS) == [("radio", 2, 7), ("tv", 1, 7)]

    asyncio.run(story())


def test_a_fresh_start_is_granted_anew(tmp_path: Path) -> None:
    """The key that follows from none comes with its C, in the whole window, and has a row of its own."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server, is_on_air=False)
            for epoch in range(1, 7):
                await chain.publish(epoch, follows=epoch - 1 if epoch > 1 else None)
                await chain.report(epoch)
            tv = await chain.device("tv")
            alone = await keys_of(tv)
            assert alone.window is not None
            assert alone.window.closes_in_ms - alone.window.opens_in_ms == 120_000
            refused = await chain.offer(replace(chain.make(7), origin=after(chain, 6)))
            assert refused.problem == "bad-request"
            seven = await chain.publish(7)
            both = await keys_of(tv)
            assert [each.material for each in both.keys] == [
                key_material(chain.teks[6]),
                key_material(seven),
            ]
            assert both.chain == ChainGrant(first_epoch=6, fresh_at=7)
            assert both.window is not None
            assert both.window.closes_in_ms - both.window.opens_in_ms == 120_000
            next_ = await keys_of(tv, *chain.held(6))
            assert next_.chain == ChainGrant(first_epoch=7, fresh_at=13)
            assert rows(tmp_path, GRANTS) == [("tv", 6, 7), ("tv", 7, 13)]

    asyncio.run(story())


def after(chain: Chain, epoch: int) -> Origin:
    """Return the origin of a key that claims to follow, under a link that is not its own."""
    origin = chain.teks[epoch].origin
    assert origin is not None
    return Origin(origin.link, origin.fresh_at, chain.key_id(epoch), Secret(bytes(32)))


def test_the_same_request_again_and_a_restart(tmp_path: Path) -> None:
    """A repeat, and a request after the key server was started again in mid-chain, get the same keys."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            tv = await chain.device("tv")
            await tv.fetch_nonce()
            token = tv.token(operations.KEYS, channel="news")
            first, again = [(await tv.post(operations.KEYS, token)).answer for _ in range(2)]
            assert (first.keys[0].material, first.keys[1:]) == (again.keys[0].material, again.keys[1:])
            assert first.chain == again.chain
            for _ in range(2):
                assert (await chain.offer(chain.teks[2])).status == 200
            assert rows(tmp_path, "SELECT count(*) FROM audit WHERE what = 'publish'") == [(2,)]
        async with running(tmp_path, server.operator.credential) as server:
            chain.server, chain.sender = server, server.caller(chain.sender.credential)
            tv = server.caller(tv.credential)
            kept = await keys_of(tv)
            assert [key.material for key in kept.keys] == [key.material for key in first.keys]
            assert kept.chain == first.chain
            lease = await chain.sender.must(operations.LEASE, channel="news", first_unused=2)
            assert lease.published == [key_material(chain.teks[2])]
            await chain.report(2)
            await chain.publish(3, follows=2)
            assert rows(tmp_path, GRANTS) == [("tv", 1, 7)]

    asyncio.run(story())


def wrong(chain: Chain, fault: str) -> KeyMaterial:
    """Return a key for epoch 3 that must not be taken."""
    good = key_material(chain.make(3, follows=2))
    fresh = key_material(chain.make(3))
    changes: dict[str, dict[str, Any]] = {
        "a chain too long": {"fresh_at": 10},
        "a chain of no epoch": {"fresh_at": 3},
        "the end of another chain": {"fresh_at": 7},
        "another end of its chain": {"fresh_at": 8},
        "another update": {"update": bytes(32)},
        "another link": {"link": bytes(32)},
        "after an epoch without key": {"follows": str(chain.key_id(9))},
        "after a key that it does not follow": {"follows": str(chain.key_id(1))},
        "after another channel": {"follows": "00000063" + "00000002"},
    }
    if fault == "no link":
        return material(chain.number, 3)
    base = fresh if fault in {"a chain too long", "a chain of no epoch", "the end of another chain"} else good
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    return KeyMaterial(**{**fields, **changes[fault]})


@pytest.mark.parametrize(
    ("faults", "problem"),
    [
        (("no link", "a chain too long", "a chain of no epoch", "the end of another chain"), "bad-request"),
        (
            (
                "another end of its chain",
                "another update",
                "another link",
                "after an epoch without key",
                "after a key that it does not follow",
                "after another channel",
            ),
            "fresh-start-needed",
        ),
    ],
    ids=["bad", "fresh start needed"],
)
def test_what_is_not_of_the_chain_is_refused(tmp_path: Path, faults: tuple[str, ...], problem: str) -> None:
    """One clear line each, nothing is stored, and a key that fits is taken afterwards."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            for fault in faults:
                reply = await server.publish(chain.sender, "news", wrong(chain, fault))
                assert (reply.status, reply.problem) == (409 if problem[0] == "f" else 400, problem), fault
                assert "\n" not in reply.detail
                assert ("publish a fresh start" in reply.detail) == (problem == "fresh-start-needed")
            made = await chain.sender.ask(operations.GENERATE, channel="news", epoch=3)
            assert (made.status, made.problem) == (400, "bad-request")
            await chain.publish(3, follows=2)
            moved = replace(chain.teks[2], origin=after(chain, 1))
            assert (await chain.offer(moved)).problem == "epoch-taken"

    asyncio.run(story())


def test_a_fetched_key_has_no_link(tmp_path: Path) -> None:
    """On a channel with fetched keys a chained one is refused, and so is a commanded fresh start."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            film = (await server.add_channel("film", port=5006, senders=["studio"])).channel.number
            await chain.sender.must(operations.LEASE, channel="film")
            tek = key_material(chain.make(1))
            fields = {name: getattr(tek, name) for name in tek.__struct_fields__}
            linked = KeyMaterial(**{**fields, "key_id": f"{film:08x}00000001"})
            reply = await server.publish(chain.sender, "film", linked)
            assert (reply.status, reply.problem) == (400, "bad-request")
            refused = await server.operator.ask(operations.CHANNEL_FRESH_START, channel="film")
            assert (refused.status, refused.problem) == (400, "bad-request")
            assert rows(tmp_path, FENCES) == []

    asyncio.run(story())


def test_withdrawal_ends_a_chain_grant(tmp_path: Path) -> None:
    """Keys that followed are told and erased as well; who comes back within the chain is granted anew."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            await server.add_channel("sport", port=6004)
            tv = await server.register("tv", "device", channels=["news", "sport"])
            await keys_of(tv)
            await chain.report(2)
            begun = await begin(tv)
            assert begun.key_ids == chain.held(1, 2)
            token = signed(tv, statement_of(tv, begun, erased=chain.held(2)))
            assert receipt_of(server, await withdraw(tv, token), token).erased == chain.held(2)
            await chain.publish(3, follows=2)
            await chain.report(3)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            back = await keys_of(tv)
            assert back.chain == ChainGrant(first_epoch=3, fresh_at=7)
            assert rows(tmp_path, GRANTS) == [("tv", 1, 7), ("tv", 3, 7)]
            assert erasures(tmp_path) == [(1, 2, False)]
            token = signed(tv, statement_of(tv, await begin(tv), erased=chain.held(2, 3)))
            assert receipt_of(server, await withdraw(tv, token), token).erased == chain.held(2, 3)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            await keys_of(tv)
            assert rows(tmp_path, GRANTS) == [("tv", 1, 7), ("tv", 3, 7)]
            assert erasures(tmp_path) == [(1, 2, False), (1, 2, False), (1, 3, True)]

    asyncio.run(story())


def test_a_superseded_link_is_gone_before_its_key(tmp_path: Path) -> None:
    """Off the air only the TEK is kept for packets under way; nothing follows from it any more."""

    async def story() -> None:
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            await chain.report(2)
            refused = await chain.offer(chain.make(3, follows=1))
            assert (refused.problem, "not kept" in refused.detail) == ("fresh-start-needed", True)
            await chain.publish(3, follows=2)
        master = load_server_state(tmp_path).master_key
        ((state, wrapped),) = rows(tmp_path, "SELECT state, wrapped_key FROM epochs WHERE epoch = 1")
        assert state == "DRAINING"
        one = chain.teks[1]
        assert unwrap_tek(master, one.key_id, one.suite, wrapped) == one
        assert link_of(unwrap_tek(master, one.key_id, one.suite, wrapped)) is None
        assert rows(tmp_path, "SELECT epoch, follows, fresh_at FROM epochs WHERE fresh_at > 0") == [
            (1, None, 7),
            (2, 1, 7),
            (3, 2, 7),
        ]

    asyncio.run(story())


def back_up(directory: Path, copy: Path) -> None:
    """Copy the database of a server that runs."""
    with closing(sqlite3.connect(directory / "keyserver.sqlite")) as database:
        database.execute("VACUUM INTO ?", (str(copy),))


def restore(directory: Path, copy: Path) -> None:
    """Put a copy in the place of a server's database."""
    for path in directory.glob("keyserver.sqlite*"):
        path.unlink()
    copy.rename(directory / "keyserver.sqlite")


def test_a_restored_backup_ends_the_chain(tmp_path: Path) -> None:
    """Over a database older than a chain's last key nothing follows that key: a fresh start is taken."""

    async def story() -> None:
        kept = tmp_path / "backup"
        async with running(tmp_path) as server:
            chain = await Chain.at(server)
            tv = await chain.device("tv")
            await keys_of(tv)
            back_up(tmp_path, kept)
            await chain.report(2)
            await chain.publish(3, follows=2)
            await chain.report(3)
        restore(tmp_path, kept)
        async with running(tmp_path, server.operator.credential) as server:
            chain.server, chain.sender = server, server.caller(chain.sender.credential)
            await chain.report(3)
            refused = await chain.offer(chain.make(4, follows=3))
            assert (refused.problem, "not kept" in refused.detail) == ("fresh-start-needed", True)
            four = await chain.publish(4)
            tv = server.caller(tv.credential)
            assert read(await keys_of(tv, *chain.held(2, 3))) == [four]
            assert rows(tmp_path, GRANTS) == [("tv", 1, 7), ("tv", 4, 10)]

    asyncio.run(story())
