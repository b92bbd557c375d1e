"""Bills under loss: real sessions, a real key server, and lines that lose one thing in five.

What is billed are the epochs that were granted and on air between subscription and stop, exactly, however
often a device asked, whatever was lost, and whoever started again.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber
from sealcast.core.ports import NS_PER_S
from sealcast.messages import operations, operations_billing
from sealcast.messages.channels import channel_data
from sealcast.messages.charging import PriceTerms, StepTerms, Terms
from sealcast.messages.encoding import decode
from sealcast.messages.invoicing import Invoice
from sealcast.messages.jwk import new_sealing_pair
from sealcast.testing import Link
from sealcast.wire.srtp import PACKET_OVERHEAD_BYTES
from server.inprocess import Guest, InProcess
from server.running import RANDOM, Running
from server.withdrawals import signed, statement_of
from simulation.parts import make_spec
from simulation.realserver import RealKeyServer, charged, key_epochs, studio_keys
from simulation.studio import DATA, Studio
from simulation.viewer import Viewer
from simulation.world import World

LOSS = 0.2
LIFETIME_MS = 4_000
DEVICES = ("stays", "late", "leaves", "restarts", "returns", "listed")
RUN_S = 62
MONTH_S = 31 * 86_400
"""Simulated time begins with the year: by then its first month is over, and everything settled."""

CENT_MICRO = 10_000
TARIFF = {
    "name": "basic",
    "currency": "EUR",
    "terms": Terms(
        prices=[
            PriceTerms(name="Keys", quantity="epochs", steps=[StepTerms(price_micro=100 * CENT_MICRO)]),
            PriceTerms(name="Packets", quantity="packets", steps=[StepTerms(price_micro=CENT_MICRO)]),
            PriceTerms(name="Data", quantity="bytes", steps=[StepTerms(price_micro=CENT_MICRO)]),
        ]
    ),
}


class Inside(Running):
    """The key server in this process."""

    def __init__(self, inner: InProcess) -> None:
        super().__init__(Path(), "", inner.operator)
        self.inner = inner

    def caller(self, credential: object) -> Guest:
        """Return another party's side."""
        return self.inner.guest(credential)


class Night:
    """A channel, its sender and its devices, for a minute of simulated time."""

    def __init__(self, inner: InProcess, folder: Path, spec: ChannelSpec, seed: int) -> None:
        self.inner, self.side = inner, Inside(inner)
        self.erased_ms: dict[str, list[int]] = {name: [] for name in DEVICES}
        self.spec = replace(spec, number=ChannelNumber(1))
        parties = inner.run(self._register())
        self.devices = parties
        self.server = RealKeyServer(inner, self.spec, parties, LOSS, seed)
        self.world = World(self.server, seed)
        self.studios: list[Studio] = []
        self._folder = folder
        self.new_studio()
        self.on_air: dict[int, list[int]] = {}
        """Packets and bytes of payload that left under each epoch."""
        self._starts = 0
        self._count()

    async def _register(self) -> dict[str, Guest]:
        kek = new_sealing_pair(RANDOM)
        keys = studio_keys()
        sealed = self.side.sealed_keys(keys.public(), kek.public())
        operator = self.inner.operator
        listed = await operator.must(operations.CHANNEL_ADD, channel=channel_data(self.spec))
        assert listed.channels[0].channel.number == self.spec.number
        await self.side.add_channel("sport", port=6004)
        await operator.must(
            operations.REGISTRY_ADD, id="studio", role="sender", sealed_keys=sealed, channels=["news"]
        )
        found = {"studio": self.inner.party("sender", "studio", keys, kek)}
        await operator.must(operations_billing.TARIFF_ADD, channels=["news"], **TARIFF)
        for name in DEVICES:
            # With another channel left, a device that withdraws keeps its own keys, and may come back.
            found[name] = await self.side.register(name, "device", channels=["sport"])
        return found

    def _count(self) -> None:
        """Count what the sender puts on the network, beside its own counting."""
        send = self.world.network.send

        def counted(group: str, data: bytes, now: int) -> None:
            if group == DATA:
                total = self.on_air.setdefault(int.from_bytes(data[-4:], "big"), [0, 0])
                total[0] += 1
                total[1] += len(data) - PACKET_OVERHEAD_BYTES
            send(group, data, now)

        self.world.network.send = counted  # type: ignore[method-assign]

    def new_studio(self) -> None:
        """Have one more sender, which goes on with what the last one left on disk; it has not started."""
        number = self.studios[-1].number if self.studios else 0
        name = f"studio/{len(self.studios)}"
        made = Studio(
            self.world, self.spec, self._folder, packets_per_second=20, name=name, first_number=number
        )
        self.studios.append(made)

    @property
    def studio(self) -> Studio:
        """The sender of now."""
        return self.studios[-1]

    def watch(self, device: str) -> Viewer:
        """Start a receiver of a device; what it had in memory before is gone."""
        self._starts += 1
        return Viewer(self.world, self.studios, f"{device}/{self._starts}", link=Link(loss=LOSS))

    def subscribe(self, *devices: str) -> None:
        """Put devices on the list."""
        self.inner.clock.advance_to(self.world.now)
        for device in devices:
            self.inner.operator.nonce = ""
            self.inner.run(self.inner.operator.must(operations.SUBSCRIBER_ADD, channel="news", device=device))

    def remove(self, device: str) -> None:
        """Take a device off the list."""
        self.inner.clock.advance_to(self.world.now)
        self.inner.operator.nonce = ""
        self.inner.run(self.inner.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device=device))

    def withdraw(self, device: str) -> None:
        """Have a device destroy its keys and say so."""
        self.inner.clock.advance_to(self.world.now)
        tv = self.devices[device]

        async def leave() -> None:
            tv.nonce = ""
            begun = await tv.must(operations.WITHDRAWAL, channel="news")
            await tv.must(operations.WITHDRAW, statement=signed(tv, statement_of(tv, begun)))

        self.inner.run(leave())
        self.erased_ms[device].append(self.server.now_ms)

    def bills(self) -> dict[str, Invoice]:
        """Close all months that are over, and return what was issued, by customer."""
        operator = self.inner.operator

        async def close() -> dict[str, Invoice]:
            operator.nonce = ""
            closed = await operator.must(operations_billing.INVOICE_CLOSE)
            assert (closed.next, closed.waiting) == (None, [])
            found = {}
            for row in closed.issued:
                shown = await operator.must(operations_billing.INVOICE_SHOW, number=row.number)
                assert len(shown.piece) == shown.size
                found[row.customer] = decode(shown.piece, Invoice)
            return found

        return self.inner.run(close())

    def until(self, at_s: float) -> None:
        """Let everything happen up to an instant."""
        self.world.run_until(round(at_s * NS_PER_S))


@pytest.fixture
def inner() -> Iterator[InProcess]:
    """Give a key server in this process."""
    made = InProcess()
    yield made
    made.close()


def live(night: Night, *, crashes: int = 0) -> None:
    """Let devices come, leave, start again and come back for a minute, the sender being on air."""
    night.subscribe("stays", "leaves", "restarts", "returns", "listed")
    night.studio.start()
    stays, leaves, restarts, returns = (
        night.watch(name) for name in ("stays", "leaves", "restarts", "returns")
    )
    for at_s in (7.3, 11.1, 19.7, 20.2):
        night.until(at_s)
        restarts.crash()
        restarts = night.watch("restarts")
    night.until(23.9)
    leaves.crash()
    night.withdraw("leaves")
    night.until(27.9)
    returns.crash()
    night.withdraw("returns")
    night.subscribe("late")
    late = night.watch("late")
    for crash in range(crashes):
        night.until(32.6 + 1.2 * crash)
        night.studio.crash()
        night.until(32.8 + 1.2 * crash)
        night.new_studio()
        night.studio.start()
    night.until(42.0)
    night.subscribe("returns")
    returns = night.watch("returns")
    night.until(RUN_S)
    night.studio.stop(night.world.now)
    night.until(RUN_S + 5)
    night.inner.clock.advance(MONTH_S * NS_PER_S)
    assert all(viewer.wrong == 0 for viewer in (stays, restarts, returns, late))


def check(night: Night, owed: dict[str, list[int]]) -> None:
    """Compare all bills with the epochs that are owed, and what left under them."""
    bills = night.bills()
    assert bills.keys() == {name for name in DEVICES if owed[name]}
    for name, bill in bills.items():
        aired = [night.server.told[epoch] for epoch in owed[name]]
        keys = key_epochs(night.server, owed[name], LIFETIME_MS)
        lines = {line.name: (line.units, line.amount_minor) for line in bill.lines}
        count, size = (sum(column) for column in zip(*aired, strict=True))
        assert lines == {
            "Keys": (keys, 100 * keys),
            "Packets": (count, count),
            "Data": (size, size),
        }
        assert bill.total_minor == 100 * keys + count + size
    assert night.bills() == {}, "closing again bills nothing twice"


@pytest.mark.parametrize("fresh_epochs", [None, 4], ids=["fetch", "chain"])
def test_billed_is_what_was_granted_and_on_air(
    inner: InProcess, tmp_path: Path, fresh_epochs: int | None
) -> None:
    """Six devices on lossy lines: each pays each epoch that it could open once, and nothing else."""
    night = Night(inner, tmp_path, make_spec(LIFETIME_MS, fresh_epochs=fresh_epochs), seed=1)
    live(night)
    owed = {name: charged(night.server, name, night.erased_ms[name]) for name in DEVICES}
    everything = sorted(night.server.aired)
    assert owed["stays"] == owed["restarts"] == everything == sorted(night.on_air)
    assert everything[0] not in owed["late"]
    assert set(owed["leaves"]) < set(owed["returns"]) < set(everything)
    assert owed["listed"] == []
    if fresh_epochs is None:
        had = {each.epoch for each in night.server.granted if each.device == "leaves"}
        assert had > set(owed["leaves"]), "it destroyed a key that was not on air yet"
    assert min(night.server.lost, night.server.repeated) > 10
    assert night.server.told == {epoch: tuple(total) for epoch, total in night.on_air.items()}
    check(night, owed)


def test_a_sender_that_crashes_costs_no_more_keys(inner: InProcess, tmp_path: Path) -> None:
    """Three crashes in a few seconds: epochs more, no key epoch more, and no packet that nobody told of."""
    night = Night(inner, tmp_path, make_spec(LIFETIME_MS), seed=1)
    live(night, crashes=3)
    owed = {name: charged(night.server, name, night.erased_ms[name]) for name in DEVICES}
    starts = [epoch for epoch, cause in night.server.causes.items() if cause == "start"]
    assert len(starts) >= 3
    assert set(night.on_air) > set(night.server.aired), "one epoch was so short that nobody heard of it"
    assert key_epochs(night.server, owed["stays"], LIFETIME_MS) < len(owed["stays"])
    for epoch, (count, size) in night.server.told.items():
        assert (count, size) <= tuple(night.on_air.get(epoch, (0, 0)))
    check(night, owed)


@pytest.mark.soak
@pytest.mark.parametrize("fresh_epochs", [None, 4], ids=["fetch", "chain"])
@pytest.mark.parametrize("seed", range(2, 22))
def test_other_nights(inner: InProcess, tmp_path: Path, fresh_epochs: int | None, seed: int) -> None:
    """The same with other losses: whatever they are, the bills are what was granted and on air."""
    night = Night(inner, tmp_path, make_spec(LIFETIME_MS, fresh_epochs=fresh_epochs), seed)
    live(night)
    check(night, {name: charged(night.server, name, night.erased_ms[name]) for name in DEVICES})
