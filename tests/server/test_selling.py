"""Shows the list of devices sold: what the point of sale puts on it, and who is let in by it."""

import asyncio
from pathlib import Path
from typing import Any

from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.subscribing import SOLD_PER_REQUEST, SoldDevice
from server.newcomers import enrol, invite, newcomer, rows
from server.running import Running, running


def devices(*serials: str, **more: Any) -> list[SoldDevice]:
    """Return devices as a point of sale names them."""
    return [SoldDevice(serial=serial, **more) for serial in serials]


async def sell(server: Running, *serials: str, **more: Any) -> Any:
    """Sell devices and return the answer."""
    return await server.operator.must(operations.SOLD_ADD, devices=devices(*serials, **more))


async def listed(server: Running, **page: Any) -> Any:
    """Return the list of devices sold."""
    return await server.operator.must(operations.SOLD_LIST, **page)


def test_devices_are_sold_once(tmp_path: Path) -> None:
    """A sale is kept as it was first told; the answer says what was known, and the audit who told it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            first = await sell(server, "TV-1", "TV-2", sold_on="2026-03-01", seller="Shop 7", note="blue")
            assert (first.added, first.known) == (2, [])
            again = await sell(server, "TV-2", "TV-3", "TV-3", seller="another")
            assert (again.added, again.known) == (1, ["TV-2", "TV-3"])
            found = (await listed(server)).devices
            assert [(row.serial, row.origin, row.sold_on, row.seller, row.note) for row in found] == [
                ("TV-1", "sale", "2026-03-01", "Shop 7", "blue"),
                ("TV-2", "sale", "2026-03-01", "Shop 7", "blue"),
                ("TV-3", "sale", "", "another", ""),
            ]
            assert all(row.added_at.endswith("Z") and not row.enrolled for row in found)
            await server.operator.must(operations.SOLD_REMOVE, serial="TV-1")
            gone = await server.operator.ask(operations.SOLD_REMOVE, serial="TV-1")
            assert (gone.status, gone.problem) == (404, "unknown-device")
            assert (await sell(server)).added == 0
        said = rows(tmp_path, "SELECT what, subject FROM audit WHERE what LIKE 'sold-%' ORDER BY id")
        assert said == [("sold-add", "2"), ("sold-add", "1"), ("sold-remove", "TV-1")]

    asyncio.run(story())


def test_pages_of_the_list(tmp_path: Path) -> None:
    """The list comes in pages, by serial number; long rows make a page shorter, none is left out."""

    async def story() -> None:
        async with running(tmp_path) as server:
            for begin in range(0, 600, 60):
                serials = (f"TV-{n:04}" for n in range(begin, begin + 60))
                await sell(server, *serials, seller="\u00fc" * 256, note="\u00fc" * 256)
            assert len((await listed(server, limit=7)).devices) == 7
            seen: list[str] = []
            pages = 0
            while True:
                page = await listed(server, after=seen[-1] if seen else "")
                seen += [row.serial for row in page.devices]
                pages += 1
                if not page.more:
                    break
            assert seen == [f"TV-{n:04}" for n in range(600)]
            assert pages > 2
            for limit in (0, -1, SOLD_PER_REQUEST + 1):
                assert (await server.operator.ask(operations.SOLD_LIST, limit=limit)).problem == "bad-request"

    asyncio.run(story())


FAULTS = [
    (SoldDevice(serial=""), "a serial number has"),
    (SoldDevice(serial="two words"), "a serial number has"),
    (SoldDevice(serial="\u00fc"), "a serial number has"),
    (SoldDevice(serial="x" * 129), "a serial number has"),
    (SoldDevice(serial="TV-1", sold_on="01.02.2026"), "the date"),
    (SoldDevice(serial="TV-1", sold_on="2026-02-30"), "the date"),
    (SoldDevice(serial="TV-1", sold_on="20260201"), "the date"),
    (SoldDevice(serial="TV-1", seller="a\nb"), "the seller"),
    (SoldDevice(serial="TV-1", note="a\x1b[2J"), "the note"),
]


def test_what_no_sale_can_say(tmp_path: Path) -> None:
    """A bad serial number, date or text is refused by name, and nothing of its request is kept."""

    async def story() -> None:
        async with running(tmp_path) as server:
            for device, why in FAULTS:
                sent = [*devices("TV-0"), device]
                reply = await server.operator.ask(operations.SOLD_ADD, devices=sent)
                assert (reply.status, reply.problem) == (400, "bad-request"), device
                assert why in reply.detail
            assert (await listed(server)).devices == []

    asyncio.run(story())


def test_more_than_a_request_holds(tmp_path: Path) -> None:
    """A request with more devices than is told is refused."""

    async def story() -> None:
        async with running(tmp_path) as server:
            many = devices(*(f"TV-{n}" for n in range(SOLD_PER_REQUEST + 1)))
            reply = await server.operator.ask(operations.SOLD_ADD, devices=many)
            assert (reply.status, reply.problem) == (400, "bad-request")
            assert (await server.operator.ask(operations.SOLD_ADD, devices=many[1:])).answer.added == 500

    asyncio.run(story())


def test_whom_the_rule_lets_enrol(tmp_path: Path) -> None:
    """Any id is taken until something is sold; then one that the newcomer chose must be a sold one."""

    async def story() -> None:
        async with running(tmp_path) as server:
            early = await enrol(newcomer(server), await invite(server), id="EARLY")
            assert early.status == 200
            await sell(server, "TV-1")
            token = await invite(server)
            no = await enrol(newcomer(server), token, id="FAKE-1")
            assert (no.status, no.problem) == (403, "not-sold")
            # The invitation is good still, for the device that it was meant for.
            assert (await enrol(newcomer(server), token, id="TV-1")).status == 200
            named = await enrol(newcomer(server), await invite(server, id="OURS"))
            made = await enrol(newcomer(server), await invite(server))
            studio = newcomer(server, KeyKind.ED25519)
            sender = await enrol(studio, await invite(server, role="sender"), id="studio")
            assert [each.status for each in (named, made, sender)] == [200, 200, 200]
            await server.register("ADDED", "device")
            found = {row.serial: (row.origin, row.enrolled) for row in (await listed(server)).devices}
            assert found == {
                "TV-1": ("sale", True),
                "OURS": ("operator", True),
                made.answer.id: ("operator", True),
                "ADDED": ("operator", True),
            }

    asyncio.run(story())


def test_the_operators_word_ends_with_the_registration(tmp_path: Path) -> None:
    """A removed party is off the list if only the operator named it; a sold one stays, and may return."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await sell(server, "SOLD")
            for name in ("NAMED", "SOLD"):
                await server.register(name, "device")
                await server.operator.must(operations.REGISTRY_REMOVE, id=name)
            assert [(row.serial, row.enrolled) for row in (await listed(server)).devices] == [("SOLD", False)]
            assert (await enrol(newcomer(server), await invite(server), id="NAMED")).problem == "not-sold"
            assert (await enrol(newcomer(server), await invite(server), id="SOLD")).status == 200

    asyncio.run(story())


def test_a_named_device_that_is_sold(tmp_path: Path) -> None:
    """A device that the operator had named is a sold one, with the seller's words, once it is sold."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.register("TV-1", "device")
            assert [row.origin for row in (await listed(server)).devices] == ["operator"]
            assert (await sell(server, "TV-1", seller="Shop 7")).added == 1
            row = (await listed(server)).devices[0]
            assert (row.origin, row.seller, row.enrolled) == ("sale", "Shop 7", True)

    asyncio.run(story())
