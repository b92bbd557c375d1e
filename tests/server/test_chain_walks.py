"""Shows that what a device could open of a chain is what its grants count for, and nothing beyond a fence."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.billing.counting import AiredEpoch, Erasure, GrantRow, counted
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS
from sealcast.device.vault import Credential
from sealcast.messages import operations
from sealcast.messages.answers import Grant
from sealcast.messages.charging import ROWS_MAX
from sealcast.server.billing import source as billing_source
from sealcast.server.billing.air import record_air
from sealcast.server.billing.usage_rows import Place, Wanted, usage_page
from sealcast.testing import SimRandom
from server.chains import Chain
from server.charging import Charging
from server.inprocess import Guest
from server.running import Running
from server.withdrawals import signed, statement_of

STEPS = 60
WALKS = 4
USED_MAX = 13
"""A lease has 16 slots, and a step takes two at most."""

SINCE_MS = 3_000
"""How far back a log reaches that is not whole: some steps."""

PAUSES_MS = (1, 1, 3, 50, 700, 2_000)
GRANTS = "SELECT epoch, granted_at_ms, until_epoch FROM grants WHERE device = 'tv'"
ERASURES = (
    "SELECT g.epoch, w.begun_at_ms, g.erased_at_ms, e.fresh_at FROM erasures g"
    " JOIN withdrawals w ON w.number = g.withdrawal JOIN epochs e USING (channel, epoch)"
    " WHERE g.device = 'tv' AND g.void_at_ms IS NULL AND channel = 1"
)
AIRED = "SELECT epoch, on_air_at_ms, fresh_at FROM epochs WHERE on_air_at_ms IS NOT NULL"


class Inside(Running):
    """The key server in this process, as tests of chains ask it."""

    def __init__(self, inner: Charging) -> None:
        super().__init__(Path(), "", inner.operator)
        self.inner = inner

    def caller(self, credential: Credential) -> Guest:
        """Return another party's side."""
        return self.inner.guest(credential)


@dataclass
class Walk:
    """A sender and a device that do anything in any order; the device follows every update it ever heard."""

    inner: Charging
    chain: Chain
    tv: Guest
    random: SimRandom
    is_listed: bool = True
    on_air: int | None = None
    coming: int | None = None
    used: int = 0
    held: set[int] = field(default_factory=set)
    aired: dict[int, int] = field(default_factory=dict)
    given: list[tuple[int, set[int]]] = field(default_factory=list)
    """When the device was given C of which epochs, or what leads there from a C that it held."""
    erased_ms: list[int] = field(default_factory=list)
    removals: list[tuple[int, int]] = field(default_factory=list)
    """When it was removed, and its fence epoch."""

    @property
    def now_ms(self) -> int:
        """The server's wall clock."""
        return self.inner.clock.wall_ns() // NS_PER_MS

    async def step(self) -> None:
        """Do one thing."""
        for caller in (self.tv, self.chain.sender, self.inner.operator):
            caller.nonce = ""  # It may have grown old.
        self.inner.clock.advance(PAUSES_MS[self.random.below(len(PAUSES_MS))] * NS_PER_MS)
        often = (self.publish, self.publish, self.switch, self.switch, self.ask, self.ask)
        seldom = (self.end, self.withdraw, self.come_back, self.come_back, self.remove, self.start_afresh)
        await (*often, *seldom)[self.random.below(12)]()

    async def publish(self) -> None:
        """Publish a key that follows from the one on air, if there is one; its slot is burned by a no."""
        if self.coming is None:
            epoch = self.used + 1
            reply = await self.chain.offer(self.chain.make(epoch, follows=self.on_air))
            if reply.status == 200:
                self.coming = epoch
            else:
                assert reply.problem == "fresh-start-needed"
                self.used = epoch
                await self.chain.publish(epoch + 1)
                self.coming = epoch + 1

    async def switch(self) -> None:
        """Put the next key on air, whether or not its sender has heard of a fence."""
        if self.coming is not None:
            await self.chain.report(self.coming)
            self.aired[self.coming] = self.now_ms
            self.on_air = self.used = self.coming
            self.coming = None

    async def end(self) -> None:
        """Go off the air."""
        if self.on_air is not None:
            await self.chain.report(self.on_air, ended=True)
            self.on_air = None

    async def ask(self) -> None:
        """Ask for keys, naming all that are held, or having forgotten them."""
        held = sorted(self.held) if self.random.below(3) else []
        reply = await self.tv.ask(operations.KEYS, channel="news", held=self.chain.held(*held))
        assert (reply.status == 200) == self.is_listed
        if self.is_listed:
            epochs = self._read(reply.answer)
            self.given.append((self.now_ms, epochs))
            self.held |= epochs

    async def withdraw(self) -> None:
        """Withdraw, with a statement that is true."""
        if self.is_listed:
            begun = await self.tv.must(operations.WITHDRAWAL, channel="news")
            await self.tv.must(operations.WITHDRAW, statement=signed(self.tv, statement_of(self.tv, begun)))
            self.erased_ms.append(self.now_ms)
            self.is_listed, self.held = False, set()

    async def come_back(self) -> None:
        """Be put on the list again."""
        if not self.is_listed:
            await self.inner.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            self.is_listed = True

    async def remove(self) -> None:
        """Be removed; the sender hears of it at once, or with its next report."""
        if self.is_listed:
            is_now = bool(self.random.below(2))
            removed = await self.inner.operator.must(
                operations.SUBSCRIBER_REMOVE, channel="news", device="tv", now=is_now
            )
            self.is_listed = False
            self.removals.append((self.now_ms, removed.fence_epoch))
            self._hear_of(removed.fence_epoch)

    async def start_afresh(self) -> None:
        """Command a fresh start."""
        ordered = await self.inner.operator.must(operations.CHANNEL_FRESH_START, channel="news")
        self._hear_of(ordered.fence_epoch)

    def could_open(self) -> set[int]:
        """Return the epochs on air that the device had, or could follow to before it destroyed its keys."""
        return {
            epoch
            for given_ms, links in self.given
            for epoch in self._followed(links) & set(self.aired)
            if not any(given_ms <= erased_ms <= self.aired[epoch] for erased_ms in self.erased_ms)
        }

    def check(self) -> None:
        """Compare what it could open with what is on record, and with its fences."""
        read = self.inner.read
        erased = [Erasure._make(row) for row in read(ERASURES)]
        aired = [AiredEpoch._make(row) for row in read(AIRED)]
        charged: set[int] = set()
        for row in read(GRANTS):
            charged |= set(counted(GrantRow._make(row), aired, erased))
        assert charged == self.could_open()
        assert self.metered() == charged & self.recorded()
        for removed_ms, fence in self.removals:
            before = {epoch for at_ms, links in self.given if at_ms <= removed_ms for epoch in links}
            later = {epoch for epoch, at_ms in self.aired.items() if at_ms >= removed_ms and epoch >= fence}
            assert not self._followed(before) & later

    def metered(self) -> set[int]:
        """Return the epochs of the device's usage, read alone, with all others, and since an instant."""

        def read(connection: sa.Connection) -> set[int]:
            while record_air(connection, self.now_ms, 0):
                pass
            air = billing_source.air_log(connection, self.chain.number)
            usage = billing_source.usage_of(connection, "tv", air)
            assert dict(billing_source.usage_of_channel(connection, air)).get("tv", ()) == usage
            for wanted in (Wanted(), Wanted(device="tv")):
                page = usage_page(connection, wanted, Place(), ROWS_MAX)
                assert [row.id for row in page.usage] == [event.id for event in usage]
                assert not page.more
            since_ms = self.now_ms - SINCE_MS
            later = billing_source.air_log(connection, self.chain.number, since_ms)
            told = billing_source.usage_of(connection, "tv", later)
            assert set(told) <= set(usage)
            assert {event for event in told if event.end_ms >= since_ms} == {
                event for event in usage if event.end_ms >= since_ms
            }
            ahead = billing_source.ahead(connection, self.chain.number)
            if self.on_air in self.could_open():
                assert billing_source.pending(connection, "tv", ahead)
            return {int(event.id.split("/")[1]) for event in usage}

        return self.inner.look(read)

    def recorded(self) -> set[int]:
        """Return the epochs that are recorded: all that were on air but the one that is."""
        epochs = {epoch for (epoch,) in self.inner.read("SELECT epoch FROM aired")}
        assert epochs == set(self.aired) - {self.on_air}
        return epochs

    def _read(self, grant: Grant) -> set[int]:
        """Return the epochs whose C a grant gives, or leads to; an update must follow what is held."""
        epochs: set[int] = set()
        for key in grant.keys:
            epoch = KeyId.parse(key.material.key_id).epoch
            if not key.material.link:
                assert KeyId.parse(key.material.follows).epoch in self.held | epochs
            epochs.add(epoch)
        return epochs

    def _followed(self, links: set[int]) -> set[int]:
        """Return those epochs and all whose keys follow from theirs."""
        followed = set(links)
        for epoch in sorted(self.chain.teks):
            origin = self.chain.teks[epoch].origin
            if origin is not None and origin.follows is not None and origin.follows.epoch in followed:
                followed.add(epoch)
        return followed

    def _hear_of(self, fence: int) -> None:
        if self.coming is not None and self.coming < fence and self.random.below(3):
            self.used, self.coming = self.coming, None


@pytest.mark.parametrize("seed", range(WALKS))
def test_what_is_counted_is_what_could_be_opened(seed: int) -> None:
    """Requests, changes, removals, withdrawals and fresh starts in any order, checked at the end."""
    inner = Charging()

    async def story() -> Walk:
        server = Inside(inner)
        chain = await Chain.at(server, is_on_air=False)
        await server.add_channel("sport", port=6004)
        tv = await server.register("tv", "device", channels=["news", "sport"])
        assert isinstance(tv, Guest)
        walk = Walk(inner, chain, tv, SimRandom(f"walk/{seed}"))
        for _ in range(STEPS):
            if walk.used < USED_MAX:
                await walk.step()
        return walk

    try:
        inner.run(story()).check()
    finally:
        inner.close()
