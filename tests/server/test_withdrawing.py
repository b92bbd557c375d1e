"""Shows withdrawal at the key server: what a statement must carry, what it closes, and who is warned."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.answers import KeyMaterial
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, encode
from sealcast.subscribers import store_withdrawals
from server.newcomers import enrolled, rows
from server.running import Caller, Running, running
from server.test_request_key import on_air, subscriber
from server.withdrawals import (
    begin,
    erasures,
    offences,
    receipt_of,
    signed,
    statement_of,
    subscriptions,
    withdraw,
)
from storage.places import connect


async def viewer(server: Running) -> tuple[Caller, list[KeyMaterial]]:
    """Put `news` on air, add `sport`, and return a device with both that was granted the keys of `news`."""
    _, _, keys, _ = await on_air(server)
    await server.add_channel("sport", port=6004)
    device = await subscriber(server, "tv")
    await server.operator.must(operations.SUBSCRIBER_ADD, channel="sport", device="tv")
    await device.must(operations.KEYS, channel="news")
    return device, keys


def audit(server: Running) -> list[str]:
    """Return what was done, in order."""
    return [what for (what,) in rows(server.directory, "SELECT what FROM audit ORDER BY id")]


def test_one_of_two_channels(tmp_path: Path) -> None:
    """The subscription is closed with a receipt, its keys are on record as erased, the other goes on."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, keys = await viewer(server)
            begun = await begin(device)
            assert (begun.scope, begun.channels, begun.counter) == ("1", ["news"], 1)
            assert begun.key_ids == [key.key_id for key in keys]
            token = signed(device, statement_of(device, begun, last_index={"1": 12_345}))
            receipt = receipt_of(server, await withdraw(device, token), token)
            assert (receipt.device, receipt.channels, receipt.number) == ("tv", ["news"], 1)
            assert receipt.erased == begun.key_ids
            assert subscriptions(tmp_path) == [(1, "tv", "withdrawn"), (2, "tv", None)]
            assert erasures(tmp_path) == [(1, 1, False), (1, 2, False)]
            assert (await device.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            assert (await device.ask(operations.KEYS, channel="sport")).status == 200
            assert audit(server)[-2:] == ["withdrawal", "withdraw"]
            listed = await server.operator.must(operations.SUBSCRIBER_LIST)
            assert [(row.channel, row.device) for row in listed.subscribers] == [("sport", "tv")]

    asyncio.run(story())


def test_the_last_channel_takes_the_kek_with_it(tmp_path: Path) -> None:
    """Asked for its last channel, or for all, a certified device is told to state that all is destroyed."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await enrolled(server, KeyKind.P256, id="tv", channels=["news"])
            begun = await begin(device)
            assert (begun.scope, begun.channels, begun.key_ids) == ("*", ["news"], [])
            assert (await begin(device, "*")).scope == "*"
            begun = await begin(device, "1")
            assert (begun.scope, begun.counter) == ("*", 3)
            token = signed(device, statement_of(device, begun))
            assert receipt_of(server, await withdraw(device, token), token).channels == ["news"]
            for channel in ("news", "*"):
                assert (await device.ask(operations.WITHDRAWAL, channel=channel)).problem == "not-subscribed"
            assert (await device.ask(operations.WITHDRAWAL, channel="no")).problem == "unknown-channel"

    asyncio.run(story())


def test_the_same_statement_gets_the_same_receipt(tmp_path: Path) -> None:
    """However often it is sent, and after a restart, byte for byte; nothing is recorded again."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, _ = await viewer(server)
            token = signed(device, statement_of(device, await begin(device)))
            first = (await withdraw(device, token)).answer.receipt
            lines = len(audit(server))
            assert (await withdraw(device, token)).answer.receipt == first
            assert len(audit(server)) == lines
            parties = device.credential, server.operator.credential
        async with running(tmp_path, parties[1]) as server:
            device = server.caller(parties[0])
            assert (await withdraw(device, token)).answer.receipt == first
            assert offences(tmp_path) == []
            assert erasures(tmp_path) == [(1, 1, False), (1, 2, False)]

    asyncio.run(story())


def test_back_again_the_old_statement_is_a_replay(tmp_path: Path) -> None:
    """Subscribed anew, the device is not thrown out by what it said before: it is warned."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, _ = await viewer(server)
            token = signed(device, statement_of(device, await begin(device)))
            receipt_of(server, await withdraw(device, token), token)
            await server.operator.must(operations.SUBSCRIBER_REMOVE, channel="sport", device="tv")
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="sport", device="tv")
            receipt_of(server, await withdraw(device, token), token)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            again = await withdraw(device, token)
            assert (again.status, again.problem) == (403, "erasure-refused")
            assert "replayed" in again.detail
            assert offences(tmp_path) == [("tv", "replayed")]
            assert (await device.ask(operations.KEYS, channel="news")).status == 200

    asyncio.run(story())


def test_a_key_granted_again_voids_its_erasure(tmp_path: Path) -> None:
    """A device that comes back and is given a key that it had destroyed holds it again."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, keys = await viewer(server)
            token = signed(device, statement_of(device, await begin(device)))
            receipt_of(server, await withdraw(device, token), token)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            await device.must(operations.KEYS, channel="news", held=[keys[1].key_id])
            assert erasures(tmp_path) == [(1, 1, True), (1, 2, False)]

    asyncio.run(story())


def test_an_old_request_gives_no_key_back(tmp_path: Path) -> None:
    """A key request from before, sent again, is refused; after a return it voids the erasure."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, keys = await viewer(server)
            await device.fetch_nonce()
            asked = device.token(operations.KEYS, channel="news")
            assert len((await device.post(operations.KEYS, asked)).answer.keys) == 2
            token = signed(device, statement_of(device, await begin(device)))
            receipt_of(server, await withdraw(device, token), token)
            again = await device.post(operations.KEYS, asked)
            assert (again.status, again.problem) == (403, "not-subscribed")
            assert erasures(tmp_path) == [(1, 1, False), (1, 2, False)]
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            given = (await device.post(operations.KEYS, asked)).answer.keys
            assert [key.material for key in given] == keys
            assert erasures(tmp_path) == [(1, 1, True), (1, 2, True)]

    asyncio.run(story())


def test_what_is_left_out_is_no_offence(tmp_path: Path) -> None:
    """A key that was not erased stays without evidence; one that was never granted leaves none."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, keys = await viewer(server)
            begun = await begin(device)
            erased = [keys[0].key_id, "0000000100000009"]
            token = signed(device, statement_of(device, begun, erased=erased))
            assert receipt_of(server, await withdraw(device, token), token).erased == [keys[0].key_id]
            assert erasures(tmp_path) == [(1, 1, False)]
            assert offences(tmp_path) == []

    asyncio.run(story())


def test_the_operator_was_faster(tmp_path: Path) -> None:
    """A statement that comes after a removal is good evidence still, and closes nothing twice."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, _ = await viewer(server)
            begun = await begin(device)
            await server.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv")
            token = signed(device, statement_of(device, begun))
            receipt = receipt_of(server, await withdraw(device, token), token)
            assert (receipt.channels, receipt.erased) == ([], begun.key_ids)

    asyncio.run(story())


def test_an_offender_may_still_withdraw(tmp_path: Path) -> None:
    """After a warning the subscription goes on, and a right statement closes it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device, _ = await viewer(server)
            warned = await withdraw(device, "no statement")
            assert warned.problem == "erasure-refused"
            assert warned.detail.startswith("warning: the erasure statement of tv is bad")
            assert "sealcast withdraw" in warned.detail
            assert offences(tmp_path) == [("tv", "bad")]
            assert audit(server)[-1] == "offence"
            token = signed(device, statement_of(device, await begin(device)))
            receipt_of(server, await withdraw(device, token), token)
            listed = await server.operator.must(operations.OFFENDER_LIST)
            assert [(row.device, row.kind) for row in listed.offenders] == [("tv", "bad")]

    asyncio.run(story())


def test_beginning_again_and_again_fills_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of withdrawals that were replaced only the last stay on record; the newest one still closes."""
    monkeypatch.setattr(store_withdrawals, "SUPERSEDED_MAX", 3)

    async def story() -> None:
        async with running(tmp_path) as server:
            device, _ = await viewer(server)
            begun = [await begin(device) for _ in range(8)]
            counters = [each for (each,) in rows(tmp_path, "SELECT counter FROM withdrawals ORDER BY number")]
            assert counters == [5, 6, 7, 8]
            token = signed(device, statement_of(device, begun[-1]))
            receipt_of(server, await withdraw(device, token), token)
            for old in (begun[0], begun[-2]):
                await withdraw(device, signed(device, statement_of(device, old)))
            assert offences(tmp_path) == [("tv", "bad"), ("tv", "stale")]

    asyncio.run(story())


def test_offenders_of_many_words_are_listed(tmp_path: Path) -> None:
    """However much offenders had to say, the list fits into an answer: the newest stand in it."""
    insert = (
        "INSERT INTO offences (device, kind, detail, statement_sha256, at_ms) VALUES (?, 'bad', ?, x'00', 0)"
    )

    async def story() -> None:
        async with running(tmp_path) as server:
            with closing(connect(tmp_path / "keyserver.sqlite")) as database, database:
                database.executemany(insert, [(f"{n:0128}", "\U0001f600" * 200) for n in range(400)])
            listed = await server.operator.must(operations.OFFENDER_LIST)
            assert listed.offenders[0].device == f"{399:0128}"
            assert len(encode(listed)) < MESSAGE_BYTES_MAX

    asyncio.run(story())
